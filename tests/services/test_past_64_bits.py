"""Sums past 64 bits, on both databases: balances, overdraft, reports and exports stay exact, whatever is done to them.

One amount fits 64 bits: at most 9,223,372.036854775807. A call of 10^12 output tokens costs 1,100,000 USD, by the other
price book 1,500,000, so twenty calls pass them.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sqlalchemy import Engine

from costmeter.core.money import MAX_AMOUNT, UNITS, format_amount, parse_amount
from costmeter.prices.read import read_edition
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.reprice import reprice
from costmeter.services.verify import verify
from costmeter.services.void_credit import void_credit
from costmeter.store.tables import AccountRow, RepaymentRow
from tests.cli.running import Run, run
from tests.late_prices import with_other_rate
from tests.make import NOW, an_event, at, balance, give, grant, record_and_post, rows, top_up
from tests.services.invariants import check_books

__all__ = ["run"]

OPENING = "2025-03-01T00:00:00Z"
MOST = format_amount(MAX_AMOUNT)
CALLS = 20
SPENT, SPENT_OTHERWISE = CALLS * 1_100_000 * UNITS, CALLS * 1_500_000 * UNITS


@pytest.fixture(autouse=True)
def _commands_use_it(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", database_url)


def spend(engine: Engine) -> None:
    """Twenty calls, a minute after each other."""
    calls = [an_event(f"c{n:02}", f"2025-03-03T12:{n:02}:00Z", output=10**12) for n in range(CALLS)]
    record_and_post(engine, *calls)


def check_everywhere(engine: Engine, run: Run, *, granted: int = 0, topped_up: int, overdraft: int, cost: int) -> None:
    """Account, balance, report and export say so, as does what is rebuilt, and everything replays."""
    for rebuilt in (False, True):
        if rebuilt:
            assert rebuild_projections(engine) == ["default"]
        assert [row["overdraft"] for row in rows(engine, AccountRow)] == [overdraft]
        assert balance(engine) == (format_amount(granted), format_amount(topped_up - overdraft))
        (info,) = run("balance", "--at", NOW, "--json").json["balance_infos"]
        assert info["total_balance"] == format_amount(granted + topped_up - overdraft)
        for by in ("project", "user", "hour"):  # from rollups by day, from the charges, from rollups by quarter hour
            report = run("report", "--month", "2025-03", "--by", by, "--json").json
            assert report["totals"]["cost"] == format_amount(cost)
            assert [row["cost"] for row in report["rows"]] == [format_amount(cost)]
        assert verify(engine, full=True) == []
        assert verify(engine) == []
    check_books(engine)


def exported(run: Run, folder: Path) -> dict[str, int]:
    """The sums of the columns of the charges' file."""
    run("export", "charges", "--month", "2025-03", "-o", folder / "charges.csv")
    with (folder / "charges.csv").open(encoding="utf-8", newline="") as file:
        charges = list(csv.DictReader(file))
    names = ("cost", "granted", "topped_up", "overdraft", "untracked")
    return {name: sum(parse_amount(row[name]) for row in charges) for name in names}


def test_credits(engine: Engine, run: Run) -> None:
    for number in range(3):
        grant(engine, MOST, OPENING, reference=f"granted {number}")
        top_up(engine, MOST, OPENING, reference=f"topped up {number}")
    assert balance(engine) == ("27670116.110564327421", "27670116.110564327421")
    spend(engine)
    left = 3 * MAX_AMOUNT - SPENT
    assert left > 0
    check_everywhere(engine, run, granted=left, topped_up=3 * MAX_AMOUNT, overdraft=0, cost=SPENT)
    void_credit(engine, "default", "granted 1", reason="a mistake", by="Ada", now=at(NOW))
    again = 2 * MAX_AMOUNT - SPENT  # less than nothing: the topped-up ones pay the rest
    check_everywhere(engine, run, granted=0, topped_up=3 * MAX_AMOUNT + again, overdraft=0, cost=SPENT)


def test_grants_that_expire(engine: Engine, run: Run) -> None:
    for _ in range(3):
        grant(engine, MOST, OPENING, expires_at="2025-03-03T12:00:00Z")
    spend(engine)
    assert balance(engine, "2025-03-03T11:59:59Z") == (format_amount(3 * MAX_AMOUNT), "0.00")
    check_everywhere(engine, run, topped_up=0, overdraft=SPENT, cost=SPENT)


def test_overdraft_that_is_priced_again_and_repaid(engine: Engine, run: Run, tmp_path: Path) -> None:
    top_up(engine, "1.00", OPENING)
    spend(engine)
    owed = SPENT - UNITS
    assert owed > 2**63
    check_everywhere(engine, run, topped_up=0, overdraft=owed, cost=SPENT)
    assert exported(run, tmp_path) == {
        "cost": SPENT, "granted": 0, "topped_up": UNITS, "overdraft": owed, "untracked": 0
    }  # fmt: skip

    reprice(engine, book=with_other_rate(), read_book=read_edition, by="finance", now=at(NOW))
    owed = SPENT_OTHERWISE - UNITS
    check_everywhere(engine, run, topped_up=0, overdraft=owed, cost=SPENT_OTHERWISE)

    for number in range(4):
        give(engine, "topped_up", MOST, "2025-03-05T00:00:00Z", reference=f"r{number}")
    assert sum(row["amount"] for row in rows(engine, RepaymentRow)) == owed
    left = 4 * MAX_AMOUNT - owed
    check_everywhere(engine, run, topped_up=left, overdraft=0, cost=SPENT_OTHERWISE)
    assert exported(run, tmp_path)["overdraft"] == owed


def test_calls_before_the_opening_that_a_late_grant_pays(engine: Engine, run: Run, tmp_path: Path) -> None:
    spend(engine)
    assert exported(run, tmp_path)["untracked"] == SPENT
    for _ in range(2):
        grant(engine, MOST, OPENING)
    check_everywhere(engine, run, topped_up=0, overdraft=SPENT - 2 * MAX_AMOUNT, cost=SPENT)
    assert exported(run, tmp_path) == {
        "cost": SPENT, "granted": 2 * MAX_AMOUNT, "topped_up": 0, "overdraft": SPENT - 2 * MAX_AMOUNT, "untracked": 0
    }  # fmt: skip
