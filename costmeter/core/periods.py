"""Instants and half-open periods.

An instant is an aware UTC datetime with microseconds; a period is [start, end), either side open when None.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from costmeter.core.errors import InputError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
QUARTER_MICROS = 900_000_000  # every time zone's hours and days begin at a quarter hour
# Before and after these some time zone has no date for the instant (a zero time of other languages is 0001-01-01).
FIRST_INSTANT, LAST_INSTANT = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII)
_WITH_FRACTION = (len("YYYY-MM-DDTHH:MM:SS.fffZ"), len("YYYY-MM-DDTHH:MM:SS.ffffffZ"))
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)


class Period(NamedTuple):
    """The instants from `start` up to, but without, `end`; None is open."""

    start: datetime | None
    end: datetime | None

    def __contains__(self, instant: object) -> bool:
        if not isinstance(instant, datetime):
            return False
        return (self.start is None or self.start <= instant) and (self.end is None or instant < self.end)


def parse_instant(value: object, field: str = "instant") -> datetime:
    """An RFC 3339 instant with any offset, as UTC; finer than a microsecond is cut off; a naive one is refused."""
    if isinstance(value, datetime):
        return value if value.tzinfo is UTC else as_utc(value, field)
    usual = _usual_instant(value) if type(value) is str else None
    if usual is not None:
        return usual
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InputError(field, value, "write an RFC 3339 instant such as 2025-03-01T16:30:00Z")
    if match.group(2) is None:
        raise InputError(field, value, "has no time zone; add Z or an offset such as +08:00")
    try:
        return as_utc(datetime.fromisoformat(match.group(0).upper()), field)
    except ValueError as error:
        raise InputError(field, value, f"is no instant: {error}") from None


def parse_known_at(value: object, now: datetime) -> datetime:
    """An instant to look back to; one ahead of now is refused, since nobody knows what will be known then."""
    instant = parse_instant(value, "known_at")
    if instant > now:
        raise InputError("known_at", value, f"is ahead of now, {format_instant(now)}; leave it out for what is known")
    return instant


def _usual_instant(text: str) -> datetime | None:
    """The instant of a text as most are written, YYYY-MM-DDTHH:MM:SS[.fff[fff]]Z; None sends any other the long way.

    `fromisoformat` alone takes more shapes than RFC 3339 has; with the separators in these places it cannot.
    """
    separators = text[4:20:3]
    is_whole = separators == "--T::Z" and len(text) == len("YYYY-MM-DDTHH:MM:SSZ")
    if not is_whole and not (separators == "--T::." and text[-1] == "Z" and len(text) in _WITH_FRACTION):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if FIRST_INSTANT <= instant < LAST_INSTANT else None


def as_utc(instant: datetime, field: str = "instant") -> datetime:
    """The same moment in UTC; a naive datetime is refused, since it names no moment."""
    if instant.utcoffset() is None:
        raise InputError(field, instant.isoformat(), "has no time zone; pass an aware datetime")
    if not FIRST_INSTANT <= instant < LAST_INSTANT:
        raise InputError(field, instant.isoformat(), "is no date in every time zone; correct it at its source")
    return instant if instant.tzinfo is UTC else instant.astimezone(UTC)


def format_instant(instant: datetime) -> str:
    """RFC 3339 with Z; microseconds only where there are any."""
    return (instant if instant.tzinfo is UTC else instant.astimezone(UTC)).isoformat()[:-6] + "Z"


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z, exactly."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def quarter_of(instant: datetime) -> int:
    """The quarter hour that an instant is in, counted since 1970."""
    return to_micros(instant) // QUARTER_MICROS


def from_micros(micros: int) -> datetime:
    """The instant of that many microseconds since 1970-01-01T00:00:00Z."""
    return EPOCH + timedelta(microseconds=micros)


@lru_cache(maxsize=256)
def zone(name: str, field: str = "timezone") -> ZoneInfo:
    """The IANA time zone of that name."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError) as error:
        raise InputError(field, name, "is no IANA time zone; use one such as UTC or Asia/Shanghai") from error


def day_period(day: date, zone_name: str) -> Period:
    """The instants of a day in a time zone; where its clock is changed they are not 24 hours."""
    tz = zone(zone_name)
    start, end = (datetime.combine(one, time(), tz).astimezone(UTC) for one in (day, day + timedelta(days=1)))
    return Period(start, end)


def month_of(instant: datetime, zone_name: str) -> str:
    """The month YYYY-MM of an instant in a time zone."""
    local = instant if zone_name == "UTC" and instant.tzinfo is UTC else instant.astimezone(zone(zone_name))
    return f"{local.year:04d}-{local.month:02d}"


def month_before(month: str) -> str:
    """The month that precedes one."""
    year, number = (int(part) for part in check_month(month).split("-"))
    return f"{year - 1:04d}-12" if number == 1 else f"{year:04d}-{number - 1:02d}"


def check_month(value: object, field: str = "month") -> str:
    """A month as YYYY-MM."""
    if not isinstance(value, str) or not _MONTH.fullmatch(value) or not "0001-02" <= value <= "9999-11":
        raise InputError(field, value, "write a month as YYYY-MM")
    return value


def month_after(month: str) -> str:
    """The month that follows."""
    year, number = (int(part) for part in month.split("-"))
    return f"{year + 1:04d}-01" if number == 12 else f"{year:04d}-{number + 1:02d}"


def month_period(month: str, zone_name: str) -> Period:
    """The instants of a month in a time zone."""
    first, following = (date.fromisoformat(f"{name}-01") for name in (check_month(month), month_after(month)))
    tz = zone(zone_name)
    start, end = (datetime(day.year, day.month, 1, tzinfo=tz).astimezone(UTC) for day in (first, following))
    return Period(start, end)
