"""Instants as RFC 3339 text."""

from __future__ import annotations

import re
from datetime import UTC, datetime

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


def format_instant(instant: datetime) -> str:
    """RFC 3339 with Z; microseconds appear only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
