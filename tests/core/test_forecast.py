"""The forecast: worked out by hand, its properties, and reckoned a second time with NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.forecast import (
    HISTORY,
    Forecast,
    Pace,
    Part,
    Unknown,
    find_pace,
    forecast,
    median,
    still_to_come,
    told,
)
from costmeter.core.periods import Period, month_period, parse_instant, zone
from tests.make import usd

MONDAY = date(2025, 3, 10)
DOLLAR = usd("1.00")
BEGAN = [DOLLAR]  # the day of the first spend, which is not a whole one
amounts = st.lists(st.integers(0, 10**15), min_size=9, max_size=70).filter(lambda days: any(days[:2]))


def a_pace(days: Sequence[int], today: date = MONDAY) -> Pace:
    pace = find_pace([*BEGAN, *days], today)
    assert isinstance(pace, Pace), pace
    return pace


def whole_days(count: int, today: date = MONDAY) -> list[Part]:
    return [Part(today + timedelta(days=number), 1.0) for number in range(count)]


class TestByHand:
    def test_equal_days_go_on_as_they_were(self) -> None:
        rest = [Part(MONDAY, 0.5), *whole_days(3, MONDAY + timedelta(days=1))]
        assert forecast(usd("4.00"), rest, a_pace([2 * DOLLAR] * 10)) == Forecast(
            usd("4"), usd("11"), usd("11"), usd("11"), 10
        )

    def test_in_a_first_week_newer_days_count_more_and_the_highest_as_the_second_highest(self) -> None:
        """Weights 1, 0.9, 0.81 ... of 6 (for 7), 6, 5, 4, 3, 2, 1: 22.046721 of 5.217031."""
        pace = a_pace([DOLLAR * number for number in range(1, 8)])
        assert pace.level / DOLLAR == pytest.approx(22.046721 / 5.217031)
        assert (pace.trend, set(pace.weekdays), pace.days) == (0.0, {1.0}, 7)
        assert forecast(0, whole_days(10), pace).amount == usd("42.26")

    def test_before_anything_was_tried_the_range_is_that_of_the_scatter(self) -> None:
        """Days 1 off a level of 3 make weeks sqrt(7) off; three weeks: 2.6458 x (0.75 x sqrt(3) + 1.6 x 3) = 16.14."""
        days = [2 * DOLLAR, 4 * DOLLAR] * 4
        pace = a_pace(days[:7])
        scatter = sum(abs(day - pace.level) for day in days[:7]) / 7
        assert pace.error == pytest.approx(scatter * 7**0.5)
        found = forecast(0, whole_days(21), Pace(MONDAY, 3.0 * DOLLAR, 0.0, (1.0,) * 7, DOLLAR * 7**0.5, 7))
        assert found == Forecast(0, usd("63"), usd("46.86"), usd("79.14"), 7)

    def test_weekdays_differ_as_the_weeks_say_and_less_where_they_are_few(self) -> None:
        """10 from Monday to Friday: 1.4 of the mean of a week. Three weeks are drawn to 1 by a quarter."""
        pace = a_pace([*[10 * DOLLAR] * 5, 0, 0] * 3)
        assert pace.weekdays == pytest.approx([*[1.3] * 5, 0.25, 0.25])
        assert a_pace([*[10 * DOLLAR] * 5, 0, 0] * 8).weekdays[6] == pytest.approx(1 / 9)

    def test_a_trend_is_the_median_between_weeks_as_far_as_they_agree(self) -> None:
        """Weeks of 10, 11, 12, 13 a day grow by 1/7 a day; of the pairs of 10, 12, 11, 13 one in six falls."""
        pace = a_pace([DOLLAR * week for week in (10, 11, 12, 13) for _ in range(7)])
        assert pace.trend / DOLLAR == pytest.approx(1 / 7)
        swapped = [DOLLAR * week for week in (10, 12, 11, 13, 14, 15, 16) for _ in range(7)]
        assert a_pace(swapped).trend / DOLLAR == pytest.approx(1 / 7 * 19 / 21)

    def test_a_trend_is_damped_by_a_twentieth_each_day(self) -> None:
        pace = Pace(MONDAY, 10.0, 1.0, (1.0,) * 7, 0.0, 28)
        grown = [0, 0.95, 0.95 + 0.95**2, 0.95 + 0.95**2 + 0.95**3]
        days = [MONDAY + timedelta(days=number) for number in range(4)]
        assert [pace.on(day) for day in days] == pytest.approx([10 + more for more in grown])
        assert Pace(MONDAY, 10.0, -9.0, (1.0,) * 7, 0.0, 28).on(MONDAY + timedelta(days=9)) == 0.0

    def test_one_odd_day_hardly_moves_it(self) -> None:
        usual = [10 * DOLLAR] * 28
        odd = [*usual[:-3], 5_000 * DOLLAR, *usual[:2]]
        assert forecast(0, whole_days(10), a_pace(odd)).amount == usd("100.00")
        forgotten = [*usual[:-3], 0, *usual[:2]]
        assert usd("90.00") < forecast(0, whole_days(10), a_pace(forgotten)).amount < usd("100.00")

    def test_where_one_day_is_all_there_was_it_may_come_again(self) -> None:
        """That day counts as the next highest, which is nothing, and the range says how little is known."""
        found = forecast(usd("1.00"), whole_days(10), a_pace([0] * 10 + [20 * DOLLAR] + [0] * 10))
        assert (found.low, found.amount) == (usd("1.00"), usd("1.00"))
        assert found.high > usd("2.00")

    def test_a_forecast_has_four_digits_and_what_is_spent_all_of_its_own(self) -> None:
        assert told(usd("57.12345678"), 3.3 * DOLLAR) == usd("60.42")
        assert told(usd("57.12345678"), 0.0001 * DOLLAR) == usd("57.12345678")
        assert told(0, 123_456.0) == 123_500
        assert told(0, 12.0) == 12
        assert told(2**70, 0.0) == 2**70


class TestTooLittle:
    @pytest.mark.parametrize("days", [[], [0] * 60, [DOLLAR, *[0] * (HISTORY + 1)]])
    def test_where_nothing_was_spent_nothing_is_guessed(self, days: list[int]) -> None:
        found = find_pace(days, MONDAY)
        assert isinstance(found, Unknown)
        assert found.reason.startswith("nothing was spent in the ")

    def test_a_new_account_has_no_forecast_before_its_first_whole_week(self) -> None:
        found = find_pace([0, 0, *[DOLLAR] * 7], MONDAY)
        assert found == Unknown("6 whole days since the first spend are too few; it takes 7")
        assert isinstance(find_pace([0, 0, *[DOLLAR] * 8], MONDAY), Pace)

    def test_the_day_of_the_first_spend_is_no_whole_day(self) -> None:
        assert a_pace([2 * DOLLAR] * 9).days == 9
        assert a_pace([2 * DOLLAR] * 9).level == pytest.approx(2 * DOLLAR)

    def test_what_is_older_than_eight_weeks_is_past(self) -> None:
        days = [3 * DOLLAR] * HISTORY
        assert find_pace([5 * DOLLAR] * 300 + days, MONDAY) == a_pace(days)


class TestStillToCome:
    def test_a_month_ends_at_its_last_midnight(self) -> None:
        month = month_period("2025-02", "Asia/Shanghai")
        rest = still_to_come(month, parse_instant("2025-02-27T18:00:00+08:00"), "Asia/Shanghai")
        assert rest == [Part(date(2025, 2, 27), 0.25), Part(date(2025, 2, 28), 1.0)]
        assert len(still_to_come(month_period("2024-02", "UTC"), datetime(2024, 2, 1, tzinfo=UTC), "UTC")) == 29

    def test_a_period_that_is_over_or_never_ends_has_nothing_to_come(self) -> None:
        month = month_period("2025-02", "UTC")
        assert month.end is not None
        assert still_to_come(month, month.end, "UTC") == []
        assert still_to_come(Period(month.start, None), month.end, "UTC") == []

    @pytest.mark.parametrize(
        ("day", "hours"), [("2025-03-30", 23), ("2025-10-26", 25), ("2025-06-01", 24)], ids=["spring", "autumn", "june"]
    )
    def test_a_share_is_of_the_days_own_length(self, day: str, hours: int) -> None:
        now = datetime.fromisoformat(f"{day}T18:00:00").replace(tzinfo=zone("Europe/Berlin"))
        to_midnight = still_to_come(month_period(day[:7], "Europe/Berlin"), now.astimezone(UTC), "Europe/Berlin")
        assert to_midnight[0].share == pytest.approx(6 / hours)

    def test_a_day_that_a_zone_skipped_is_none(self) -> None:
        """Samoa went from December 29 to 31 in 2011."""
        rest = still_to_come(
            month_period("2011-12", "Pacific/Apia"), datetime(2011, 12, 29, 10, tzinfo=UTC), "Pacific/Apia"
        )
        assert [(part.day.day, part.share) for part in rest] == [(29, 1.0), (31, 1.0)]

    def test_a_period_of_hours_is_part_of_its_days(self) -> None:
        start = datetime(2025, 3, 10, 22, tzinfo=UTC)
        rest = still_to_come(Period(start, start + timedelta(hours=5)), start + timedelta(hours=1), "UTC")
        assert rest == [Part(date(2025, 3, 10), 1 / 24), Part(date(2025, 3, 11), 3 / 24)]

    def test_a_period_that_has_not_begun_is_all_to_come(self) -> None:
        rest = still_to_come(month_period("2025-04", "UTC"), datetime(2025, 3, 10, tzinfo=UTC), "UTC")
        assert [part.share for part in rest] == [1.0] * 30


class TestProperties:
    @given(days=amounts, spent=st.integers(0, 10**18), ahead=st.integers(0, 40))
    def test_it_is_never_below_what_is_spent_and_always_within_its_range(
        self, days: list[int], spent: int, ahead: int
    ) -> None:
        pace = find_pace(days, MONDAY)
        if isinstance(pace, Pace):
            found = forecast(spent, whole_days(ahead), pace)
            assert spent == found.spent <= found.low <= found.amount <= found.high

    @given(days=amounts, spent=st.integers(0, 10**30))
    def test_at_its_end_a_period_has_come_to_exactly_what_is_spent(self, days: list[int], spent: int) -> None:
        pace = find_pace(days, MONDAY)
        if isinstance(pace, Pace):
            assert forecast(spent, [], pace) == (spent, spent, spent, spent, pace.days)
            assert forecast(spent, [Part(MONDAY, 0.0)], pace)[1:4] == (spent,) * 3

    @given(days=amounts, times=st.integers(1, 10**9))
    def test_times_as_much_spend_is_times_as_much_forecast(self, days: list[int], times: int) -> None:
        pace, more = find_pace(days, MONDAY), find_pace([day * times for day in days], MONDAY)
        if isinstance(pace, Pace) and isinstance(more, Pace) and len({*days[1:]}) > 1:
            # Ways that told the past equally well may be told apart by the last bit of a float: then either is right.
            ours, theirs = (sum(one.on(part.day) for part in whole_days(20)) for one in (pace, more))
            assert theirs == pytest.approx(ours * times, rel=1e-6, abs=times)

    @given(day=st.integers(1, 10**18), count=st.integers(7, 70), ahead=st.integers(1, 31))
    def test_days_that_are_all_equal_go_on(self, day: int, count: int, ahead: int) -> None:
        pace = a_pace([day] * count)
        expected = sum(pace.on(part.day) for part in whole_days(ahead))
        assert expected == pytest.approx(day * ahead, rel=1e-9)
        assert pace.error == pytest.approx(0, abs=day * 1e-6)

    @given(days=st.lists(st.integers(0, 10**15), min_size=14, max_size=60), by=st.integers(0, 6))
    def test_which_weekday_is_called_which_changes_nothing(self, days: list[int], by: int) -> None:
        """Seen some days later in the calendar, the same amounts have the same days to come."""
        today = MONDAY + timedelta(days=by)
        here, there = a_pace(days), a_pace(days, today)
        assert [here.on(p.day) for p in whole_days(9)] == pytest.approx([there.on(p.day) for p in whole_days(9, today)])

    @given(values=st.lists(st.integers(-(10**6), 10**6), min_size=1))
    def test_the_median_does_not_depend_on_the_order(self, values: list[int]) -> None:
        assert median(values) == median(values[::-1]) == float(np.median(values))

    @given(exact=st.integers(0, 10**24), expected=st.floats(0, 1e24))
    def test_rounding_takes_at_most_half_of_the_last_digit_told(self, exact: int, expected: float) -> None:
        total = Fraction(exact) + round(expected)
        found = told(exact, expected)
        assert found >= exact
        assert found == exact or abs(found - total) * 1_999 <= total


class Again:
    """The same method from its description in docs/forecast.md, with arrays: no line of it is shared."""

    def __init__(self, days: Sequence[int], today: date) -> None:
        self.today = today
        known = np.array(days[-HISTORY:], dtype=float)
        self.raw, self.y = known, np.minimum(known, np.sort(known)[-2])
        self.dates = [today - timedelta(days=len(known) - place) for place in range(len(known))]
        self.factor = self._factor()

    def _factor(self) -> Any:
        count = len(self.y) // 7
        if count < 2:
            return np.ones(7)
        weeks = self.y[len(self.y) - 7 * count :].reshape(count, 7)
        weeks = weeks[weeks.sum(axis=1) > 0]
        if not len(weeks):
            return np.ones(7)
        middle = np.median(weeks / weeks.mean(axis=1, keepdims=True), axis=0)
        drawn = 1 + (middle - 1) * len(weeks) / (len(weeks) + 1)
        return np.roll(drawn / drawn.mean(), self.today.weekday())  # a week begins on the weekday of today

    def expected(self, fading: float, has_trend: bool, end: int, ahead: int) -> float:
        """The sum of the days from place `end` on."""
        age = np.arange(end, 0, -1)
        weight = (1 - fading) ** age
        usual = np.array([self.factor[day.weekday()] for day in self.dates[:end]])
        level = np.average(self.y[:end], weights=weight) / np.average(usual, weights=weight)
        slope = self._slope(end) if has_trend else 0.0
        level = max(0.0, level + slope * np.average(age, weights=weight))
        steps = np.concatenate([[0.0], np.cumsum(0.95 ** np.arange(1, ahead))])
        start = self.today - timedelta(days=len(self.y) - end)
        of_day = np.array([self.factor[(start + timedelta(days=number)).weekday()] for number in range(ahead)])
        return float((np.maximum(level + slope * steps, 0) * of_day).sum())

    def _slope(self, end: int) -> float:
        weeks = self.y[end % 7 : end].reshape(-1, 7).mean(axis=1)
        if len(weeks) < 3:
            return 0.0
        first, second = np.triu_indices(len(weeks), 1)
        slopes = (weeks[second] - weeks[first]) / (7 * (second - first))
        return float(np.median(slopes) * abs(np.sign(slopes).mean()))

    def tried(self) -> dict[tuple[float, bool], float]:
        """The mean error of each way; of none where there is too little to try."""
        ends = [len(self.y) - ago for ago in range(7, 43, 3) if len(self.y) - ago >= 7]
        ways = [(fading, has_trend) for has_trend in (False, True) for fading in (0.10, 0.03, 0.25)]
        return {
            way: float(np.mean([abs(self.expected(*way, end, 7) - self.y[end : end + 7].sum()) for end in ends]))
            for way in ways
            if ends
        }


@given(days=st.lists(st.integers(0, 10**14), min_size=7, max_size=80), ahead=st.integers(1, 31))
def test_a_second_reckoning_with_arrays_comes_to_the_same(days: list[int], ahead: int) -> None:
    pace, again = a_pace(days), Again(days, MONDAY)
    tried = again.tried()
    best = min(tried.values(), default=0.0)
    # Where several ways told the past equally well, any of them is right.
    ways = [way for way, error in tried.items() if error <= best * (1 + 1e-9) + 1e-3] or [(0.10, False)]
    expected = sum(pace.on(part.day) for part in whole_days(ahead))
    assert any(expected == pytest.approx(again.expected(*way, len(again.y), ahead), abs=1.0) for way in ways)
