"""Instants as RFC 3339 text, and stretches of time in seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from costmeter.simulator.errors import BadInputError

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_REMEDY = "write an instant with its offset and at most six decimals, such as 2025-03-01T16:30:00Z"


def parse_instant(value: object, field: str) -> datetime:
    """The instant in UTC; one without an offset is refused, since nobody can say which one it means."""
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise BadInputError(field, value, _REMEDY)
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInputError(field, value, _REMEDY) from None


def parse_seconds(value: object, field: str) -> timedelta:
    """The stretch of time; whether it may be negative is for others to say."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return timedelta(seconds=value)
    except (ValueError, OverflowError):
        pass  # not a number, or beyond what a clock can hold
    raise BadInputError(field, value, "give a number of seconds, such as 90")


def format_instant(instant: datetime) -> str:
    """RFC 3339 with Z; microseconds appear only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
