"""Posting: granted before topped up, worked out by hand; a call costs 1.10 USD unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from costmeter.core.money import MAX_AMOUNT
from costmeter.reports.spend import spend_report
from costmeter.store.engine import open_engine, reading
from costmeter.store.scope import Scope
from costmeter.store.tables import (
    AccountRow,
    ChargeRow,
    EditionRow,
    EntryRow,
    ExpiryRow,
    LineRow,
    PendingRow,
)
from tests.make import (
    MARCH,
    MILLION,
    an_event,
    balance,
    book,
    counted,
    give,
    grant,
    post,
    record,
    record_and_post,
    rows,
    set_up_account,
    splits,
    taken_from,
    top_up,
    usd,
)
from tests.services.invariants import check_books

BILLION = 1_000_000_000
OPENING = "2025-03-01T00:00:00Z"


@pytest.fixture(autouse=True)
def _books_hold(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the books hold afterwards."""
    yield
    check_books(engine)


class TestGrantedBeforeToppedUp:
    def test_a_grant_that_runs_out_in_the_middle_of_a_call_leaves_the_rest_to_the_top_up(self, engine: Engine) -> None:
        grant(engine, "1.50", OPENING)
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, an_event("a", "2025-03-03T12:00:00Z"), an_event("b", "2025-03-03T13:00:00Z"))
        assert splits(engine) == {"a": ("1.10", "0.00", "0.00", "0.00"), "b": ("0.40", "0.70", "0.00", "0.00")}
        assert balance(engine) == ("0.00", "4.30")

    def test_grants_go_by_earliest_expiry_then_oldest_and_one_without_expiry_last(self, engine: Engine) -> None:
        forever = grant(engine, "1.00", "2025-01-01T00:00:00Z")
        late = grant(engine, "1.00", "2025-03-02T00:00:00Z", "2025-03-31T00:00:00Z")
        older = grant(engine, "1.00", "2025-03-01T00:00:00Z", "2025-03-31T00:00:00Z")
        soon = grant(engine, "1.00", "2025-03-03T00:00:00Z", "2025-03-20T00:00:00Z")
        paid = top_up(engine, "9.00", "2025-01-01T00:00:00Z")
        record_and_post(engine, an_event("a", output=4 * MILLION))
        order = [booked.credit.credit_id for booked in (soon, older, late, forever, paid)]
        assert taken_from(engine, "a") == list(zip(order, ["1.00"] * 4 + ["0.40"], strict=True))
        assert splits(engine) == {"a": ("4.00", "0.40", "0.00", "0.00")}

    def test_top_ups_go_oldest_first_whenever_they_were_entered(self, engine: Engine) -> None:
        newer = top_up(engine, "1.00", "2025-03-02T00:00:00Z")
        older = top_up(engine, "1.00", "2025-03-01T00:00:00Z")
        twin = top_up(engine, "1.00", "2025-03-02T00:00:00Z")
        record_and_post(engine, an_event("a", output=2 * MILLION))
        order = [booked.credit.credit_id for booked in (older, newer, twin)]
        assert taken_from(engine, "a") == list(zip(order, ["1.00", "1.00", "0.20"], strict=True))

    def test_a_free_call_takes_nothing(self, engine: Engine) -> None:
        grant(engine, "1.00", OPENING)
        record_and_post(engine, an_event("a", output=0))
        assert splits(engine) == {"a": ("0.00",) * 4}
        assert taken_from(engine, "a") == []

    @pytest.mark.parametrize(
        ("completed_at", "granted"),
        [
            ("2025-03-02T11:59:59.999999Z", "0.00"),
            ("2025-03-02T12:00:00Z", "1.10"),
            ("2025-03-04T11:59:59.999999Z", "1.10"),
            ("2025-03-04T12:00:00Z", "0.00"),
        ],
    )
    def test_a_grant_counts_from_its_start_up_to_its_expiry(
        self, engine: Engine, completed_at: str, granted: str
    ) -> None:
        top_up(engine, "9.00", OPENING)
        grant(engine, "5.00", "2025-03-02T12:00:00Z", "2025-03-04T12:00:00Z")
        record_and_post(engine, an_event("a", completed_at))
        assert splits(engine)["a"][0] == granted

    def test_calls_in_one_batch_are_taken_in_order_of_completion(self, engine: Engine) -> None:
        grant(engine, "1.10", OPENING)
        record_and_post(engine, an_event("later", "2025-03-03T13:00:00Z"), an_event("sooner", "2025-03-03T12:00:00Z"))
        assert splits(engine)["sooner"][0] == "1.10"
        assert splits(engine)["later"][2] == "1.10"

    def test_calls_posted_before_keep_their_split_when_an_earlier_one_arrives(self, engine: Engine) -> None:
        grant(engine, "1.10", OPENING)
        record_and_post(engine, an_event("later", "2025-03-03T13:00:00Z"))
        record_and_post(engine, an_event("sooner", "2025-03-03T12:00:00Z"))
        assert splits(engine) == {
            "later": ("1.10", "0.00", "0.00", "0.00"),
            "sooner": ("0.00", "0.00", "1.10", "0.00"),
        }


class TestWhatACallCosts:
    def test_an_unpriced_call_has_no_cost_and_takes_nothing(self, engine: Engine) -> None:
        grant(engine, "5.00", OPENING)
        record_and_post(engine, an_event("a", model="deepseek-9"), an_event("b", "2024-08-01T00:00:00Z", hit=1))
        for charge in rows(engine, ChargeRow):
            assert charge["status"] == "unpriced"
            prices = ("cost", "cost_cache_hit", "cost_cache_miss", "cost_output", "tariff", "band")
            assert [charge[name] for name in prices] == [None] * 6
        assert balance(engine) == ("5.00", "0.00")

    def test_a_price_without_a_published_calendar_is_provisional(self, engine: Engine) -> None:
        now = "2027-02-01T00:00:00Z"
        monday = an_event("a", "2027-01-18T02:00:00Z", model="deepseek-flash")
        record_and_post(engine, monday, an_event("b", "2026-12-14T02:00:00Z", model="deepseek-flash"), now=now)
        found = {row["completed_at"].year: row for row in rows(engine, ChargeRow)}
        assert {year: row["status"] for year, row in found.items()} == {2026: "priced", 2027: "provisional"}
        assert found[2027]["cost"] == usd("1.20"), "the rule of weekdays decides meanwhile"

    def test_the_lines_tariff_band_and_edition_are_kept(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a", "2025-03-03T16:30:00Z", hit=MILLION, miss=2 * MILLION, output=MILLION))
        (charge,) = rows(engine, ChargeRow)
        assert (charge["tariff"], charge["band"]) == ("deepseek-v3/2025-02-26", "off_peak")
        lines = [charge[f"cost_{meter}"] for meter in ("cache_hit", "cache_miss", "output")]
        assert lines == [usd("0.035"), usd("0.27"), usd("0.55")]
        assert charge["cost"] == usd("0.855")
        assert charge["cache_savings"] == usd("0.10"), "a million hits at 0.135 less 0.035"
        assert charge["off_peak_savings"] == usd("0.855"), "0.07 + 0.54 + 1.10 less what was charged"
        (edition,) = rows(engine, EditionRow)
        assert (edition["edition"], edition["text"]) == (charge["edition"], book().text)

    def test_an_account_in_yuan_is_priced_by_the_yuan_list(self, engine: Engine) -> None:
        set_up_account(engine, "cny", "CNY")
        record_and_post(engine, an_event("a", account="cny"))
        (charge,) = rows(engine, ChargeRow)
        assert (charge["currency"], charge["cost"]) == ("CNY", usd("8.00"))

    def test_a_call_beyond_64_bits_in_any_amount_is_unpriced_and_blocks_nothing(self, engine: Engine) -> None:
        set_up_account(engine, "cny", "CNY")
        most = {"miss": 1000 * BILLION, "output": 1000 * BILLION}
        bodies = [
            an_event(f"{band}-{model}", completed_at, account="cny", model=model, **most)
            for band, completed_at in (("standard", MARCH), ("off_peak", "2025-03-03T17:00:00Z"))
            for model in ("deepseek-chat", "deepseek-reasoner")
        ]
        record_and_post(engine, *bodies, an_event("good", account="cny"))
        assert counted(engine, ChargeRow, PendingRow) == [5, 0]


class TestBillingMonth:
    def test_it_is_the_month_of_completion_in_the_accounts_zone(self, engine: Engine) -> None:
        set_up_account(engine, "shanghai", timezone="Asia/Shanghai")
        set_up_account(engine, "utc")
        for account in ("shanghai", "utc"):
            for number, completed_at in enumerate(("2025-03-31T15:59:59.999999Z", "2025-03-31T16:00:00Z")):
                event = an_event(f"{account}-{number}", completed_at, account=account)
                record_and_post(engine, event, now="2025-04-10T00:00:00Z")
        months: dict[str, list[str]] = {"shanghai": [], "utc": []}
        for row in rows(engine, ChargeRow, ChargeRow.completed_at):
            assert row["adjusts"] is None
            months[row["account"]].append(row["billing_month"])
        assert months == {"shanghai": ["2025-03", "2025-04"], "utc": ["2025-03", "2025-03"]}

    def test_a_batch_has_one_entry_for_each_month(self, engine: Engine) -> None:
        events = [an_event(f"c{n}", f"2025-0{n}-05T12:00:00Z") for n in (3, 1, 2)]
        record_and_post(engine, *events, an_event("c4", "2025-02-06T12:00:00Z"))
        entries = [(row["billing_month"], row["first_seq"], row["seq"]) for row in rows(engine, EntryRow, EntryRow.seq)]
        assert entries == [("2025-01", 1, 1), ("2025-02", 2, 3), ("2025-03", 4, 4)]


class TestPastSixtyFourBits:
    """9.2 million USD are 2^63 units of 10^-12: two credits or one batch of calls pass it."""

    def test_balances_and_reports_are_exact(self, engine: Engine) -> None:
        for _ in range(2):
            top_up(engine, "9000000.00", OPENING)
            grant(engine, "9000000.00", OPENING)
        assert balance(engine) == ("18000000.00", "18000000.00")
        calls = [
            an_event(f"c{n}", f"2025-03-03T12:00:{n:02d}Z", hit=7, miss=n, output=1000 * BILLION) for n in range(36)
        ]
        record_and_post(engine, *calls)  # 36 x 1,100,000 USD and a little
        little = sum(7 * 70_000 + n * 270_000 for n in range(36))
        spent = 36 * usd("1100000.00") + little
        assert spent > 4 * MAX_AMOUNT
        with reading(engine) as connection:
            report = spend_report(connection, Scope(month="2025-03"), by=("model",))
        totals = {"cost": spent, "granted": usd("9000000.00") * 2, "topped_up": usd("9000000.00") * 2}
        totals |= {"overdraft": spent - 4 * usd("9000000.00"), "cache_hit_tokens": 7 * 36, "output_tokens": 36 * 10**12}
        assert {name: report.totals[name] for name in totals} == totals
        (row,) = report.rows.to_dict("records")
        assert {name: row[name] for name in totals} == totals
        charges = [row for row in rows(engine, EntryRow) if row["kind"] == "charges"]
        assert len(charges) == 5, "at most eight such charges fit one entry"
        assert all(abs(line["amount"]) <= MAX_AMOUNT for line in rows(engine, LineRow))
        assert sum(row["seq"] - row["first_seq"] + 1 for row in charges) == 36
        owed = spent - 4 * usd("9000000.00")
        assert balance(engine) == ("0.00", f"-{owed // 10**12}.{owed % 10**12:012d}".rstrip("0"))

    def test_overdraft_passes_it_and_is_repaid_by_several_top_ups(self, engine: Engine) -> None:
        top_up(engine, "0.01", OPENING)
        record_and_post(engine, *(an_event(f"c{n}", output=1000 * BILLION) for n in range(18)))
        assert rows(engine, AccountRow)[0]["overdraft"] == usd("1100000.00") * 18 - usd("0.01") > 2 * MAX_AMOUNT
        for _ in range(3):
            top_up(engine, "9000000.00", "2025-03-05T00:00:00Z")
        assert balance(engine) == ("0.00", "7200000.01")
        assert rows(engine, AccountRow)[0]["overdraft"] == 0


class TestPosters:
    def test_posting_again_posts_nothing(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a"))
        before = rows(engine, AccountRow)
        assert post(engine) == 0
        assert rows(engine, AccountRow) == before

    def test_more_than_a_batch_is_posted_by_one_call_and_a_grant_expires_after_the_last(self, engine: Engine) -> None:
        grant(engine, "3.00", OPENING, "2025-03-04T00:00:00Z", now=OPENING)
        record(engine, *(an_event(f"c{n}", output=MILLION // 1000) for n in range(2_001)))
        assert post(engine) == 2_001
        assert balance(engine, MARCH) == ("0.7989", "0.00")
        assert [row["amount"] for row in rows(engine, ExpiryRow)] == [usd("0.7989")]

    def test_a_full_batch_of_late_calls_reverses_an_expiry_before_the_last_call(self, engine: Engine) -> None:
        grant(engine, "3.00", OPENING, "2025-03-04T00:00:00Z")
        record(engine, *(an_event(f"c{n}", output=MILLION // 1000) for n in range(2_001)))
        assert post(engine) == 2_001
        moves = [row["amount"] for row in rows(engine, ExpiryRow, ExpiryRow.seq)]
        assert moves == [usd("3.00"), -usd("2.20"), -usd("0.0011")]

    def test_posters_of_one_account_at_once_post_nothing_twice(self, engine: Engine, database_url: str) -> None:
        give(engine, "granted", "7.00", OPENING)
        give(engine, "topped_up", "20.00", OPENING)

        def write(number: int) -> int:
            own = open_engine(database_url)
            try:
                posted = 0
                for part in range(5):
                    record(own, *(an_event(f"c{number}-{part}-{n}") for n in range(2)))
                    posted += post(own)
                return posted
            finally:
                own.dispose()

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(write, range(4))) == 40
        assert counted(engine, ChargeRow, PendingRow) == [40, 0]
        assert balance(engine) == ("0.00", "-17.00")
