"""What a period will come to: what is spent already, and the days to come at the pace of the days before them.

The method, step by step, with its back-test, is in docs/forecast.md; why it is this one in decision 26. What is spent
is exact and never in doubt. The days to come are reckoned in floats and come out as an amount of a few digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cached_property
from math import sqrt
from typing import NamedTuple

from costmeter.core.periods import Period, day_period, zone

HISTORY = 56  # whole days that a pace is made of at most: eight weeks
ENOUGH = 7  # whole days that it takes at least: each weekday once
COVERAGE = 80  # percent of the periods that shall end within the range; docs/forecast.md says how many did
DIGITS = 4  # that a forecast is told with
WEEK = 7
_FADING = (0.10, 0.03, 0.25)  # by how much a day counts less than the one after it
_TRIALS = range(WEEK, 6 * WEEK + 1, 3)  # how many days ago the pace is tried out
_WEEKS_OF_TREND = 3  # that it takes at least
_DAMPING = 0.95  # of a trend, each day
_APART, _TOGETHER = 0.75, 1.6  # parts of the error that differ from week to week, and that stay
_BEFOREHAND = 2  # trials that the scatter of the days stands for


class Part(NamedTuple):
    """A day to come, or what of it belongs to a period and is yet to come."""

    day: date
    share: float


class Unknown(NamedTuple):
    """No forecast, and why."""

    reason: str


class Forecast(NamedTuple):
    """What a period will come to, in units of 10^-12 or in tokens: `amount`, and the range `low` to `high`.

    `spent` is exact, and nothing of it is doubted. It is made from `days` whole days.
    """

    spent: int
    amount: int
    low: int
    high: int
    days: int


@dataclass(frozen=True)
class Pace:
    """What is spent on a day to come: a level as of `today`, its trend, and how the weekdays differ."""

    today: date
    level: float
    trend: float  # a day
    weekdays: tuple[float, ...]  # of Monday to Sunday, 1 on average
    error: float  # how far seven days came out from what it told, on average
    days: int  # that it is made of

    def on(self, day: date) -> float:
        """What a whole day comes to; the trend of a day far ahead is hardly more than that of a month ahead."""
        ahead = (day - self.today).days
        grown = self.trend * _DAMPING * (1 - _DAMPING**ahead) / (1 - _DAMPING)
        return max(0.0, self.level + grown) * self.weekdays[day.weekday()]


def find_pace(amounts: Sequence[int], today: date) -> Pace | Unknown:
    """The pace of whole days, of which the last was yesterday; days without spend are zeros.

    They count from the day after the first with spend, which began before it spent.
    """
    known = amounts[-HISTORY - 1 :]
    first = next((place for place, amount in enumerate(known) if amount > 0), None)
    if first is None:
        return Unknown(f"nothing was spent in the {len(known)} days before today")
    days = [max(0, amount) for amount in known[first + 1 :]]
    if len(days) < ENOUGH:
        return Unknown(f"{len(days)} whole days since the first spend are too few; it takes {ENOUGH}")
    return _Past(days, today).pace()


def forecast(spent: int, rest: Sequence[Part], pace: Pace) -> Forecast:
    """What a period comes to of which this much is spent, and this is yet to come; never below what is spent."""
    expected = sum(pace.on(part.day) * part.share for part in rest)
    weeks = sum(part.share for part in rest) / WEEK
    width = pace.error * (_APART * sqrt(weeks) + _TOGETHER * weeks)
    low, amount, high = (told(spent, more) for more in (max(0.0, expected - width), expected, expected + width))
    return Forecast(spent, amount, low, high, pace.days)


def still_to_come(period: Period, now: datetime, timezone: str) -> list[Part]:
    """The days of a time zone that a period has yet to live through, the first and the last perhaps in part.

    A share is of the day's own length, 23 or 25 hours where the clock is changed. A period that is over has none.
    """
    if period.end is None:
        return []
    begins = max(now, period.start) if period.start else now
    day, parts = begins.astimezone(zone(timezone)).date(), []
    while begins < period.end:
        start, end = _edges(day, timezone)
        ends = min(end, period.end)
        if ends > begins:  # a day that a zone skipped has no instants
            parts.append(Part(day, (ends - begins) / (end - start)))
        begins, day = max(begins, ends), day + timedelta(days=1)
    return parts


def _edges(day: date, timezone: str) -> tuple[datetime, datetime]:
    start, end = day_period(day, timezone)
    assert start is not None
    assert end is not None
    return start, end


class _Past:
    """Whole days with what was spent on them, oldest first; the last was yesterday."""

    def __init__(self, days: Sequence[int], today: date) -> None:
        self._raw, self._today = days, today
        # One odd day shall not lead the way: the highest counts no more than the second highest.
        second = sorted(days)[-2]
        self._days = [min(amount, second) for amount in days]

    def pace(self) -> Pace:
        """The way of reckoning that would have told past weeks best, applied to all days."""
        tried = {way: [*self._errors(way)] for way in self._ways()}
        way = min(tried, key=lambda one: sum(tried[one]))  # each was tried equally often
        level, trend = self._reckon(way, 0)
        return Pace(self._today, level, trend, self._weekdays, self._error(level, tried[way]), len(self._days))

    def _ways(self) -> Iterator[tuple[float, bool]]:
        return ((fading, has_trend) for has_trend in (False, True) for fading in _FADING)

    def _errors(self, way: tuple[float, bool]) -> Iterator[float]:
        """How far off it would have been, of the seven days that followed each trial."""
        for ago in _TRIALS:
            end = len(self._days) - ago
            if end < ENOUGH:
                return
            today = self._today - timedelta(days=ago)
            pace = Pace(today, *self._reckon(way, ago), self._weekdays, 0.0, end)
            expected = sum(pace.on(today + timedelta(days=number)) for number in range(WEEK))
            yield abs(expected - sum(self._days[end : end + WEEK]))

    def _reckon(self, way: tuple[float, bool], ago: int) -> tuple[float, float]:
        """Level and trend by the days that lay before the one so many days ago."""
        fading, has_trend = way
        end = len(self._days) - ago
        weights = [(1 - fading) ** age for age in range(end)]  # the newest first
        spent = sum(weight * amount for weight, amount in zip(weights, reversed(self._days[:end]), strict=True))
        shares = self._shares_before(ago)
        usual = sum(weight * share for weight, share in zip(weights, shares, strict=False))
        trend = self._trends[ago] if has_trend else 0.0
        age = sum(weight * (place + 1) for place, weight in enumerate(weights)) / sum(weights)
        return max(0.0, spent / usual + trend * age), trend

    def _shares_before(self, ago: int) -> list[float]:
        """The shares of the weekdays of all days, from so many days ago backwards."""
        newest = (self._today - timedelta(days=ago + 1)).weekday()
        return [self._weekdays[(newest - age) % WEEK] for age in range(len(self._days))]

    @cached_property
    def _trends(self) -> dict[int, float]:
        return {ago: self._trend(len(self._days) - ago) for ago in (0, *_TRIALS) if len(self._days) - ago >= ENOUGH}

    def _trend(self, end: int) -> float:
        """How much a day's amount changes each day: the median between any two weeks, as far as they all agree."""
        weeks = [sum(self._days[start : start + WEEK]) / WEEK for start in range(end % WEEK, end, WEEK)]
        if len(weeks) < _WEEKS_OF_TREND:
            return 0.0
        slopes = [
            (weeks[later] - weeks[earlier]) / (WEEK * (later - earlier))
            for later in range(len(weeks))
            for earlier in range(later)
        ]
        agreement = abs(sum((slope > 0) - (slope < 0) for slope in slopes)) / len(slopes)
        return median(slopes) * agreement

    @cached_property
    def _weekdays(self) -> tuple[float, ...]:
        """Each weekday against the mean of its week: the median of the weeks, drawn to 1 where they are few."""
        weeks = len(self._days) // WEEK
        if weeks < 2:
            return (1.0,) * WEEK
        shares: list[list[float]] = [[] for _ in range(WEEK)]
        for start in range(len(self._days) - weeks * WEEK, len(self._days), WEEK):
            week = self._days[start : start + WEEK]
            for place, amount in enumerate(week) if any(week) else ():
                day = self._today - timedelta(days=len(self._days) - start - place)
                shares[day.weekday()].append(amount * WEEK / sum(week))
        if not shares[0]:
            return (1.0,) * WEEK
        known = [1 + (median(found) - 1) * len(found) / (len(found) + 1) for found in shares]
        return tuple(share * WEEK / sum(known) for share in known)

    def _error(self, level: float, trials: Sequence[float]) -> float:
        """The error of a week: as it was tried, and as the scatter of single days lets expect before it is."""
        shares = self._shares_before(0)
        scatter = [abs(amount - level * share) for amount, share in zip(reversed(self._raw), shares, strict=True)]
        beforehand = sum(scatter) / len(scatter) * sqrt(WEEK)
        return (sum(trials) + _BEFOREHAND * beforehand) / (len(trials) + _BEFOREHAND)


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def told(exact: int, expected: float) -> int:
    """A sum of what is exact and what is expected, with as many digits as can be told; never below the exact part."""
    more = round(expected)
    if not more:
        return exact
    total = exact + more
    step: int = 10 ** max(0, len(str(total)) - DIGITS)
    return max(exact, round(Fraction(total, step)) * step)
