"""History from the console: each row once, nothing that counts already, and sums by billing month."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import ConflictError, InputError, NotFoundError
from costmeter.core.money import format_amount
from costmeter.services.import_export import ImportTally, import_export
from costmeter.services.read_console import read_console
from costmeter.services.verify import verify
from costmeter.services.void_import import void_import
from costmeter.store import accounts, audit, imported
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from costmeter.store.tables import ImportedCostRow, ImportedUsageRow, ImportRow
from tests.exported import KEY, amount_row, an_export, cost_row
from tests.make import NOW, an_event, an_unmetered, at, balance, counted, record, record_and_post, rows, set_up_account
from tests.make import top_up as give_top_up

JANUARY = "2025-01-31T00:00:00+08:00,2025-02-01T00:00:00+08:00"
FEBRUARY = "2025-02-01T00:00:00+08:00,2025-02-02T00:00:00+08:00"
MARCH = "2025-03-03T00:00:00Z,2025-03-04T00:00:00Z"


def do_import(engine: Engine, path: Path, account: str = "default", **home: str) -> ImportTally:
    return import_export(engine, account, read_console(path), by="Ada", home=Home(**home), now=at(NOW))


def counts(tally: ImportTally) -> tuple[int, int, int, int]:
    return tally.accepted, tally.duplicates, len(tally.conflicts), len(tally.refused)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Two days, the first of which ends in February by UTC and in January by Shanghai's clocks."""
    amounts = [amount_row(n, meter=meter, price=price, time=time)
               for n, meter, price, time in (
                   (500, "output_tokens", "0.0000006", JANUARY), (7, "output_tokens", "0.0000012", JANUARY),
                   (3, "request_count", "", JANUARY), (9, "output_tokens", "0.0000006", FEBRUARY))]  # fmt: skip
    costs = [cost_row("0.0003", "granted", time=JANUARY), cost_row("0.0000084", time=JANUARY)]
    return an_export(tmp_path / "history.zip", amounts, [*costs, cost_row("0.0000054", time=FEBRUARY)])


def test_each_row_is_kept_once_however_often_it_comes(engine: Engine, history: Path) -> None:
    assert counts(do_import(engine, history)) == (7, 0, 0, 0)
    assert counts(do_import(engine, history)) == (0, 7, 0, 0)
    assert counted(engine, ImportedUsageRow, ImportedCostRow, ImportRow) == [4, 3, 1]
    (file,) = rows(engine, ImportRow)
    assert (file["name"], file["imported_by"], len(file["sha256"])) == ("history.zip", "Ada", 64)
    with reading(engine) as connection:
        (said,) = [entry for entry in audit.listed(connection, limit=10) if entry.action == "import.export"]
        assert [kept.name for kept in imported.files(connection, "default")] == ["history.zip"]
    assert (said.account, said.by_whom, said.change["accepted"]) == ("default", "Ada", 7)


def test_an_interval_belongs_to_the_month_of_the_accounts_zone_that_it_starts_in(engine: Engine, history: Path) -> None:
    for name, zone in (("utc", "UTC"), ("asia", "Asia/Shanghai")):
        set_up_account(engine, name, timezone=zone)
        do_import(engine, history, name)
    with reading(engine) as connection:
        utc, asia = (accounts.get(connection, name) for name in ("utc", "asia"))
        assert imported.usage_of_month(connection, asia, "2025-02") == [("deepseek-flash", "output", 600_000, 9)]
        assert imported.usage_of_month(connection, utc, "2025-02") == []
        assert imported.usage_of_month(connection, utc, "2025-01") == [
            ("deepseek-flash", "output", 600_000, 509),
            ("deepseek-flash", "output", 1_200_000, 7),
            ("deepseek-flash", "requests", None, 3),
        ]
        costs = imported.costs_of_month(connection, asia, "2025-01")
    assert [(cost.wallet, cost.currency, format_amount(cost.cost)) for cost in costs] == [
        ("granted", "USD", "0.0003"),
        ("topped_up", "USD", "0.0000084"),
    ]


def test_another_amount_for_the_same_slot_is_a_conflict_that_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    do_import(engine, an_export(tmp_path / "a.zip", [amount_row(500)], [cost_row("0.0003")]))
    tally = do_import(engine, an_export(tmp_path / "b.zip", [amount_row(501)], [cost_row("0.0004")]))
    assert counts(tally) == (0, 0, 2, 0)
    assert [row.error for row in tally.conflicts] == [
        "says 501 where 500 is kept; what is kept stands",
        "says 0.0004 where 0.0003 is kept; what is kept stands",
    ]
    assert [row["amount"] for row in rows(engine, ImportedUsageRow)] == [500]
    assert counted(engine, ImportRow) == [1]


def test_one_file_that_says_two_things_of_a_slot_is_a_conflict_in_itself(engine: Engine, tmp_path: Path) -> None:
    path = an_export(tmp_path / "a.zip", [amount_row(500), amount_row(501), amount_row(500)], [])
    assert counts(do_import(engine, path)) == (1, 1, 1, 0)


@pytest.mark.parametrize("kind", ["measured", "pending", "unmetered"])
def test_a_day_with_recorded_calls_is_refused_by_name(engine: Engine, kind: str, tmp_path: Path) -> None:
    if kind == "measured":
        record_and_post(engine, an_event())
    else:
        record(engine, an_event() if kind == "pending" else an_unmetered())
    later = "2025-03-04T00:00:00Z,2025-03-05T00:00:00Z"
    tally = do_import(engine, an_export(tmp_path / "a.zip", [amount_row(time=MARCH), amount_row(time=later)], []))
    assert counts(tally) == (1, 0, 0, 1)
    assert tally.refused[0].error == (
        "interval 2025-03-03T00:00:00Z to 2025-03-04T00:00:00Z: has calls that were recorded, which count already; "
        "export the time before them"
    )


def test_a_call_that_cost_nothing_bars_no_day(engine: Engine, tmp_path: Path) -> None:
    record(engine, an_event(status="failed", http_status=429) | {"usage": None})
    assert counts(do_import(engine, an_export(tmp_path / "a.zip", [amount_row(time=MARCH)], []))) == (1, 0, 0, 0)


def test_hours_of_a_day_that_was_imported_are_refused(engine: Engine, tmp_path: Path) -> None:
    do_import(engine, an_export(tmp_path / "a.zip", [amount_row(time=MARCH)], []))
    hour = "2025-03-03T23:00:00Z,2025-03-04T00:00:00Z"
    shifted = "2025-03-04T00:00:00+08:00,2025-03-05T00:00:00+08:00"
    tally = do_import(engine, an_export(tmp_path / "b.zip", [amount_row(time=hour), amount_row(time=shifted)], []))
    assert counts(tally) == (0, 0, 0, 2)
    assert "overlaps the interval 2025-03-03T00:00:00Z to 2025-03-04T00:00:00Z; import one" in tally.refused[0].error


def test_another_currency_is_refused_and_a_new_account_takes_the_exports(engine: Engine, tmp_path: Path) -> None:
    path = an_export(tmp_path / "a.zip", [], [cost_row(currency="CNY")])
    set_up_account(engine, "dollars")
    refused = do_import(engine, path, "dollars").refused
    assert refused[0].error == "currency 'CNY': account 'dollars' is kept in USD; import it into one of its own"
    assert counts(do_import(engine, path, "yuan")) == (1, 0, 0, 0)
    with reading(engine) as connection:
        assert accounts.get(connection, "yuan").currency == "CNY"


def test_no_balance_moves_and_the_ledger_stays_whole(engine: Engine, history: Path) -> None:
    give_top_up(engine, "5.00", "2025-01-01T00:00:00Z")
    do_import(engine, history)
    assert balance(engine) == ("0.00", "5.00")
    assert verify(engine, full=True) == []


def test_no_row_has_a_key(engine: Engine, history: Path) -> None:
    do_import(engine, history)
    assert KEY not in repr([rows(engine, table) for table in (ImportRow, ImportedUsageRow, ImportedCostRow)])


def test_an_import_that_is_voided_counts_no_more_and_can_be_made_again(engine: Engine, history: Path) -> None:
    do_import(engine, history)
    with reading(engine) as connection:
        (file,) = imported.files(connection, "default")
    name = file.import_id.hex()
    done = void_import(engine, "default", name, by="Ada", reason="of another team", now=at(NOW))
    with reading(engine) as connection:
        account = accounts.get(connection, "default")
        assert imported.files(connection, "default") == [done]
        assert imported.intervals(connection, "default") == []
        assert imported.usage_of_month(connection, account, "2025-01") == []
        assert imported.costs_of_month(connection, account, "2025-01") == []
        (said,) = [entry for entry in audit.listed(connection, limit=10) if entry.action == "import.void"]
    assert (said.subject, said.by_whom, said.reason) == (name, "Ada", "of another team")
    assert counted(engine, ImportedUsageRow, ImportedCostRow) == [4, 3]
    with pytest.raises(ConflictError, match="was voided at 2025-03-10T00:00:00Z by Ada: of another team"):
        void_import(engine, "default", name, by="Bo", reason="again", now=at(NOW))
    with pytest.raises(NotFoundError, match="no import '00' of account 'default'; see: costmeter import list"):
        void_import(engine, "default", "00", by="Bo", reason="wrong", now=at(NOW))
    assert counts(do_import(engine, history)) == (7, 0, 0, 0)
    assert counts(do_import(engine, history)) == (0, 7, 0, 0)


def test_nobody_imports_without_a_name(engine: Engine, history: Path) -> None:
    with pytest.raises(InputError, match="by ' ': write 1 to 256 characters"):
        import_export(engine, "default", read_console(history), by=" ", home=Home(), now=at(NOW))
