"""Which days a digest tells of: the last day, week or month that is over in a time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from costmeter.core.errors import InputError
from costmeter.core.periods import Period, day_period, zone

DAILY, WEEKLY, MONTHLY = "daily", "weekly", "monthly"
DIGESTS = (DAILY, WEEKLY, MONTHLY)


class Digest(NamedTuple):
    """The days from `first` up to, but without, `end`; weeks begin on Monday, as ISO 8601 has them."""

    kind: str
    first: date
    end: date

    @property
    def name(self) -> str:
        """2026-11-25, 2026-W48 or 2026-11."""
        if self.kind == WEEKLY:
            year, week, _ = self.first.isocalendar()
            return f"{year:04d}-W{week:02d}"
        return self.first.isoformat()[: len("YYYY-MM") if self.kind == MONTHLY else None]

    @property
    def subject(self) -> str:
        """By which a digest of an account is told once."""
        return f"{self.kind} {self.name}"

    def period(self, timezone: str) -> Period:
        """Its instants in a time zone."""
        return Period(day_period(self.first, timezone).start, day_period(self.end, timezone).start)


def check_digest(kind: str) -> str:
    """The kind, one of those that there are."""
    if kind not in DIGESTS:
        raise InputError("kind", kind, f"use one of {', '.join(DIGESTS)}")
    return kind


def last_over(kind: str, now: datetime, timezone: str) -> Digest:
    """The digest of the last day, week or month that is over."""
    return before(around(kind, now.astimezone(zone(timezone)).date()))


def around(kind: str, day: date) -> Digest:
    """The day, week or month that a day is in."""
    return Digest(kind, *_around(check_digest(kind), day))


def before(digest: Digest) -> Digest:
    """The digest of the day, week or month before."""
    return around(digest.kind, digest.first - timedelta(days=1))


def _around(kind: str, day: date) -> tuple[date, date]:
    if kind == DAILY:
        return day, day + timedelta(days=1)
    if kind == WEEKLY:
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)
