"""Budgets: their periods in every zone, which calls they count, and which thresholds are crossed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.budgets import (
    ACTUAL,
    FORECAST,
    TOKENS,
    Budget,
    Matcher,
    by_period,
    check_edge,
    check_filters,
    check_name,
    check_per,
    crossed,
    first_start,
    format_limit,
    parse_limit,
    parse_threshold,
    room,
)
from costmeter.core.errors import InputError
from costmeter.core.events import UsageEvent, read_event
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import QUARTER_MICROS, format_instant, from_micros, to_micros
from tests.make import an_event, at, usd

START = at("2024-01-01T00:00:00Z")
INSTANTS = st.integers(to_micros(at("2001-01-02T00:00:00Z")), to_micros(at("2060-01-01T00:00:00Z"))).map(from_micros)
KEYS = st.dictionaries(st.sampled_from(["project", "user", "tag:team"]), st.sampled_from("ab"))


def a_budget(per: str = "month", timezone: str = "UTC", **more: Any) -> Budget:
    fields: dict[str, Any] = {
        "number": 1, "name": "all", "filters": {}, "per": per, "timezone": timezone, "unit": "USD",
        "amount": usd("100.00"), "thresholds": [], "stops": False, "starts_at": START, "ends_at": None,
        "channels": None,
    }  # fmt: skip
    return Budget(**(fields | more))


def period(budget: Budget, instant: str) -> tuple[str | None, str | None]:
    found = budget.period_of(at(instant))
    assert found is not None
    start, end = (None if edge is None else format_instant(edge) for edge in found)
    return start, end


class TestPeriods:
    @pytest.mark.parametrize(
        ("per", "timezone", "instant", "start", "end"),
        [
            ("day", "UTC", "2024-02-29T23:59:59.999999Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("day", "Asia/Shanghai", "2025-03-01T16:30:00Z", "2025-03-01T16:00:00Z", "2025-03-02T16:00:00Z"),
            # Clocks go forward: a day of 23 hours. And back: one of 25.
            ("day", "Europe/Berlin", "2025-03-30T12:00:00Z", "2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"),
            ("day", "America/New_York", "2025-11-02T12:00:00Z", "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"),
            # Where the change is at midnight there is none: the day begins at one o'clock.
            ("day", "Africa/Cairo", "2025-04-25T12:00:00Z", "2025-04-24T22:00:00Z", "2025-04-25T21:00:00Z"),
            ("week", "UTC", "2025-01-01T00:00:00Z", "2024-12-30T00:00:00Z", "2025-01-06T00:00:00Z"),
            ("week", "Pacific/Kiritimati", "2025-03-02T10:00:00Z", "2025-03-02T10:00:00Z", "2025-03-09T10:00:00Z"),
            ("month", "UTC", "2024-12-31T23:59:59Z", "2024-12-01T00:00:00Z", "2025-01-01T00:00:00Z"),
            ("month", "Etc/GMT+12", "2025-03-01T11:59:59Z", "2025-02-01T12:00:00Z", "2025-03-01T12:00:00Z"),
            ("quarter", "UTC", "2025-06-30T23:59:59Z", "2025-04-01T00:00:00Z", "2025-07-01T00:00:00Z"),
            ("quarter", "UTC", "2025-12-31T00:00:00Z", "2025-10-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("year", "Asia/Kolkata", "2024-12-31T18:30:00Z", "2024-12-31T18:30:00Z", "2025-12-31T18:30:00Z"),
            ("14d", "UTC", "2024-01-15T00:00:00Z", "2024-01-15T00:00:00Z", "2024-01-29T00:00:00Z"),
            ("5h", "UTC", "2024-01-01T12:00:00Z", "2024-01-01T10:00:00Z", "2024-01-01T15:00:00Z"),
        ],
    )
    def test_worked_out_by_hand(self, per: str, timezone: str, instant: str, start: str, end: str) -> None:
        assert period(a_budget(per, timezone), instant) == (start, end)

    def test_all_is_one_period_from_start_to_end(self) -> None:
        assert period(a_budget("all"), "2030-01-01T00:00:00Z") == ("2024-01-01T00:00:00Z", None)
        ends = a_budget("all", ends_at=at("2025-01-01T00:00:00Z"))
        assert period(ends, "2024-06-01T00:00:00Z") == ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z")

    def test_the_first_and_the_last_are_cut_at_its_start_and_end(self) -> None:
        budget = a_budget(starts_at=at("2024-01-10T06:00:00Z"), ends_at=at("2024-03-05T00:00:00Z"))
        assert period(budget, "2024-01-20T00:00:00Z") == ("2024-01-10T06:00:00Z", "2024-02-01T00:00:00Z")
        assert period(budget, "2024-03-04T23:59:59Z") == ("2024-03-01T00:00:00Z", "2024-03-05T00:00:00Z")
        assert budget.period_of(at("2024-01-10T05:59:59Z")) is None
        assert budget.period_of(at("2024-03-05T00:00:00Z")) is None

    @given(
        st.sampled_from(["day", "week", "month", "quarter", "year", "3d", "90d", "7h", "100h"]),
        st.sampled_from(sorted(available_timezones())),
        INSTANTS,
    )
    def test_in_every_zone_they_follow_each_other_without_gap_or_overlap(
        self, per: str, timezone: str, instant: datetime
    ) -> None:
        budget = a_budget(per, timezone, starts_at=at("2000-01-01T00:00:00Z"))
        own = budget.period_of(instant)
        assert own is not None
        assert own.start is not None
        assert own.end is not None
        assert own.start <= instant < own.end
        assert (to_micros(own.start) % QUARTER_MICROS, to_micros(own.end) % QUARTER_MICROS) == (0, 0)
        following = budget.period_of(own.end)
        assert following is not None
        assert following.start == own.end
        last = budget.period_of(own.end - timedelta(microseconds=1))
        assert last == own

    @given(
        st.sampled_from(sorted(available_timezones())),
        INSTANTS,
    )
    def test_a_second_way_to_tell_the_calendar_ones(self, timezone: str, instant: datetime) -> None:
        """By the wall clock on both sides of an edge: it changes name there, and nowhere within."""

        def names(moment: datetime) -> dict[str, object]:
            local = moment.astimezone(ZoneInfo(timezone)).date()
            year, week, _ = local.isocalendar()
            third = (local.month - 1) // 3
            return {
                "day": local, "week": (year, week), "month": (local.year, local.month),
                "quarter": (local.year, third), "year": local.year,
            }  # fmt: skip

        for per in ("day", "week", "month", "quarter", "year"):
            own = a_budget(per, timezone, starts_at=at("2000-01-01T00:00:00Z")).period_of(instant)
            assert own is not None
            assert own.start is not None
            assert own.end is not None
            name, tick = names(instant)[per], timedelta(microseconds=1)
            assert names(own.start)[per] == name == names(own.end - tick)[per]
            assert names(own.end)[per] != name != names(own.start - tick)[per]

    def test_sums_of_quarter_hours_become_sums_of_periods(self) -> None:
        budget = a_budget("day", "Asia/Shanghai")
        quarters = {
            to_micros(at(text)) // QUARTER_MICROS: amount
            for text, amount in (("2025-03-01T15:45:00Z", 1), ("2025-03-01T16:00:00Z", 2), ("2025-03-02T15:45:00Z", 4))
        }
        sums = by_period(budget, quarters)
        assert {p.start and p.start.isoformat(): amount for p, amount in sums.items()} == {
            "2025-02-28T16:00:00+00:00": 1,
            "2025-03-01T16:00:00+00:00": 6,
        }
        assert by_period(a_budget(starts_at=at("2026-01-01T00:00:00Z")), quarters) == {}

    @pytest.mark.parametrize(
        ("per", "timezone", "start"),
        [
            ("month", "Asia/Shanghai", "2025-02-28T16:00:00Z"),
            ("14d", "Asia/Shanghai", "2025-03-09T16:00:00Z"),
            ("all", "UTC", "2025-03-10T00:00:00Z"),
            ("5h", "UTC", "2025-03-10T07:15:00Z"),
        ],
    )
    def test_one_that_does_not_say_when_begins_with_the_present_period(
        self, per: str, timezone: str, start: str
    ) -> None:
        assert first_start(per, timezone, at("2025-03-10T07:29:59Z")) == at(start)


class TestThresholds:
    def test_shares_and_amounts(self) -> None:
        limit = usd("33.33")
        assert parse_threshold("80%", ACTUAL, "USD", limit) == (ACTUAL, "80%", usd("26.664"))
        assert parse_threshold("080.50%", FORECAST, "USD", limit).said == "forecast 80.5%"
        assert parse_threshold("20", ACTUAL, "USD", limit) == (ACTUAL, "20.00", usd("20.00"))
        assert parse_threshold("150%", ACTUAL, TOKENS, 7) == (ACTUAL, "150%", 11)  # 10.5, reached with the 11th
        assert parse_threshold("5", ACTUAL, TOKENS, 7) == (ACTUAL, "5", 5)

    @given(st.integers(1, 10**20), st.integers(1, 10**8), st.integers(0, 10**20))
    def test_a_share_is_crossed_exactly_where_the_product_is(self, limit: int, share: int, spent: int) -> None:
        whole, fraction = divmod(share, 10**4)
        threshold = parse_threshold(f"{whole}.{fraction:04d}%", ACTUAL, "USD", limit)
        assert (spent >= threshold.amount) == (spent * 100 * 10**4 >= share * limit)

    def test_crossed_on_the_way_up_and_on_the_way_down(self) -> None:
        budget = a_budget(
            thresholds=[parse_threshold(text, ACTUAL, "USD", usd("100.00")) for text in ("50%", "80%", "100%")]
            + [parse_threshold("100%", FORECAST, "USD", usd("100.00"))]
        )

        def said(before: str, after: str, of: str = ACTUAL) -> tuple[list[str], list[str]]:
            up, down = crossed(budget, usd(before), usd(after), of)
            return [one.said for one in up], [one.said for one in down]

        assert said("0", "49.999999999999") == ([], [])
        assert said("49.999999999999", "50") == (["50%"], [])
        assert said("50", "50") == ([], [])
        assert said("50", "1000") == (["80%", "100%"], [])
        assert said("100", "79.99") == ([], ["80%", "100%"])
        assert said("0", "100", FORECAST) == (["forecast 100%"], [])

    def test_the_room_that_is_left_fits_64_bits(self) -> None:
        assert room(a_budget(), usd("60.00")) == usd("40.00")
        assert room(a_budget(), usd("160.00")) == usd("-60.00")
        assert room(a_budget(amount=10**30), 0) == MAX_AMOUNT
        assert room(a_budget(), 10**30) == -MAX_AMOUNT


def counting(matcher: Matcher, event: UsageEvent) -> list[Budget]:
    """The budgets that count a call, as the poster finds them."""
    groups = zip(matcher.groups, matcher.values_of([event]), strict=True)
    return [budget for group, values in groups for value in values for budget in group.budgets.get(value, ())]


class TestMatching:
    EVENT: UsageEvent = read_event(
        an_event(project="search", user="u-1", api_key="backend", tags={"team": "a", "env": "prod"})
    )

    @pytest.mark.parametrize(
        ("filters", "counts"),
        [
            ({}, True),
            ({"project": "search"}, True),
            ({"project": "other"}, False),
            ({"user": "u-1", "tag:team": "a"}, True),
            ({"user": "u-1", "tag:team": "b"}, False),
            ({"model": "deepseek-chat", "api_key": "backend", "tag:env": "prod"}, True),
            ({"tag:nobody": "a"}, False),
        ],
    )
    def test_all_filters_must_hold(self, filters: dict[str, str], counts: bool) -> None:
        matcher = Matcher([a_budget(filters=filters)])
        assert bool(counting(matcher, self.EVENT)) is counts

    def test_what_a_call_lacks_matches_nothing(self) -> None:
        matcher = Matcher([a_budget(filters={"project": "None"}), a_budget(filters={})])
        bare = read_event(an_event())
        assert [one.filters for one in counting(matcher, bare)] == [{}]

    @given(st.lists(KEYS, max_size=9), KEYS)
    def test_it_finds_the_budgets_that_match_one_by_one(
        self, filters: list[dict[str, str]], has: dict[str, str]
    ) -> None:
        budgets = [a_budget(number=number, filters=one) for number, one in enumerate(filters)]
        matcher = Matcher(budgets)
        tags = {"team": has["tag:team"]} if "tag:team" in has else {}
        event = read_event(an_event(project=has.get("project"), user=has.get("user"), tags=tags))
        wanted = {one.number for one in budgets if one.matches(has)}
        assert {one.number for one in counting(matcher, event)} == wanted
        assert {one.number for one in matcher.matching([has.get(key) for key in matcher.keys])} == wanted


class TestBadInput:
    def test_what_is_no_budget_is_refused_by_name(self) -> None:
        for call, field in (
            (lambda: check_name(""), "budget"),
            (lambda: check_name("a/b"), "budget"),
            (lambda: check_name("x" * 65), "budget"),
            (lambda: check_per("fortnight"), "per"),
            (lambda: check_per("0d"), "per"),
            (lambda: check_filters(["band=peak"]), "where"),
            (lambda: check_filters(["project="]), "where"),
            (lambda: check_filters(["project=a", "project=b"]), "where"),
            (lambda: parse_limit("0", "USD"), "amount"),
            (lambda: parse_limit("-1", "USD"), "amount"),
            (lambda: parse_limit("1.5", TOKENS), "amount"),
            (lambda: parse_limit(True, TOKENS), "amount"),
            (lambda: parse_threshold("0%", ACTUAL, "USD", 1), "threshold"),
            (lambda: parse_threshold("0.00", ACTUAL, "USD", 1), "threshold"),
            (lambda: parse_threshold("half", ACTUAL, "USD", 1), "threshold"),
            (lambda: check_edge(at("2025-03-01T00:07:00Z"), "from"), "from"),
            (lambda: check_edge(at("1999-12-31T00:00:00Z"), "from"), "from"),
        ):
            with pytest.raises(InputError) as refused:
                call()
            assert refused.value.field == field

    def test_amounts_are_written_as_their_unit_is(self) -> None:
        assert format_limit(parse_limit("12.5", "USD"), "USD") == "12.50"
        assert format_limit(parse_limit("9300000", "USD"), "USD") == "9300000.00"  # past 64 bits
        assert format_limit(parse_limit("1000000", TOKENS), TOKENS) == "1000000"
        assert check_filters(["tag:team=a=b", "project=x"]) == {"project": "x", "tag:team": "a=b"}
