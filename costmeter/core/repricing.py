"""When one edition of the price book says something else of a call than another did."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from costmeter.core.periods import Period
from costmeter.core.price_book import TOKEN_METERS, PriceBook, Step, Timeline

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
ALWAYS = Period(None, None)


def changed_periods(old: PriceBook, new: PriceBook, name: str, currency: str) -> list[Period]:
    """The completions for which a call of that name may be charged otherwise by the new book than by the old.

    Outside of them every amount, tariff, band and state of its price is the same. What the books say beyond the time
    that both are compiled for is not compared and counts as changed; so does all time where a tariff goes by the start
    of a call and anything has changed, since only completions are asked for.
    """
    first, second = old.timeline(name, currency), new.timeline(name, currency)
    horizon = min(old.horizon, new.horizon)
    inner = sorted({edge for edge in (*first.edges, *second.edges) if edge < horizon})
    changed: list[Period] = []
    for start, end in pairwise([None, *inner, horizon]):
        at = start or _BEFORE_ALL
        if _terms(_step_at(first, at)) != _terms(_step_at(second, at)):
            _extend(changed, Period(start, end))
    if changed and any(t.basis == "start" for book in (old, new) for t, _ in book.tariffs_of(name)):
        return [ALWAYS]
    if name in old.names or name in new.names:
        _extend(changed, Period(horizon, None))
    return changed


def covers(periods: list[Period], instant: datetime) -> bool:
    """Whether an instant is in one of these periods, which are in order and apart."""
    place = bisect_right(periods, instant, key=lambda period: period.start or _BEFORE_ALL)
    return place > 0 and instant in periods[place - 1]


def hull(first: Period, second: Period) -> Period:
    """The shortest period with both in it."""
    start = None if first.start is None or second.start is None else min(first.start, second.start)
    return Period(start, None if first.end is None or second.end is None else max(first.end, second.end))


def _step_at(timeline: Timeline, instant: datetime) -> Step | None:
    return timeline.steps[bisect_right(timeline.edges, instant)]


def _terms(step: Step | None) -> Any:
    """Everything that a charge takes from a step: the dearest band is what savings are measured by."""
    if step is None:
        return None
    bands = step.tariff.rates[step.currency].bands
    listed = {band: {m: rates[m].units for m in TOKEN_METERS if m in rates} for band, rates in bands.items()}
    return step.tariff.tariff_id, step.tariff.basis, step.band, step.provisional, listed


def _extend(periods: list[Period], following: Period) -> None:
    """Add a period, as one with the last where they touch."""
    if periods and periods[-1].end == following.start:
        periods[-1] = Period(periods[-1].start, following.end)
    else:
        periods.append(following)
