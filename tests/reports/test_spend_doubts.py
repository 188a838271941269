"""What a spend report leaves in doubt is counted beside it, and what the clock could move is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Engine

from costmeter.prices.read import builtin_text, read_book
from costmeter.reports.spend import DOUBTS
from costmeter.services.post_charges import post_charges
from costmeter.services.record_calls import Broken
from costmeter.services.verify import verify
from costmeter.store import bulk, rollups
from costmeter.store.engine import in_transaction
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow
from tests.make import (
    MILLION,
    an_event,
    an_unmetered,
    at,
    book,
    post,
    record,
    record_and_post,
    rows,
    set_up_account,
    usd,
)
from tests.reports.spending import MARCH, spend

COSTS = ("cost", "cost_cache_hit", "cost_cache_miss", "cost_output")
PARTS = ("granted", "topped_up", "overdraft", "untracked")
SAVINGS = ("cache_savings", "off_peak_savings")


class TestDoubts:
    def doubts(self, engine: Engine, scope: Scope = MARCH) -> dict[str, int]:
        totals = spend(engine, scope).totals
        return {name: totals[name] for name in (*DOUBTS, "calls") if totals[name]}

    def test_everything_in_doubt_is_counted_beside_the_money(self, engine: Engine) -> None:
        record(
            engine,
            an_event("ok"),
            an_event("unpriced", model="deepseek-9"),
            an_event("failed", status="failed") | {"usage": None},
            an_unmetered("unmetered"),
            an_event("refused", output=-1),
            an_event("ok", output=3),
            Broken("0" * 64, 3, "Expecting value"),
        )
        assert self.doubts(engine) == {"failed": 1, "unmetered": 1, "quarantined": 2, "unposted": 2}
        post(engine)
        assert self.doubts(engine) == {"failed": 1, "unmetered": 1, "quarantined": 2, "unpriced": 1, "calls": 2}

    def test_they_are_those_of_the_interval(self, engine: Engine) -> None:
        for month in ("01", "02"):
            instant = f"2025-{month}-15T12:00:00Z"
            failed = an_event(f"f{month}", instant, status="failed") | {"usage": None}
            late = an_event(f"p{month}", instant, output=2)
            record(engine, failed, an_unmetered(f"u{month}", instant), an_event(f"r{month}", instant, output=-1), late)
        february = {"failed": 1, "unmetered": 1, "quarantined": 1, "unposted": 1}
        assert self.doubts(engine, Scope(month="2025-02")) == february
        scope = Scope.checked(start=at("2025-02-15T12:00:00Z"), end=at("2025-02-15T12:00:01Z"))
        assert self.doubts(engine, scope) == february
        assert self.doubts(engine, Scope(month="2025-03")) == {}

    def test_what_has_no_readable_completion_counts_by_its_receipt(self, engine: Engine) -> None:
        broken = Broken("0" * 64, 3, "Expecting value")
        record(engine, broken, an_event("a") | {"completed_at": "soon"}, now="2025-03-10T00:00:00Z")
        assert self.doubts(engine) == {"quarantined": 2}
        day = Scope.checked(start=at("2025-03-10T00:00:00Z"), end=at("2025-03-11T00:00:00Z"))
        assert self.doubts(engine, day) == {"quarantined": 2}
        before = Scope.checked(start=at("2025-03-09T00:00:00Z"), end=at("2025-03-10T00:00:00Z"))
        assert self.doubts(engine, before) == {}

    def test_what_names_an_account_that_is_not_there_is_counted(self, engine: Engine) -> None:
        record(engine, an_event("a"), an_event("b", account="new", output=-1))
        assert self.doubts(engine)["quarantined"] == 1

    def test_filters_apply_to_calls_in_doubt_as_well(self, engine: Engine) -> None:
        failed = [an_event(p, project=p, status="failed") | {"usage": None} for p in ("search", "chat")]
        record(engine, *failed, an_event("ok", project="chat"))
        assert self.doubts(engine, Scope.checked(month="2025-03", where=["project=chat"])) == {
            "failed": 1, "unposted": 1
        }  # fmt: skip

    def test_an_unmetered_call_that_was_measured_since_is_not_counted(self, engine: Engine) -> None:
        record_and_post(engine, an_unmetered("a"), an_unmetered("b"))
        record_and_post(engine, an_event("a"))
        assert self.doubts(engine) == {"unmetered": 1, "calls": 1}

    def test_provisional_prices_are_counted_and_summed(self, engine: Engine) -> None:
        monday = an_event("a", "2027-01-18T02:00:00Z", model="deepseek-flash")
        record_and_post(engine, monday, now="2027-02-01T00:00:00Z")
        scope = Scope(month="2027-01")
        assert self.doubts(engine, scope) == {"provisional": 1, "calls": 1}
        assert spend(engine, scope).totals["cost"] == usd("1.20")


class TestDoubtsOfTheClock:
    """April 2025 begins in Shanghai at 16:00 UTC on March 31, at 1.10 a million; from 16:30 on it is 0.55."""

    def found(self, engine: Engine, scope: Scope = MARCH, by: Sequence[str] = ("model",)) -> tuple[int, str]:
        totals = spend(engine, scope, by).as_dict()["totals"]
        return totals["clock_doubts"], totals["clock_doubt_amount"]

    @pytest.fixture
    def near(self, engine: Engine) -> Engine:
        """Calls that are near an edge, and others that have no offset or are near none."""
        clock = {"clock_offset_seconds": -0.25}
        wrong = {"clock_offset_seconds": 1_800}
        set_up_account(engine, "asia", timezone="Asia/Shanghai")
        record_and_post(
            engine,
            an_event("band", "2025-03-03T16:30:00Z", project="search", detail=clock),
            an_event("without", "2025-03-03T16:30:00Z"),
            an_event("noon", "2025-03-03T12:00:00Z", detail=clock),
            an_event("month", "2025-03-31T15:59:59Z", account="asia", detail=clock),
            an_event("both", "2025-03-31T15:59:00Z", account="asia", output=2 * MILLION, detail=wrong),
            an_event("april", "2025-03-31T16:00:00Z", account="asia", detail=clock),
            an_event("unpriced", "2025-03-31T15:59:59Z", account="asia", model="deepseek-9", detail=clock),
            now="2025-04-02T00:00:00Z",
        )
        return engine

    def test_they_are_counted_with_the_money_that_could_move(self, near: Engine) -> None:
        # 0.55 of the first; of the others the whole amounts, 1.10 and 2.20 (once), and nothing that is known.
        assert self.found(near) == (4, "3.85")
        assert self.found(near, by=()) == (4, "3.85")
        assert self.found(near, Scope(month="2025-04")) == (1, "1.10")

    def test_they_are_those_in_scope(self, near: Engine) -> None:
        assert self.found(near, Scope(month="2025-03", account="default")) == (1, "0.55")
        assert self.found(near, Scope.checked(month="2025-03", where=["project=search"])) == (1, "0.55")
        assert self.found(near, Scope.checked(month="2025-03", where=["band=standard"])) == (2, "3.30")
        day = Scope.checked(start=at("2025-03-31T00:00:00Z"), end=at("2025-04-01T00:00:00Z"))
        assert self.found(near, day) == (4, "4.40")
        assert self.found(near, Scope(month="2025-02")) == (0, "0.00")

    def test_a_reversal_takes_its_doubt_back(self, near: Engine) -> None:
        (charge,) = [row for row in rows(near, ChargeRow) if row["flags"] == "clock_near_band"]
        taken_back = {name: -charge[name] for name in (*COSTS, *PARTS, *SAVINGS, "sign")}
        reversal = charge | taken_back | {"revision": 2, "supersedes": 1, "seq": 99}
        in_transaction(near, lambda connection: bulk.add(connection, ChargeRow, [reversal]))
        in_transaction(near, lambda connection: rollups.rebuild(connection, "default", "UTC"))

        assert self.found(near) == (3, "3.30")

    def test_they_are_judged_by_the_price_book_of_their_time(self, near: Engine) -> None:
        """What is posted later by a book with another price at night changes nothing for the calls before it."""
        cheap_night = read_book([builtin_text().replace('output = "0.550"', 'output = "0.10"')])
        assert cheap_night.edition != book().edition
        late = an_event("late", "2025-03-03T16:30:00Z", detail={"clock_offset_seconds": 0})
        record(near, late, now="2025-04-02T00:00:00Z")
        post_charges(near, "default", book=cheap_night, now=at("2025-04-02T00:00:00Z"))

        assert self.found(near, Scope(month="2025-03", account="default")) == (2, "1.55")  # 0.55 and 1.10 less 0.10
        assert verify(near) == []
