"""The watch on real books: each alert once however many look, its end once, and again when it is so again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier, Event
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, update

from costmeter.core.periods import format_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.watch import KINDS, LowBalance, Thresholds
from costmeter.services.correct_balance import NewCorrection, correct_balance
from costmeter.services.run_job import Done, run_job
from costmeter.services.take_lease import take_lease
from costmeter.services.void_credit import void_credit
from costmeter.services.watch import CHUNK, Looked, watch
from costmeter.store import accounts, alerts, freezes
from costmeter.store.accounts import Home
from costmeter.store.alerts import Alert, Crossing
from costmeter.store.engine import in_transaction, open_engine, reading
from costmeter.store.freezes import RELEASED, Freeze
from costmeter.store.runs import MOST_ATTEMPTS
from costmeter.store.tables import AccountRow, NoticeRow
from tests.books import RATES, a_book, a_name, a_tariff
from tests.jobs.schedules import LONGEST
from tests.make import an_event, at, balance, book, give, grant, record_and_post, rows, top_up
from tests.services.watching import CASES, FIRST, SECOND, Case, call, days, run

AT_ONCE = 8


def look(engine: Engine, now: str = FIRST, thresholds: Thresholds | None = None, by: PriceBook | None = None) -> Looked:
    return watch(engine, book=by or book(), thresholds=thresholds or Thresholds(), now=at(now))


def look_at_once(engine: Engine, case: Case, step: int) -> tuple[list[Crossing], list[Crossing]]:
    """What eight threads that look at once raised and recovered, all together."""
    ready = Barrier(AT_ONCE)

    def one(_: int) -> Looked:
        ready.wait()
        return look(engine, case.seen_at[step], case.thresholds, case.books[step]())

    with ThreadPoolExecutor(AT_ONCE) as pool:
        looked = [*pool.map(one, range(AT_ONCE))]
    return [alert for one in looked for alert in one.raised], [alert for one in looked for alert in one.recovered]


def standing(engine: Engine) -> list[Alert]:
    with reading(engine) as connection:
        return alerts.standing_of(connection, None, KINDS)


def told(engine: Engine) -> list[tuple[str, str, str, dict[str, Any]]]:
    """The notices, the oldest first."""
    found = rows(engine, NoticeRow, NoticeRow.created_at, NoticeRow.notice_id)
    return [(row["account"], row["event"], row["subject"], row["facts"]) for row in found]


@pytest.mark.parametrize("name", CASES)
def test_it_is_raised_once_recovered_once_and_raised_again(engine: Engine, name: str) -> None:
    case = CASES[name]
    first, again = (Crossing(case.account, case.rule, time, case.threshold) for time in ("1", "2"))

    case.begin(engine)
    assert look_at_once(engine, case, 0) == ([first], [])
    (stands,) = standing(engine)
    assert (stands.crossing, stands.facts, stands.raised_at) == (first, case.raised, at(case.seen_at[0]))
    assert look_at_once(engine, case, 0) == ([], [])

    case.end(engine)
    assert look_at_once(engine, case, 1) == ([], [first])
    assert standing(engine) == []
    assert look_at_once(engine, case, 1) == ([], [])

    case.again(engine)
    assert look_at_once(engine, case, 2) == ([again], [])
    assert [alert.crossing for alert in standing(engine)] == [again]
    assert told(engine)[:2] == [
        (case.account, "raised", case.rule, case.raised),
        (case.account, "recovered", case.rule, case.recovered),
    ]
    assert [event for _, event, _, _ in told(engine)] == ["raised", "recovered", "raised"]


def test_who_waited_for_the_lock_looks_again(engine: Engine, database_url: str) -> None:
    """What was so when the look began has ceased when it comes to be written: nothing is told of it."""
    CASES["frozen"].begin(engine)
    other, reached = open_engine(database_url), Event()

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("BEGIN IMMEDIATE", "UPDATE account")):
            reached.set()

    with ThreadPoolExecutor(1) as pool:
        with other.begin() as connection:
            accounts.lock(connection, "default")
            looked = pool.submit(look, engine)
            assert reached.wait(LONGEST), "it found what to raise"
            freezes.add(connection, "default", Freeze(2, RELEASED, at(FIRST), "ada", "restored"))
        assert looked.result() == (1, [], [])
    assert told(engine) == []
    other.dispose()


def test_of_a_healthy_account_nothing_is_told(engine: Engine) -> None:
    top_up(engine, "100.00", "2025-03-01T00:00:00Z")
    grant(engine, "5.00", "2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z")
    days(engine, 1, 9)
    record_and_post(engine, an_event("b", account="untracked"))
    in_transaction(engine, lambda connection: accounts.make_missing(connection, ["idle"], Home(), at(FIRST)))
    looked = look(engine)
    assert looked == (3, [], [])
    assert told(engine) == []


def test_without_thresholds_nothing_is_watched(engine: Engine) -> None:
    off = Thresholds(**{name: type(value)() for name, value in Thresholds()._asdict().items()})
    for name in ("low balance", "unpriced", "difference", "job failed"):
        CASES[name].begin(engine)
    grant(engine, "5.00", "2025-03-01T00:00:00Z", "2025-03-11T00:00:00Z", account="b")
    assert look(engine, "2026-12-01T00:00:00Z", off).raised == []
    assert look(engine).raised != []


def test_many_accounts_are_each_looked_at(engine: Engine) -> None:
    names = [f"account-{number:04}" for number in range(CHUNK + 1)]
    in_transaction(engine, lambda connection: accounts.make_missing(connection, names, Home(), at(FIRST)))
    low = (names[0], names[CHUNK - 1], names[CHUNK])
    for name in low:
        top_up(engine, "0.10", "2025-03-01T00:00:00Z", account=name)
    looked = look(engine)
    assert looked.accounts == CHUNK + 1
    assert [alert.account for alert in looked.raised] == [*low]


class TestLowBalance:
    def test_it_recovers_only_beyond_the_margin(self, engine: Engine) -> None:
        top_up(engine, "0.99", "2025-03-01T00:00:00Z")
        assert [alert.threshold for alert in look(engine).raised] == ["1.00 USD"]
        top_up(engine, "0.10", "2025-03-01T00:00:00Z")
        assert look(engine) == (1, [], []), "1.09 is not 110 % of 1.00"
        top_up(engine, "0.01", "2025-03-01T00:00:00Z")
        assert [alert.threshold for alert in look(engine).recovered] == ["1.00 USD"]

    @given(st.lists(st.tuples(st.sampled_from(["grant", "top_up", "call", "correct", "void"]), st.integers(0, 9))))
    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_the_balance_is_that_of_the_books(self, engine: Engine, steps: list[tuple[str, int]]) -> None:
        """Whatever moved it: what is told of is what `balance` answers."""
        name = f"account-{len(rows(engine, AccountRow))}"
        top_up(engine, "0.10", "2025-03-01T00:00:00Z", account=name)
        added = []
        for number, (what, size) in enumerate(steps):
            moment = f"2025-03-02T00:00:{number % 60:02}Z"
            if what in ("grant", "top_up"):
                kind, expires = (
                    ("granted", f"2025-03-{6 + size:02}T00:00:00Z") if what == "grant" else ("topped_up", None)
                )
                give(engine, kind, f"{size + 1}.07", moment, account=name, expires_at=expires, reference=f"r{number}")
                added.append(f"r{number}")
            elif what == "call":
                call(engine, f"{name}-{number}", moment, size, account=name)
            elif what == "correct":
                less = NewCorrection(name, -(size + 1) * 10**11, "any")
                correct_balance(engine, less, by="ada", now=at(FIRST))
            elif added:
                void_credit(engine, name, added.pop(), reason="any", by="ada", now=at(FIRST))
        granted, topped_up = balance(engine, FIRST, name)
        look(engine, thresholds=Thresholds(low_balance=(LowBalance(10**15, "USD"),), runway_days=0))
        (stands,) = [one for one in standing(engine) if one.account == name and one.rule == "low_balance"]
        assert (stands.facts["granted"], stands.facts["topped_up"]) == (granted, topped_up)


class TestExpiringGrant:
    def test_each_grant_is_told_once_for_each_number_of_days(self, engine: Engine) -> None:
        grant(engine, "5.00", "2025-03-01T00:00:00Z", "2025-03-17T00:00:00Z", reference="welcome")
        assert look(engine, "2025-03-09T23:59:59Z").raised == []
        (raised,) = look(engine, FIRST).raised
        assert raised == ("default", "expiring_grant 1", "1", "7 days")
        (stands,) = standing(engine)
        until = {"expires_at": "2025-03-17T00:00:00Z", "reference": "welcome"}
        assert stands.facts == {"credit": 1, "currency": "USD", "left": "5.00", **until}
        assert look(engine, "2025-03-15T23:59:59Z").raised == []
        assert [alert.threshold for alert in look(engine, "2025-03-16T00:00:00Z").raised] == ["1 day"]
        after = look(engine, "2025-03-17T00:00:00Z")
        assert {alert.threshold for alert in after.recovered} == {"7 days", "1 day"}
        assert {alert.rule for alert in after.raised} == {"low_balance"}, "nothing is left"

    def test_seen_late_it_is_told_for_the_fewest_days_alone(self, engine: Engine) -> None:
        grant(engine, "5.00", "2025-03-01T00:00:00Z", "2025-03-10T12:00:00Z")
        assert [alert.threshold for alert in look(engine).raised] == ["1 day"]

    def test_one_that_was_spent_is_not_told_and_one_that_is_recovers_silently_never_again(self, engine: Engine) -> None:
        top_up(engine, "50.00", "2025-03-01T00:00:00Z")
        grant(engine, "1.10", "2025-03-01T00:00:00Z", "2025-03-15T00:00:00Z", reference="gone")
        assert len(look(engine).raised) == 1
        void_credit(engine, "default", "gone", reason="any", by="ada", now=at(FIRST))
        assert len(look(engine).recovered) == 1
        assert look(engine) == (1, [], [])


class TestNoData:
    def test_who_pauses_each_week_is_never_told_of(self, engine: Engine) -> None:
        """Calls on the weekdays of two weeks: the third weekend is as silent as the ones before."""
        for day in (3, 4, 5, 6, 7, 10, 11, 12, 13, 14):
            days(engine, day, day)
        assert [look(engine, f"2025-03-{day}T18:00:00Z").raised for day in (15, 16, 17, 18)] == [[]] * 4

    def test_a_call_without_usage_is_one(self, engine: Engine) -> None:
        days(engine, 1, 7)
        failed = an_event("f", "2025-03-08T00:00:00Z", status="failed", http_status=402) | {"usage": None}
        record_and_post(engine, failed)
        assert look(engine, "2025-03-08T12:00:00Z").raised == []
        assert [alert.rule for alert in look(engine, "2025-03-09T00:00:00Z").raised] == ["no_data"]

    def test_silence_of_weeks_goes_on_standing(self, engine: Engine) -> None:
        days(engine, 1, 7)
        look(engine, "2025-03-09T00:00:00Z")
        assert look(engine, "2025-06-09T00:00:00Z").recovered == []
        assert [alert.rule for alert in standing(engine)] == ["no_data"]


def changing() -> PriceBook:
    """A price that changes on March 14th of 2025, and one of a model that ends then."""
    march = "2025-03-14T00:00:00Z"
    dearer = {"flat": RATES | {"output": "4"}}
    return a_book(
        a_tariff(end=march), a_tariff("demo/2", start=march, bands=dearer), a_name(),
        a_tariff("old/1", model="old", end=march), a_name("old", '{ model = "old" }'),
        a_tariff("same/1", model="same", end=march), a_tariff("same/2", model="same", start=march),
        a_name("same", '{ model = "same" }'), a_name("alias", '{ model = "demo" }'),
    )  # fmt: skip


class TestPriceChange:
    def test_each_change_of_a_model_in_use_is_told_once(self, engine: Engine) -> None:
        by = changing()
        for number, model in enumerate(("demo", "alias", "same")):
            record_and_post(engine, an_event(f"call-{number}", "2025-03-09T00:00:00Z", model=model))
        off = Thresholds(unpriced=0)
        assert look(engine, "2025-03-06T23:59:59Z", off, by).raised == []
        (raised,) = look(engine, "2025-03-10T00:00:00Z", off, by).raised
        assert raised == ("default", "price_change demo/2", "2025-03-14T00:00:00Z", "7 days")
        (stands,) = standing(engine)
        rates = (("input.cache_hit", "1", "1"), ("input.cache_miss", "2", "2"), ("output", "3", "4"))
        assert stands.facts == {
            "from": "2025-03-14T00:00:00Z", "models": ["alias", "demo"], "currency": "USD",
            "after": "demo/2", "rates": [
                {"before": "demo/1", "band": "flat", "meter": meter, "per": 10**6, "old": old, "new": new}
                for meter, old, new in rates
            ],
        }  # fmt: skip
        assert look(engine, "2025-03-14T00:00:01Z", off, by).recovered == [raised]
        assert look(engine, "2025-03-13T23:59:59Z", off, by) == (1, [], []), "a clock put back tells nothing again"

    def test_a_price_that_ends_is_told_with_nothing_after_it(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a", "2025-03-09T00:00:00Z", model="old"))
        look(engine, thresholds=Thresholds(unpriced=0), by=changing())
        (stands,) = standing(engine)
        assert (stands.rule, stands.facts["after"]) == ("price_change old/1", None)
        assert {(row["before"], row["new"]) for row in stands.facts["rates"]} == {("old/1", None)}

    def test_two_models_that_become_one_tariff_are_told_once(self, engine: Engine) -> None:
        march = "2025-03-14T00:00:00Z"
        spans = [
            f'{{ model = "{name}", to = {march} }}, {{ model = "demo", from = {march} }}' for name in ("one", "two")
        ]
        dear = {"flat": RATES | {"output": "9"}}
        by = a_book(
            a_tariff("one/1", model="one"), a_tariff("two/1", model="two", bands=dear),
            a_tariff(start=march, bands={"flat": RATES | {"output": "4"}}),
            a_name("one", spans[0]), a_name("two", spans[1]), a_name(),
        )  # fmt: skip
        for model in ("one", "two"):
            record_and_post(engine, an_event(model, "2025-03-09T00:00:00Z", model=model))
        off = Thresholds(unpriced=0)
        assert [alert.rule for alert in look(engine, thresholds=off, by=by).raised] == ["price_change demo/1"]
        facts = standing(engine)[0].facts
        assert facts["models"] == ["one", "two"]
        told = [(row["before"], row["old"], row["new"]) for row in facts["rates"] if row["meter"] == "output"]
        assert told == [("one/1", "3", "4"), ("two/1", "9", "4")]
        assert look(engine, thresholds=off, by=by) == (1, [], [])

    def test_a_model_that_was_not_used_for_thirty_days_is_not_told_of(self, engine: Engine) -> None:
        record_and_post(engine, an_event("a", "2025-02-07T00:00:00Z", model="demo"))
        assert look(engine, thresholds=Thresholds(unpriced=0), by=changing()).raised == []


def test_what_is_not_known_is_left_as_it_is(engine: Engine) -> None:
    """Rollups that are not kept say nothing of silence, prices and spend; the balance is known all the same."""
    for name in ("no data", "unpriced"):
        CASES[name].begin(engine)
    now = "2025-03-08T12:00:00Z"
    assert len(look(engine, now).raised) == 2
    with engine.begin() as connection:
        connection.execute(update(AccountRow).values(rolled_up=AccountRow.version - 1))
    call(engine, "b", "2025-03-09T12:00:00Z")
    assert look(engine, "2025-03-09T12:00:00Z") == (1, [], [])
    top_up(engine, "0.10", "2025-03-10T00:00:00Z", now=SECOND)
    assert [alert.threshold for alert in look(engine, SECOND).raised] == ["1.00 USD"]


def test_a_job_is_well_again_an_hour_after_it_last_failed(engine: Engine) -> None:
    run(engine, "2025-03-10T12:00:00Z", "failed")
    assert len(look(engine, "2025-03-10T12:00:00Z").raised) == 1
    run(engine, "2025-03-10T12:59:00Z")
    assert look(engine, "2025-03-10T13:00:00Z") == (0, [], [])
    run(engine, "2025-03-10T13:01:00Z")
    assert len(look(engine, "2025-03-10T13:01:00Z").recovered) == 1


def test_a_job_that_ends_its_process_each_time_has_failed(engine: Engine) -> None:
    def die() -> Done:
        raise KeyboardInterrupt  # nothing of the run is kept after this, as where the process is killed

    for attempt in range(1, MOST_ATTEMPTS + 1):
        now = at(FIRST) + timedelta(minutes=attempt)
        take_lease(engine, f"owner-{attempt}", now=now, until=now + timedelta(minutes=1))
        with pytest.raises(KeyboardInterrupt):
            run_job(engine, "tick", at(FIRST), die, owner=f"owner-{attempt}", clock=partial(at, format_instant(now)))
        assert look(engine, format_instant(now)).raised == [], "it may be done again"
    later = now + timedelta(minutes=1)
    take_lease(engine, "another", now=later, until=later + timedelta(minutes=1))
    (raised,) = look(engine, format_instant(later)).raised
    assert (raised.rule, raised.threshold) == ("job tick", "failed")
    assert standing(engine)[0].facts["error"] == "its process ended, or lost the lease"


def test_a_threshold_that_is_taken_out_of_the_settings_recovers(engine: Engine) -> None:
    top_up(engine, "0.50", "2025-03-01T00:00:00Z")
    look(engine)
    assert [alert.threshold for alert in look(engine, thresholds=Thresholds(low_balance=())).recovered] == ["1.00 USD"]
