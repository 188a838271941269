"""The days or hours of a period, as sums of charges name them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from costmeter.core.periods import day_period, zone

DAY, HOUR = "day", "hour"
HOURS_UNTIL = timedelta(days=2)  # of a period that is told by hour


class Step(NamedTuple):
    """A day or hour of a time zone: as sums name it, as it is shown, and when it ends, within the period."""

    key: str
    label: str
    end: datetime


def grain(start: datetime, end: datetime) -> str:
    """Whether a period is told by hour or by day."""
    return HOUR if end - start <= HOURS_UNTIL else DAY


def steps(per: str, start: datetime, end: datetime, timezone: str) -> Iterator[Step]:
    """Each day or hour that has an instant in common with [start, end), in order."""
    return _hours(start, end, timezone) if per == HOUR else _days(start, end, timezone)


def _days(start: datetime, end: datetime, timezone: str) -> Iterator[Step]:
    day = start.astimezone(zone(timezone)).date()
    while True:
        after = day_period(day, timezone).end
        assert after is not None
        yield Step(day.isoformat(), day.isoformat(), min(after, end))
        if after >= end:
            return
        day += timedelta(days=1)


def _hours(start: datetime, end: datetime, timezone: str) -> Iterator[Step]:
    instant = start
    while instant < end:
        local = instant.astimezone(zone(timezone))
        whole = local.replace(minute=0, second=0, microsecond=0)
        instant += timedelta(hours=1) - timedelta(minutes=local.minute, seconds=local.second)
        key = whole.isoformat().replace("+00:00", "Z")
        yield Step(key, f"{whole:%m-%d %H:%M}", min(instant, end))
