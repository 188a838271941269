"""Days and instants as forms have them: on the clock of a time zone that the page names."""

from __future__ import annotations

from datetime import date, datetime

from costmeter.core.errors import InputError
from costmeter.core.periods import as_utc, parse_instant, zone

_FIRST = date(2000, 1, 1)


def read_day(text: str, field: str, last: date) -> date:
    """A day from 2000 to `last`; InputError otherwise."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError(field, text, "write a day as YYYY-MM-DD") from None
    if not _FIRST <= day <= last:
        raise InputError(field, text, f"choose a day from {_FIRST} to today, {last}")
    return day


def read_instant(text: str, field: str, timezone: str) -> datetime:
    """An instant: RFC 3339 with its offset, or a date and time of day of the time zone.

    InputError where it is neither, and where the clock of the zone shows it twice or never.
    """
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        local = None
    if local is None or local.tzinfo is not None:
        return parse_instant(text, field)
    tz = zone(timezone)
    both = {as_utc(local.replace(tzinfo=tz, fold=fold), field) for fold in (0, 1)}
    if len(both) > 1:
        remedy = f"is no single instant on the clock of {timezone}, which is changed then; use the time zone UTC"
        raise InputError(field, text, remedy)
    return both.pop()


def local_text(instant: datetime, timezone: str) -> str:
    """An instant as the field of a form has it."""
    return instant.astimezone(zone(timezone)).replace(tzinfo=None).isoformat("T", "seconds")
