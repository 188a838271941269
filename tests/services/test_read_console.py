"""The console's ZIP as values: both generations of columns, and whatever else may be in such a file."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.console_export import Interval, contradictions, overlapping, read_export
from costmeter.core.errors import InputError
from costmeter.core.money import format_amount
from costmeter.core.secrets import fingerprint
from costmeter.services import read_console as reading
from costmeter.services.read_console import read_console
from tests.exported import AMOUNT, COST, KEY, OLD_AMOUNT, OLD_COST, amount_row, an_export, cost_row, zipped
from tests.make import at

TWO = {"amount-2026-9.csv": AMOUNT, "cost-2026-9.csv": COST}


class TestShapes:
    def test_the_new_columns_have_intervals_with_an_offset(self, tmp_path: Path) -> None:
        export = read_console(an_export(tmp_path / "e.zip", [amount_row()], [cost_row()])).export
        (used,), (paid,) = export.usage, export.costs
        assert used.interval == paid.interval == (at("2026-08-31T21:00:00Z"), at("2026-09-01T21:00:00Z"))
        assert (used.model, used.meter, used.price, used.amount) == ("deepseek-flash", "output", 600_000, 500)
        assert (paid.wallet, paid.currency, format_amount(paid.cost)) == ("topped_up", "USD", "0.0003")
        assert export.refused == ()
        assert used.place == "amount-2026-09-01_2026-09-02.csv:2"

    @pytest.mark.parametrize("date", ["20260725", "2026-07-25"])
    def test_the_old_columns_have_days_of_utc_and_quoted_names(self, date: str, tmp_path: Path) -> None:
        amounts = [f'a,{date},deepseek-v4-pro,"Team, Primary",sk-masked,request_count,,3']
        costs = [f"a,{date},deepseek-v4-pro,gRaNtEd,0.5000000000000000,USD"]
        path = an_export(tmp_path / "e.zip", amounts, costs, header=OLD_AMOUNT, paid=OLD_COST)
        (used,), (paid,), _ = read_console(path).export
        assert used.interval == (at("2026-07-25T00:00:00Z"), at("2026-07-26T00:00:00Z"))
        assert (used.api_key, used.meter, used.price, used.amount) == ("Team, Primary", "requests", None, 3)
        assert (paid.wallet, format_amount(paid.cost)) == ("granted", "0.50")

    def test_of_a_key_only_its_fingerprint_is_kept(self, tmp_path: Path) -> None:
        (used,), _, _ = read_console(an_export(tmp_path / "e.zip", [amount_row()], [])).export
        assert used.key == fingerprint(KEY)
        assert KEY not in repr(used)

    def test_a_name_that_is_a_key_is_kept_as_its_fingerprint(self, tmp_path: Path) -> None:
        row = amount_row().replace(",dsh,", f",{KEY},")
        (used,), _, _ = read_console(an_export(tmp_path / "e.zip", [row], [])).export
        assert used.api_key == fingerprint(KEY)

    def test_an_empty_export_is_one(self, tmp_path: Path) -> None:
        assert read_console(an_export(tmp_path / "e.zip", [], [])).export == ((), (), ())

    def test_the_recorded_samples_can_be_read(self, shared: Path) -> None:
        def rows(name: str) -> list[tuple[int, Sequence[str]]]:
            with (shared / "fixtures" / f"export_{name}_sample.csv").open(encoding="utf-8-sig", newline="") as file:
                return list(enumerate(csv.reader(file), 1))

        new = read_export({"amount": rows("amount_new_schema")}, {"cost": rows("cost_new_schema")})
        old = read_export({"amount": rows("amount_old_schema")}, {"cost": rows("cost_old_schema")})
        assert (len(new.usage), len(new.costs), new.refused) == (5, 1, ())
        assert (len(old.usage), len(old.costs), old.refused) == (4, 1, ())
        assert contradictions(new) == []  # 10,000,000 hits, 2 x 1,000,000 misses and 500,000 output come to 0.78
        assert len(contradictions(old)) == 2  # its two files are of different days


class TestRefusedRows:
    @pytest.mark.parametrize(
        ("row", "error"),
        [
            (amount_row(meter="reasoning_tokens"), "type 'reasoning_tokens': is no meter of the console; known are"),
            (amount_row("1.5"), "amount '1.5': is no whole number of tokens"),
            (amount_row("-1"), "amount '-1': is no whole number of tokens"),
            (amount_row("1" * 30), f"amount '{'1' * 30}': is no whole number of tokens"),
            (amount_row(price=""), "price '': write a decimal string"),
            (amount_row(price="6e-7"), "price '6e-7': write a decimal string"),
            (amount_row(price="0.0000000000001"), "price '0.0000000000001': not a whole number of 10^-12"),
            (amount_row(price="-1"), "price '-1': a rate is neither negative"),
            (amount_row(meter="request_count"), "price '0.0000006': requests have no price"),
            (amount_row(time="2026-09-01,2026-09-02"), "start_time_iso '2026-09-01': write an RFC 3339 instant"),
            (amount_row(time="2026-09-02T00:00:00Z,2026-09-01T00:00:00Z"), "end_time_iso '2026-09-01T00:00:00Z': is"),
            (amount_row(time="2026-09-01T00:00:00Z,2026-12-01T00:00:00Z"), "end_time_iso '2026-12-01T00:00:00Z': is"),
            (amount_row(time="2026-09-01T00:00:00,2026-09-02T00:00:00"), "start_time_iso '2026-09-01T00:00:00': has"),
            (amount_row().replace("deepseek-flash", " "), "model ' ': is empty"),
            (amount_row().replace("dsh", "d\x00h"), "api_key_name 'd\\x00h': write at most 256 printable"),
            (amount_row().replace("dsh", "d" * 300), "api_key_name '"),
            ("too,short", "row ['too', 'short']: has 2 fields, the header 9"),
        ],
    )  # fmt: skip
    def test_an_amount_that_cannot_be_used_is_told_with_its_place(self, row: str, error: str, tmp_path: Path) -> None:
        export = read_console(an_export(tmp_path / "e.zip", [amount_row(), row], [])).export
        assert len(export.usage) == 1
        (refused,) = export.refused
        assert refused.place == "amount-2026-09-01_2026-09-02.csv:3"
        assert refused.error.startswith(error)

    @pytest.mark.parametrize(
        ("row", "error"),
        [
            (cost_row("0.0000000000000001"), "cost '0.0000000000000001': finer than 10^-12, the unit of the ledger"),
            (cost_row("-0.1"), "cost '-0.1': is negative"),
            (cost_row("1,5"), "row ["),
            (cost_row("NaN"), "cost 'NaN': write a decimal string"),
            (cost_row(wallet="voucher"), "wallet_type 'voucher': is no wallet that is known; known are granted, paid"),
            (cost_row(currency="EUR"), "currency 'EUR': use one of USD, CNY"),
        ],
    )
    def test_a_cost_that_cannot_be_used_is_told(self, row: str, error: str, tmp_path: Path) -> None:
        (refused,) = read_console(an_export(tmp_path / "e.zip", [], [row])).export.refused
        assert refused.place == "cost-2026-09-01_2026-09-02.csv:2"
        assert refused.error.startswith(error)

    @pytest.mark.parametrize("date", ["2026-02-30", "26-07-25", "2026/07/25", "00010101"])
    def test_a_day_that_is_none_is_told(self, date: str, tmp_path: Path) -> None:
        path = an_export(tmp_path / "e.zip", [], [f"a,{date},m,Paid,1,USD"], header=OLD_AMOUNT, paid=OLD_COST)
        (refused,) = read_console(path).export.refused
        assert refused.error.startswith("utc_date")

    def test_no_error_shows_a_key(self, tmp_path: Path) -> None:
        (refused,) = read_console(an_export(tmp_path / "e.zip", [KEY], [])).export.refused
        assert KEY not in refused.error


class TestRefusedFiles:
    @pytest.mark.parametrize(
        ("files", "error"),
        [
            ({"amount-2026-9.csv": AMOUNT}, "has no cost-*.csv"),
            ({"cost-2026-9.csv": COST}, "has no amount-*.csv"),
            ({**TWO, "notes.txt": ""}, "notes.txt': is not of the console's export"),
            ({**TWO, "../amount-2026-8.csv": AMOUNT}, "../amount-2026-8.csv': is not of the console's export"),
            ({**TWO, "/etc/amount-2026-8.csv": AMOUNT}, "amount-2026-8.csv': is not of the console's export"),
            ({**TWO, "amount-2026-8.csv": b"\xff\xfe"}, "amount-2026-8.csv': is no UTF-8 at byte 0"),
            ({**TWO, "amount-2026-8.csv": "a,b"}, "amount-2026-8.csv:1 ['a', 'b']: has no column utc_date"),
            ({**TWO, "amount-2026-8.csv": ""}, "amount-2026-8.csv:1 []: has no column utc_date"),
            ({**TWO, "amount-2026-8.csv": f'{AMOUNT}\r\nu,"open'}, "amount-2026-8.csv:2: is no CSV: unexpected end"),
            ({**TWO, "cost-2026-8.csv": f"{COST}\r\n{'x' * 200_000}"}, "cost-2026-8.csv:2: is no CSV: field larger"),
        ],
    )
    def test_what_is_no_export_is_refused_as_a_whole(
        self, files: dict[str, str | bytes], error: str, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError) as raised:
            read_console(zipped(tmp_path / "e.zip", files))
        assert error in str(raised.value)

    @pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(40)])
    def test_what_is_no_zip_is_refused(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "e.zip"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"file 'e\.zip': is no ZIP that can be read"):
            read_console(path)

    def test_a_damaged_one_is_refused(self, tmp_path: Path) -> None:
        path = an_export(tmp_path / "e.zip", [amount_row(n) for n in range(200)], [])
        content = bytearray(path.read_bytes())
        content[120:160] = bytes(40)
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no ZIP that can be read"):
            read_console(path)

    def test_one_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read: No such file"):
            read_console(tmp_path / "e.zip")

    def test_a_bomb_is_refused_before_it_is_opened(self, tmp_path: Path) -> None:
        path = zipped(tmp_path / "e.zip", {**TWO, "amount-2026-8.csv": bytes(reading.MOST_BYTES)})
        assert path.stat().st_size < reading.MOST_BYTES / 500
        with pytest.raises(InputError, match="holds more than 48 files or 67,108,864 bytes; export a shorter time"):
            read_console(path)

    def test_too_many_files_are_refused(self, tmp_path: Path) -> None:
        path = zipped(tmp_path / "e.zip", {f"cost-{n}.csv": COST for n in range(reading.MOST_FILES + 1)})
        with pytest.raises(InputError, match="holds more than 48 files"):
            read_console(path)

    def test_one_that_states_less_than_it_holds_is_not_read_beyond_that(self, tmp_path: Path) -> None:
        path = zipped(tmp_path / "e.zip", {**TWO, "amount-2026-8.csv": bytes(100_000)})
        content = path.read_bytes().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no ZIP that can be read"):
            read_console(path)

    @pytest.mark.filterwarnings("ignore:Duplicate name")  # of zipfile, as the test makes one
    def test_a_name_that_is_there_twice_is_refused(self, tmp_path: Path) -> None:
        path = zipped(tmp_path / "e.zip", TWO)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("cost-2026-9.csv", COST)
        with pytest.raises(InputError, match=r"has one cost-\*\.csv twice"):
            read_console(path)


class TestContradictions:
    def test_the_sum_of_price_times_amount_is_the_sum_of_the_costs(self, tmp_path: Path) -> None:
        costs = [cost_row("0.0001"), cost_row("0.0002", "Granted")]
        assert contradictions(read_console(an_export(tmp_path / "e.zip", [amount_row()], costs)).export) == []

    def test_where_it_is_not_both_are_told(self, tmp_path: Path) -> None:
        (found,) = contradictions(
            read_console(an_export(tmp_path / "e.zip", [amount_row()], [cost_row("0.0004")])).export
        )
        assert (found.model, format_amount(found.priced), format_amount(found.cost)) == (
            "deepseek-flash",
            "0.0003",
            "0.0004",
        )


hours = st.builds(
    lambda start, length: Interval(at(f"2026-09-{1 + start // 24:02}T{start % 24:02}:00:00Z"),
                                   at(f"2026-09-{1 + (start + length) // 24:02}T{(start + length) % 24:02}:00:00Z")),
    st.integers(0, 100), st.integers(1, 30),
)  # fmt: skip


@given(st.lists(hours), st.lists(hours))
def test_intervals_that_overlap_are_found_and_the_others_share_no_instant(
    first: list[Interval], more: list[Interval]
) -> None:
    taken = sorted(set(first) - overlapping(first, []).keys())
    refused = overlapping(more, taken)
    kept = sorted({*taken, *more} - refused.keys())
    assert all(one.end <= other.start for one, other in pairwise(kept))
    assert set(taken) <= set(kept)
    for interval, other in refused.items():
        assert interval.start < other.end
        assert other.start < interval.end
        assert other in kept


@given(st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=8)), max_size=4))
def test_whatever_is_broken_in_a_file_it_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]]
) -> None:
    path = an_export(tmp_path_factory.mktemp("e") / "e.zip", [amount_row(n) for n in range(5)], [cost_row()])
    content = bytearray(path.read_bytes())
    for place, found in damage:
        content[place : place + len(found)] = found
    path.write_bytes(content)
    try:
        export = read_console(path).export
    except InputError:
        return  # by name: any other error fails the test
    assert len(export.usage) + len(export.costs) + len(export.refused) == 6
