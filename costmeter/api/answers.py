"""How the service answers: JSON, pages of a list, and reports that a client may keep."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from fastapi import Request, Response

from costmeter.core.errors import InputError

T = TypeVar("T")
MOST = 1_000  # rows of one page


class Json(Response):
    """JSON as compact UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


def page(found: Sequence[T], limit: int, shape: Callable[[T], Any], place: Callable[[T], str]) -> Json:
    """A page of a list: of `limit` + 1 rows that were asked for, the last says only that there are more."""
    rows = found[:limit]
    more = len(found) > limit
    return Json({"data": [shape(row) for row in rows], "next_cursor": cursor(place(rows[-1])) if more else None})


def cursor(place: str) -> str:
    """A place in a list as clients hand it back: nothing to be read or made by them."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def read_cursor(text: str | None) -> str | None:
    """The place that a cursor names."""
    if text is None:
        return None
    try:
        return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)).decode()
    except (ValueError, binascii.Error):
        raise InputError("cursor", text, "use the next_cursor of the page before") from None


def key_cursor(text: str | None) -> bytes | None:
    """The 16 bytes that a cursor names."""
    place = read_cursor(text)
    if place is None:
        return None
    try:
        key = bytes.fromhex(place)
    except ValueError:
        key = b""
    if len(key) != 16:
        raise InputError("cursor", text, "use the next_cursor of the page before")
    return key


def kept(request: Request, answer: Response) -> Response:
    """An answer with its ETag; 304 where the client has it already."""
    tag = f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer
