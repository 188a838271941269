"""Days as forms and addresses have them."""

from __future__ import annotations

from datetime import date, datetime

from costmeter.core.errors import InputError
from costmeter.core.periods import day_period

FIRST, LAST = date(1900, 1, 1), date(9000, 1, 1)  # that have an instant in every time zone, with days beside them


def start_of_day(text: str, field: str, timezone: str) -> datetime:
    """The instant at which a day (YYYY-MM-DD) begins in a time zone; raises InputError by the name of the field."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError(field, text, "write a day as YYYY-MM-DD") from None
    if not FIRST <= day <= LAST:
        raise InputError(field, text, f"choose a day from {FIRST} to {LAST}")
    start = day_period(day, timezone).start
    assert start is not None
    return start
