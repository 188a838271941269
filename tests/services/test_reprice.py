"""Pricing again: what the present book says otherwise, worked out by hand, once, in the month that is open for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.price_book import PriceBook
from costmeter.prices.read import read_edition
from costmeter.reports.spend import spend_report
from costmeter.services.reprice import Group, Repriced, reprice
from costmeter.services.verify import verify
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from costmeter.store.tables import AccountRow, ChargeRow, DeductionRow, EntryRow, EventRow, LineRow, RepaymentRow
from tests.books import a_book, a_name, a_tariff
from tests.late_prices import with_a_later_calendar, with_new_model, with_other_rate
from tests.make import (
    NOW,
    an_event,
    at,
    balance,
    book,
    grant,
    post,
    record,
    record_and_post,
    rows,
    set_up_account,
    splits,
    top_up,
    usd,
)
from tests.services.invariants import check_books, close

OPENING = "2025-01-01T00:00:00Z"
NOTHING = "0.00"
LEDGER = (AccountRow, ChargeRow, DeductionRow, EntryRow, LineRow, RepaymentRow)


@pytest.fixture(autouse=True)
def _books_hold(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the books hold and replay afterwards."""
    yield
    check_books(engine)
    assert verify(engine) == []


def again(
    engine: Engine, new: PriceBook, now: str = NOW, names: list[str] | None = None, **more: Any
) -> dict[Group, Repriced]:
    return reprice(engine, names, book=new, read_book=read_edition, by="finance", now=at(now), **more)


def unpriced(event_id: str, completed_at: str = "2025-03-04T12:00:00Z", **more: Any) -> dict[str, Any]:
    """A call that the built-in book has no price for, and the book with a new model prices at 2.00 USD."""
    return an_event(event_id, completed_at, model="deepseek-9", **more)


def in_march(tariff: str | None, project: str | None = None) -> Group:
    return Group("default", "USD", "2025-03", tariff, project)


class TestWhatChanges:
    def test_an_unpriced_call_gets_its_price_and_is_paid_in_its_place(self, engine: Engine) -> None:
        grant(engine, "3.00", OPENING)
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, unpriced("a"), an_event("b", "2025-03-05T12:00:00Z"))
        assert again(engine, with_new_model()) == {in_march("deepseek-9/2025"): Repriced(1, 1, 0, 0, usd("2.00"))}
        # a takes 2.00 of the grant; b finds 1.00 of it and takes 0.10 of the top-up.
        assert splits(engine) == {"a": ("2.00", NOTHING, NOTHING, NOTHING), "b": ("1.00", "0.10", NOTHING, NOTHING)}
        assert balance(engine) == (NOTHING, "4.90")
        with reading(engine) as connection:
            totals = spend_report(connection, Scope(month="2025-03")).totals
        assert (totals["calls"], totals["unpriced"], totals["cost"]) == (2, 0, usd("3.10"))

    def test_a_rate_that_was_wrong_gives_back_or_takes_the_difference(self, engine: Engine) -> None:
        top_up(engine, "2.00", OPENING)
        calls = {"a": "2025-03-03T12:00:00Z", "night": "2025-03-03T17:00:00Z", "b": "2025-03-04T12:00:00Z"}
        record_and_post(engine, *(an_event(name, when) for name, when in calls.items()))
        assert splits(engine)["b"] == (NOTHING, "0.35", "0.75", NOTHING)  # 2.00 - 1.10 - 0.55 = 0.35
        again(engine, with_other_rate())
        # a is 1.50; the night still 0.55, of which 0.50 are left; b is 1.50, all of it owed.
        assert splits(engine) == {
            "a": (NOTHING, "1.50", NOTHING, NOTHING),
            "night": (NOTHING, "0.50", "0.05", NOTHING),
            "b": (NOTHING, NOTHING, "1.50", NOTHING),
        }
        assert balance(engine) == (NOTHING, "-1.55")
        # Back to the first book: the balance is what it was.
        assert again(engine, book())[in_march("deepseek-v3/2025-02-26")].after == usd("2.75")
        assert splits(engine)["b"] == (NOTHING, "0.35", "0.75", NOTHING)

    def test_savings_alone_make_a_charge_anew(self, engine: Engine) -> None:
        record_and_post(engine, an_event("night", "2025-03-03T17:00:00Z"))
        found = again(engine, with_other_rate())
        assert found == {in_march("deepseek-v3/2025-02-26"): Repriced(1, 0, 0, usd("0.55"), usd("0.55"))}
        savings = [row["off_peak_savings"] for row in rows(engine, ChargeRow, ChargeRow.seq)]
        assert savings == [usd("0.55"), -usd("0.55"), usd("0.95")]

    def test_a_provisional_call_is_settled_by_the_published_calendar(self, engine: Engine) -> None:
        now = "2027-03-01T00:00:00Z"
        days = {"holiday": "2027-01-18T02:00:00Z", "workday": "2027-01-19T02:00:00Z"}
        record_and_post(engine, *(an_event(k, v, model="deepseek-flash") for k, v in days.items()), now=now)
        assert {row["status"] for row in rows(engine, ChargeRow)} == {"provisional"}
        again(engine, with_a_later_calendar(), now)
        in_force = {row["completed_at"].day: row for row in rows(engine, ChargeRow, ChargeRow.seq)}
        assert {day: row["status"] for day, row in in_force.items()} == {18: "priced", 19: "priced"}
        # A holiday is off-peak all day, at half the price.
        assert (in_force[18]["cost"], in_force[19]["cost"]) == (usd("0.60"), usd("1.20"))

    def test_a_tariff_that_is_gone_leaves_the_call_unpriced(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, unpriced("a"))
        again(engine, with_new_model())
        assert again(engine, book()) == {in_march(None): Repriced(1, 0, 1, usd("2.00"), 0)}
        assert balance(engine) == (NOTHING, "5.00")

    def test_it_is_grouped_by_account_month_tariff_and_project(self, engine: Engine) -> None:
        set_up_account(engine, "asia", timezone="Asia/Shanghai")
        record_and_post(
            engine,
            unpriced("1", "2025-02-28T16:00:00Z", account="asia", project="x"),  # March there
            unpriced("2", "2025-02-28T16:00:00Z", project="x"),
            unpriced("3", "2025-02-28T17:00:00Z", project="x"),
            unpriced("4", "2025-02-28T18:00:00Z"),
        )
        tariff = "deepseek-9/2025"
        assert {group: sums.charges for group, sums in again(engine, with_new_model(), dry_run=True).items()} == {
            Group("asia", "USD", "2025-03", tariff, "x"): 1,
            Group("default", "USD", "2025-02", tariff, "x"): 2,
            Group("default", "USD", "2025-02", tariff, None): 1,
        }

    def test_the_start_decides_to_the_microsecond_where_the_tariff_says_so(self, engine: Engine) -> None:
        nine, ten = (
            [f'{{ band = "night", start = "00:00", end = "{end}", zone = "UTC" }}'] for end in ("09:00", "10:00")
        )
        bands = {"day": {"output": "2"}, "night": {"output": "1"}}
        old, new = (a_book(a_tariff(basis="start", band="day", windows=w, bands=bands), a_name()) for w in (nine, ten))
        starts = {"in": "2025-03-03T09:59:59.999999Z", "out": "2025-03-03T10:00:00Z", "unknown": None}
        for name, start in starts.items():
            record(engine, an_event(name, "2025-03-03T10:00:01Z", model="demo", started_at=start))
        post(engine, by=old)
        record(engine, an_event("early", "2025-03-03T09:30:00Z", model="demo"))  # by its completion
        post(engine, by=old)
        assert again(engine, new)[in_march("demo/1")] == Repriced(2, 0, 0, usd("4.00"), usd("2.00"))
        in_force = {row["event_key"]: row for row in rows(engine, ChargeRow, ChargeRow.seq)}
        names = {row["event_key"]: row["event_id"] for row in rows(engine, EventRow)}
        found = {names[key]: (row["cost"], row["flags"]) for key, row in in_force.items()}
        assert found == {
            "in": (usd("1.00"), None),
            "out": (usd("2.00"), None),
            "unknown": (usd("2.00"), "start_unknown"),
            "early": (usd("1.00"), "start_unknown"),
        }


class TestWhatDoesNot:
    def test_calls_are_not_even_read_where_no_price_changes(self, engine: Engine) -> None:
        """Another model, and another month than the one that changed."""
        chosen = [an_event(name, f"2025-0{month}-03T12:00:00Z") for month, name in ((2, "before"), (3, "in"))]
        record_and_post(engine, *chosen, an_event("other", model="deepseek-reasoner"))
        read: list[int] = []
        again(engine, with_other_rate(), dry_run=True, progress=read.append)
        assert read == [1]

    def test_a_dry_run_changes_nothing(self, engine: Engine) -> None:
        record_and_post(engine, unpriced("a"))
        before = [rows(engine, table) for table in LEDGER]
        assert again(engine, with_new_model(), dry_run=True)[in_march("deepseek-9/2025")].charges == 1
        assert [rows(engine, table) for table in LEDGER] == before

    def test_run_again_it_changes_nothing(self, engine: Engine) -> None:
        top_up(engine, "5.00", OPENING)
        record_and_post(engine, unpriced("a"), an_event("b"))
        again(engine, with_new_model())
        before = [rows(engine, table) for table in LEDGER]
        assert again(engine, with_new_model(), "2025-03-20T00:00:00Z") == {}
        assert [rows(engine, table) for table in LEDGER] == before

    def test_calls_that_came_late_are_left_where_no_price_changes(self, engine: Engine) -> None:
        grant(engine, "1.10", OPENING)
        record_and_post(engine, an_event("later", "2025-03-03T13:00:00Z"))
        record_and_post(engine, an_event("sooner", "2025-03-03T12:00:00Z"))
        before = splits(engine)
        assert again(engine, with_new_model()) == {}
        assert splits(engine) == before

    def test_a_month_and_an_account_can_be_chosen(self, engine: Engine) -> None:
        for account in ("a", "b"):
            record_and_post(engine, *(unpriced(f"{n}", f"2025-0{n}-03T12:00:00Z", account=account) for n in (1, 2)))
        again(engine, with_new_model(), names=["a"], month="2025-02")
        unpriced_calls = [row for row in rows(engine, ChargeRow) if row["status"] == "unpriced"]
        assert sum(row["sign"] for row in unpriced_calls) == 3
        assert {(row["account"], row["billing_month"]) for row in rows(engine, ChargeRow) if row["cost"]} == {
            ("a", "2025-02")
        }


class TestMonths:
    def test_a_closed_month_is_adjusted_in_the_month_of_booking(self, engine: Engine) -> None:
        top_up(engine, "9.00", OPENING)
        record_and_post(engine, unpriced("jan", "2025-01-15T12:00:00Z"), unpriced("feb", "2025-02-15T12:00:00Z"))
        close(engine, "2025-01")
        again(engine, with_new_model(), now="2025-03-10T00:00:00Z")
        booked = [row for row in rows(engine, ChargeRow, ChargeRow.seq) if row["adjusts"]]
        assert [(row["billing_month"], row["adjusts"], row["sign"], row["cost"]) for row in booked] == [
            ("2025-03", "2025-01", -1, None),
            ("2025-03", "2025-01", 1, usd("2.00")),
        ]
        months = {}
        with reading(engine) as connection:
            for month in ("2025-01", "2025-02", "2025-03"):
                totals = spend_report(connection, Scope(month=month)).totals
                months[month] = (totals["calls"], totals["unpriced"], totals["cost"])
        # January stays as it was closed; March says one unpriced call less and 2.00 more.
        assert months == {"2025-01": (1, 1, 0), "2025-02": (1, 0, usd("2.00")), "2025-03": (0, -1, usd("2.00"))}


class TestInterrupted:
    def test_killed_between_two_months_it_goes_on(self, engine: Engine, database_url: str) -> None:
        grant(engine, "3.00", OPENING)
        top_up(engine, "20.00", OPENING)
        record_and_post(engine, *(unpriced(f"{n}", f"2025-0{n}-03T12:00:00Z") for n in (1, 2, 3)), an_event("last"))
        root = Path(__file__).resolve().parents[2]
        worker = [sys.executable, "-m", "tests.services.reprice_worker", database_url]
        ended = subprocess.run(worker, cwd=root, capture_output=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        assert sum(row["sign"] for row in rows(engine, ChargeRow) if row["status"] == "unpriced") == 2
        check_books(engine)
        assert verify(engine) == []
        found = again(engine, with_new_model())
        assert {group.month for group in found} == {"2025-02", "2025-03"}
        # 2.00 + 1.00 granted, then 1.00 + 2.00 + 1.10 topped up.
        assert balance(engine) == (NOTHING, "15.90")
        assert again(engine, with_new_model()) == {}
