"""What is watched, by its rules alone: when it raises, what keeps it, and that nothing flaps around a threshold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.ledger import GRANTED, TOPPED_UP
from costmeter.core.watch import (
    LONGEST_RULE,
    Limits,
    LowBalance,
    Reading,
    Stands,
    changes,
    has_passed,
    is_above,
    is_below,
    parse_days,
    parse_low_balances,
    rule_of,
)
from costmeter.core.watched_account import Differing, Holding, Items, Seen, Unpriced, Waiting, account_readings
from costmeter.core.watched_installation import Ended, Installation, installation_readings
from tests.make import at, book, usd

NOW = at("2025-03-10T00:00:00Z")
CALENDAR_ENDS = "calendar china ends on 2026-12-31; prices that depend on it are provisional after that"
AMOUNTS = st.integers(0, 2**70)
OFF = Limits(**{name: type(value)() for name, value in Limits()._asdict().items()})


def holding(left: int, kind: str = TOPPED_UP, expires_at: datetime | None = None) -> Holding:
    return Holding(1, kind, left, at("2025-01-01T00:00:00Z"), expires_at, None)


def stand(reading: Reading, period: str = "1") -> Stands:
    return Stands(reading.kind, reading.rule, reading.time or period, reading.threshold, reading.facts)


def a_reading(rule: str, threshold: str, raises: bool, keeps: bool, time: str | None = None) -> Reading:
    return Reading("any", rule, threshold, raises, keeps, {"of": rule}, time)


def instants(first: str, last: str) -> st.SearchStrategy[datetime]:
    naive = [at(text).replace(tzinfo=None) for text in (first, last)]
    return st.datetimes(*naive, timezones=st.just(UTC))


SEEN = st.builds(
    Seen,
    st.just("a"),
    st.sampled_from(["USD", "CNY"]),
    is_tracked=st.booleans(),
    holdings=st.lists(
        st.builds(
            Holding,
            st.integers(1, 3),
            st.sampled_from([GRANTED, TOPPED_UP]),
            AMOUNTS,
            st.just(at("2025-01-01T00:00:00Z")),
            st.none() | instants("2025-03-10T00:00:00Z", "2025-04-01T00:00:00Z"),
            st.none(),
        ),
        max_size=3,
        unique_by=lambda one: one.credit_id,
    ),
    overdraft=AMOUNTS,
    has_rollups=st.booleans(),
    spent=st.integers(-(2**70), 2**70),
    is_daily=st.booleans(),
    last_call=st.none() | instants("2025-03-01T00:00:00Z", "2025-03-11T00:00:00Z"),
    unpriced=st.lists(st.builds(Unpriced, st.just("m"), st.integers(1, 9), st.just("2025-03-01")), max_size=1),
    unmetered=st.integers(0, 300),
    measured=st.integers(0, 3000),
    waiting=st.none() | st.builds(Waiting, st.integers(1, 9), st.just(at("2025-03-09T23:00:00Z"))),
    frozen_at=st.none() | st.just(NOW),
    frozen_for=st.just(""),
    differing=st.none() | st.just(Differing(1, 1, NOW, -1, 0)),
    items=st.lists(st.builds(Items, st.just("refused"), st.integers(1, 9), st.just(NOW)), max_size=1),
    models=st.just(frozenset()),
)


class TestChanges:
    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
    def test_it_is_raised_and_recovers_in_turn(self, steps: list[tuple[bool, bool]]) -> None:
        """Whatever is read: nothing is raised that stands, and nothing recovers that does not."""
        standing: list[Stands] = []
        history = []
        for raises, keeps in steps:
            reading = a_reading("r", "t", raises, keeps)
            found = changes([reading], standing)
            assert len(found.raised) + len(found.recovered) <= 1
            if found.raised:
                assert raises
                standing = [stand(reading)]
                history.append("raised")
            if found.recovered:
                assert not raises
                assert not keeps
                standing = []
                history.append("recovered")
            assert not changes([reading], standing), "a second look changes nothing"
        assert history == (["raised", "recovered"] * len(history))[: len(history)]

    def test_what_nobody_reads_any_more_recovers_with_its_own_facts_and_what_is_unknown_stays(self) -> None:
        gone = Stands("kind", "rule 1", "1", "7 days", {"left": "5.00"})
        assert changes([], [gone]) == ([], [(gone, {"left": "5.00"})])
        assert not changes([], [gone], unknown=["kind"])

    def test_of_what_is_told_once_only_its_own_time_stands(self) -> None:
        reading = a_reading("r", "t", True, True, "2025-03-14T00:00:00Z")
        old = Stands("any", "r", "2025-01-01T00:00:00Z", "t", {})
        assert changes([reading], [old]) == ([reading], [(old, {})])
        assert not changes([reading], [stand(reading)])


class TestThresholds:
    @given(st.integers(-(10**30), 10**30), st.integers(1, 10**30))
    def test_what_raises_keeps_too(self, value: int, limit: int) -> None:
        for raises, keeps in (is_below(value, limit), is_above(value, limit)):
            assert keeps or not raises
        assert is_below(value, limit) == (value < limit, 10 * value < 11 * limit)
        assert is_above(value, limit) == (value > limit, 10 * value > 9 * limit)

    @given(st.timedeltas(timedelta(-9), timedelta(9)), st.timedeltas(timedelta(seconds=1), timedelta(9)))
    def test_a_time_that_has_passed_keeps_from_nine_tenths_on(self, since: timedelta, limit: timedelta) -> None:
        assert has_passed(since, limit) == (since >= limit, 10 * since >= 9 * limit)


class TestAccounts:
    @given(SEEN)
    def test_a_second_look_at_the_same_changes_nothing(self, seen: Seen) -> None:
        readings = account_readings(seen, (), Limits(), NOW)
        keys = [(one.rule, one.threshold, one.time) for one in readings]
        assert len(keys) == len(set(keys)), "no two readings are of one alert"
        first = changes(readings, [])
        assert not changes(readings, [stand(one) for one in first.raised])

    @given(SEEN)
    def test_with_every_limit_off_nothing_is_read(self, seen: Seen) -> None:
        assert account_readings(seen, (), OFF, NOW) == []

    @given(AMOUNTS, AMOUNTS, st.sets(st.integers(1, 2**70), min_size=1, max_size=4))
    def test_of_amounts_that_are_passed_one_is_told_and_it_is_the_lowest(
        self, left: int, owed: int, amounts: set[int]
    ) -> None:
        limits = OFF._replace(overdrawn=True, low_balance=tuple(LowBalance(amount, "USD") for amount in amounts))
        seen = Seen("a", "USD", is_tracked=True, holdings=[holding(left)], overdraft=owed)
        raised = [one.threshold for one in account_readings(seen, (), limits, NOW) if one.raises]
        total = left - owed
        passed = sorted(amount for amount in amounts if total < amount)
        assert len(raised) == (1 if total < 0 or passed else 0)
        assert (raised == ["overdrawn"]) == (total < 0)
        assert not account_readings(seen._replace(is_tracked=False), (), limits, NOW)

    @given(AMOUNTS, AMOUNTS, st.integers(1, 365))
    def test_the_runway_is_the_balance_by_the_mean_of_a_day(self, left: int, spent: int, days: int) -> None:
        seen = Seen("a", "USD", is_tracked=True, holdings=[holding(left)], spent=spent)
        (reading,) = account_readings(seen, (), OFF._replace(runway_days=days), NOW)
        assert reading.raises == (left > 0 and spent > 0 and left * 7 < days * spent)
        if spent:
            whole, _, tenth = reading.facts["days_left"].partition(".")
            assert (10 * int(whole) + int(tenth)) * spent <= left * 70 < (10 * int(whole) + int(tenth) + 1) * spent

    @pytest.mark.parametrize(
        ("expires", "raised"),
        [
            ("2025-03-17T00:00:00.000001Z", []), ("2025-03-17T00:00:00Z", ["7 days"]),
            ("2025-03-11T00:00:00.000001Z", ["7 days"]), ("2025-03-11T00:00:00Z", ["1 day"]),
            ("2025-03-10T00:00:00Z", []),
        ],
    )  # fmt: skip
    def test_a_grant_is_told_to_the_microsecond(self, expires: str, raised: list[str]) -> None:
        seen = Seen("a", "USD", is_tracked=True, holdings=[holding(1, GRANTED, at(expires))])
        readings = account_readings(seen, (), OFF._replace(grant_days=(7, 1)), NOW)
        assert [one.threshold for one in readings if one.raises] == raised

    @pytest.mark.parametrize(
        ("unmetered", "measured", "raised"),
        [(100, 10**6, []), (101, 10**6, ["100 calls"]), (101, 0, ["100 calls"]), (5, 95, []), (6, 94, ["5 percent"]),
         (19, 0, []), (20, 0, ["5 percent"])],
    )  # fmt: skip
    def test_unmetered_calls_are_told_by_number_or_share(
        self, unmetered: int, measured: int, raised: list[str]
    ) -> None:
        seen = Seen("a", "USD", unmetered=unmetered, measured=measured)
        found = changes(account_readings(seen, (), Limits(), NOW), [])
        assert [one.threshold for one in found.raised] == raised

    def test_waiting_calls_of_a_frozen_account_are_told_by_the_freeze(self) -> None:
        seen = Seen("a", "USD", waiting=Waiting(3, at("2025-03-09T00:00:00Z")), frozen_at=NOW, frozen_for="promise 2")
        found = changes(account_readings(seen, (), Limits(), NOW), [])
        assert [one.kind for one in found.raised] == ["frozen"]

    def test_a_credit_that_is_not_in_effect_is_no_balance(self) -> None:
        later = holding(usd("5.00"))._replace(effective_at=NOW + timedelta(seconds=1))
        seen = Seen("a", "USD", is_tracked=True, holdings=[later])
        (raised,) = changes(account_readings(seen, (), Limits(), NOW), []).raised
        assert (raised.threshold, raised.facts["balance"]) == ("1.00 USD", "0.00")


class TestInstallation:
    def test_where_no_job_ever_ran_no_scheduler_is_missed(self) -> None:
        assert changes(installation_readings(Installation(), book(), Limits(), NOW), []).raised == []

    @given(st.timedeltas(timedelta(minutes=-60), timedelta(minutes=60)))
    def test_a_clock_that_is_behind_is_no_silence(self, ago: timedelta) -> None:
        run = Ended("post", NOW - ago, NOW - ago, "done", "posted 0 calls", "")
        raised = changes(installation_readings(Installation([run]), book(), Limits(), NOW), []).raised
        assert [one.rule for one in raised] == (["scheduler"] if ago >= timedelta(minutes=15) else [])

    @pytest.mark.parametrize(
        ("job", "error", "off", "is_told"),
        [
            ("verify", "account a is frozen", {}, False), ("verify", "account a is frozen", {"frozen": False}, True),
            ("reconcile", "account a differs", {}, False), ("reconcile", "any", {"difference": False}, True),
            ("prices", CALENDAR_ENDS, {}, False), ("prices", CALENDAR_ENDS, {"calendar_days": 0}, True),
            ("prices", f"{CALENDAR_ENDS}\ndemo has no USD price", {}, True), ("exports", "any", {}, True),
        ],
    )  # fmt: skip
    def test_what_another_rule_tells_of_is_told_once(
        self, job: str, error: str, off: dict[str, Any], is_told: bool
    ) -> None:
        for outcome in ("warned", "failed"):
            run = Ended(job, NOW, NOW, outcome, "any", error)
            readings = installation_readings(Installation([run]), book(), Limits()._replace(**off), NOW)
            told = [one.threshold for one in changes(readings, []).raised]
            assert told == ([outcome] if is_told or outcome == "failed" else [])

    def test_a_job_that_is_no_more_is_forgotten_and_the_silence_is_not(self) -> None:
        run = Ended("exports", NOW, NOW, "failed", "", "the disk is away")
        for days, raised in ((0, ["job exports"]), (30, ["scheduler", "job exports"]), (31, ["scheduler"])):
            readings = installation_readings(Installation([run]), book(), Limits(), NOW + timedelta(days))
            assert [one.rule for one in changes(readings, []).raised] == raised


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("0", ()), (" 0 ", ()), ("1.00 USD", (LowBalance(10**12, "USD"),)),
            ("5.00 USD,0.50 USD , 7 CNY",
             (LowBalance(5 * 10**11, "USD"), LowBalance(5 * 10**12, "USD"), LowBalance(7 * 10**12, "CNY"))),
        ],
    )  # fmt: skip
    def test_amounts_are_read(self, text: str, found: Any) -> None:
        assert parse_low_balances(text, "FIELD") == found

    @pytest.mark.parametrize("text", ["1", "1.00", "1.00 EUR", "-1.00 USD", "0.00 USD", "1e3 USD", "1.00 USD,", "USD"])
    def test_amounts_that_are_none_are_refused_by_name(self, text: str) -> None:
        with pytest.raises(InputError, match=r'FIELD .*: write amounts above 0 such as "1.00 USD, 10.00 CNY", or 0'):
            parse_low_balances(text, "FIELD")

    @pytest.mark.parametrize(("text", "found"), [("0", ()), ("7, 1", (7, 1)), ("1,30,1", (30, 1)), ("14", (14,))])
    def test_days_are_read(self, text: str, found: tuple[int, ...]) -> None:
        assert parse_days(text, "FIELD") == found

    @pytest.mark.parametrize("text", ["", "seven", "-1", "1.5", "7;1", "99999", "٣"])
    def test_days_that_are_none_are_refused_by_name(self, text: str) -> None:
        with pytest.raises(InputError, match=r'FIELD .*: write days such as "7, 1", or 0'):
            parse_days(text, "FIELD")


@given(st.text(max_size=300))
def test_a_rule_fits_its_column_and_tells_things_apart(what: str) -> None:
    rule = rule_of("price_change", what)
    assert len(rule) <= LONGEST_RULE
    assert rule != rule_of("price_change", f"{what}x")
