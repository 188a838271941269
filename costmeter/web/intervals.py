"""The interval of a page: a billing month, or days or instants of completion, as its address has them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from costmeter.core.errors import InputError
from costmeter.core.periods import (
    Period,
    check_month,
    day_period,
    format_instant,
    month_before,
    month_of,
    parse_instant,
    zone,
)
from costmeter.web.days import FIRST, LAST

_DAY = len("YYYY-MM-DD")


class Interval(NamedTuple):
    """As the address has it: `month`, or `start` and `end`, which are days (both are in it) or instants [from, to)."""

    month: str | None = None
    start: str | None = None
    end: str | None = None

    def asked(self) -> dict[str, str | None]:
        """The parameters of an address."""
        return {"month": self.month, "from": self.start, "to": self.end}

    def are_days(self) -> bool:
        """Whether it is written as days."""
        return all(text is None or len(text) == _DAY for text in (self.start, self.end))

    def period(self, timezone: str) -> Period:
        """The instants from the first to the last; either is None where the address has none, or names a month.

        Raises InputError by the name of the parameter.
        """
        if self.month is not None:
            if self.start is not None or self.end is not None:
                raise InputError("month", self.month, "give either a month, or from and to")
            check_month(self.month)
        return Period(_edge(self.start, "from", timezone).start, _edge(self.end, "to", timezone).end)


def presets(now: datetime, timezone: str, billing_zone: str) -> dict[str, Interval]:
    """The intervals that are one click away: days of a time zone, and billing months of that of the accounts."""
    month, today = month_of(now, billing_zone), now.astimezone(zone(timezone)).date()
    week = today - timedelta(days=6)
    return {
        "this_month": Interval(month),
        "last_month": Interval(month_before(month)),
        "last_7_days": Interval(None, week.isoformat(), today.isoformat()),
        "today": Interval(None, today.isoformat(), today.isoformat()),
    }


def days_of(period: Period, now: datetime, timezone: str) -> Interval:
    """The days up to today that an interval touches, to be chosen from."""
    assert period.start is not None
    assert period.end is not None
    tz = zone(timezone)
    first, last = (one.astimezone(tz).date() for one in (period.start, period.end - timedelta(microseconds=1)))
    today = now.astimezone(tz).date()
    return Interval(None, first.isoformat(), max(first, min(last, today)).isoformat())


def within(interval: Interval, period: Period, timezone: str) -> Interval:
    """What of an interval is in a period: the same days, or the instants that are left of them."""
    inner = interval.period(timezone)
    assert inner.start and inner.end and period.start and period.end  # noqa: PT018
    start, end = max(inner.start, period.start), min(inner.end, period.end)
    return interval if (start, end) == inner else Interval(None, format_instant(start), format_instant(end))


def _edge(text: str | None, name: str, timezone: str) -> Period:
    """The instants that an edge stands for: those of a day, or a single one."""
    if text is None:
        return Period(None, None)
    if len(text) != _DAY:
        instant = parse_instant(text, name)
        return Period(instant, instant)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.isoformat() != text or not FIRST <= day <= LAST:
        raise InputError(name, text, "write a day as YYYY-MM-DD, or an RFC 3339 instant such as 2025-03-01T16:30:00Z")
    return day_period(day, timezone)
