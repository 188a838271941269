"""Server-sent events, encoded."""

from __future__ import annotations

import json
from collections.abc import Mapping

# A text that is nowhere else; where it stands in an event, something is put in later.
HOLE = "\x00hole\x00"

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"

_ENCODER = json.JSONEncoder(separators=(",", ":"))


def encode(body: object) -> bytes:
    """Compact JSON."""
    return _ENCODER.encode(body).encode()


def event(body: Mapping[str, object]) -> bytes:
    """An event without a name."""
    return b"data: " + encode(body) + b"\n\n"


def named_event(body: Mapping[str, object]) -> bytes:
    """An event that is named by the type of its body."""
    return f"event: {body['type']}\n".encode() + event(body)


class Template:
    """An event that is sent many times with little changed: all but its holes is encoded once."""

    def __init__(self, encoded: bytes) -> None:
        self._first, *self._rest = encoded.split(encode(HOLE))

    def fill(self, *values: object) -> bytes:
        """The event with its holes filled, in their order."""
        filled = [self._first]
        for value, fixed in zip(values, self._rest, strict=True):
            filled += encode(value), fixed
        return b"".join(filled)
