"""The forecast against naive rules: each day of each month is forecast by what was known that morning.

The error is that of the month's sum, in percent of it, on average over all days but the first (on which there is no run
rate) and all months. A range is right where the sum lies within it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from statistics import fmean, median
from typing import NamedTuple

from benchmarks.foresight.seasons import DAYS, FIRST, SEASONS, season
from benchmarks.foresight.traces import FOLDER, TRACES, trace
from costmeter.core.forecast import COVERAGE, Pace, Part, find_pace, forecast

SEEDS = range(100, 104)  # accounts of each kind; others than those by which the method was fitted
RULES = ("last month", "run rate", "last 7 days", "forecast")
TRACE_MONTH = 28  # half minutes
_LEFT = ((1, 7), (8, 14), (15, 21), (22, 31))  # days of the month that are to come


class Month(NamedTuple):
    """Which days a month is of, by number: from `start` to before `end`; the month before it began with `before`."""

    before: int
    start: int
    end: int


class Trial(NamedTuple):
    """One morning: what each rule said of the month, in percent beside its sum, and whether the range was right."""

    left: int
    errors: tuple[float, ...]  # by RULES
    is_within: bool
    width: float  # of the range, in percent of the sum


def lines() -> Iterator[str]:
    """A row a kind of season and a trace; the means, and how they change as a month goes by."""
    yield f"error of the month's sum in percent; range of {COVERAGE} %; {len(SEEDS)} accounts a kind, 9 months each"
    yield f"{'':<16}{''.join(f'{rule:>13}' for rule in RULES)}{'within range':>14}{'its width':>11}"
    found = {kind: [t for seed in SEEDS for t in _trials(season(kind, seed), _months())] for kind in SEASONS}
    for kind, trials in found.items():
        yield _row(kind, [trials])
    yield _row("all seasons", [*found.values()])
    for first, last in _LEFT:
        of_days = [[one for one in trials if first <= one.left <= last] for trials in found.values()]
        yield _row(f"{first}-{last} days left", of_days)
    yield ""
    yield from _of_traces()


def _of_traces() -> Iterator[str]:
    if not FOLDER.is_dir():
        yield f"no real traces at {FOLDER}"
        return
    yield f"real traces, an hour each: half a minute as a day, {TRACE_MONTH} of them as a month"
    for name in TRACES:
        days = trace(name)
        yield _row(name, [[*_trials(days, _thrice(range(0, len(days) + 1, TRACE_MONTH)))]])


def _row(name: str, groups: Sequence[Sequence[Trial]]) -> str:
    """Means over groups, each of which counts the same."""
    errors = [fmean(fmean(one.errors[place] for one in trials) for trials in groups) for place in range(len(RULES))]
    within = fmean(fmean(one.is_within for one in trials) for trials in groups)
    width = median(one.width for trials in groups for one in trials)
    told = "".join(f"{error:>13.1f}" for error in errors)
    return f"{name:<16}{told}{within:>13.0%} {width:>10.0f}"


def _months() -> list[Month]:
    """The months from April on."""
    return _thrice([number for number in range(DAYS + 1) if (FIRST + timedelta(days=number)).day == 1])[2:]


def _thrice(firsts: Sequence[int]) -> list[Month]:
    return [Month(*three) for three in zip(firsts, firsts[1:], firsts[2:], strict=False)]


def _trials(days: Sequence[int], months: Sequence[Month]) -> Iterator[Trial]:
    for month in months:
        start, end = month.start, month.end
        actual = sum(days[start:end])
        for now in range(start + 1, end):
            today = FIRST + timedelta(days=now)
            pace = find_pace(days[:now], today)
            if actual and isinstance(pace, Pace):
                yield _trial(days, month, now, actual, pace)


def _trial(days: Sequence[int], month: Month, now: int, actual: int, pace: Pace) -> Trial:
    before, start, end = month
    spent = sum(days[start:now])
    found = forecast(spent, [*_whole_days(pace.today, end - now)], pace)
    said = (
        max(spent, sum(days[before:start])),
        spent / (now - start) * (end - start),
        spent + sum(days[now - 7 : now]) / 7 * (end - now),
        found.amount,
    )
    errors = tuple(abs(amount - actual) / actual * 100 for amount in said)
    return Trial(end - now, errors, found.low <= actual <= found.high, (found.high - found.low) / actual * 100)


def _whole_days(today: date, count: int) -> Iterator[Part]:
    return (Part(today + timedelta(days=number), 1.0) for number in range(count))
