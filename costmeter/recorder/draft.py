"""What the caller's thread writes down of a call: as little as can be, in one piece of JSON for each of its two sides.

The *intent* is what is known before the call is sent; the *draft* of a call that ended is its intent and what came of
it. `record.py` makes the usage event of it, in the thread that delivers. No prompt, no answer and no key is in either.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from msgspec import UNSET, MsgspecError, Raw, Struct
from msgspec.json import Decoder, Encoder

from costmeter.core.events import TAGS_COUNT
from costmeter.recorder.attribution import Attribution, text
from costmeter.recorder.reading import parse

_NAME = re.compile(rb'"model"\s*:\s*"([^"\\]*)"')
_STREAM = re.compile(rb'"stream"\s*:\s*true')
encode, decode = Encoder().encode, Decoder[Any]().decode


class Intent(Struct):
    """What is known of a call before it is sent; a dead process leaves no more of it."""

    event_id: str
    operation_id: str
    attribution: Raw  # as `write_attribution` writes it
    asked: Raw  # as `write_asked` does
    started_at: datetime


class Ended(Struct):
    """What came of a call; in the usage event's own words where it has any."""

    elapsed: float  # seconds from its start to its completion
    answered: tuple[str, float] | None  # the Date of the answer, and seconds from the start until it came
    bytes: int
    chunks: int
    status: str
    usage: Any
    model: str | None
    response_id: str | None
    http_status: Any = UNSET
    error_code: Any = UNSET
    reason: Any = UNSET
    characters: Any = UNSET
    estimate: Any = UNSET


def write_draft(intent: bytes, ended: Ended) -> bytes:
    """The draft of a call that ended, as it stands in the lane."""
    try:
        return b'{"ended":%b,"intent":%b}' % (encode(ended), intent)
    except (OverflowError, TypeError, ValueError, MsgspecError):
        ended.usage = Raw(json.dumps(ended.usage, default=str).encode())  # a count beyond 64 bits: others judge it
        return b'{"ended":%b,"intent":%b}' % (encode(ended), intent)


def write_attribution(said: Attribution) -> Raw:
    """Whose a call is: the same for nearly every call through a door."""
    fields: dict[str, Any] = {
        "account": said.account,  # None: the database's default, or the only one of the server's key
        "project": said.project,
        "user": said.user,
        "api_key": said.api_key,
        "tags": dict(islice(said.tags.items(), TAGS_COUNT)),
    }
    if len(said.tags) > TAGS_COUNT:
        fields["tags_dropped"] = len(said.tags) - TAGS_COUNT
    return Raw(encode(fields))


def write_asked(content: bytes | None) -> Raw:
    """Model and stream of a request body, without parsing a long prompt.

    Quotes inside a JSON text are escaped, so that a name in quotes is a field; only where it is a field more than
    once the body is parsed.
    """
    if not content:
        return _asked(None, False)
    model_at, stream_at = content.find(b'"model"'), content.find(b'"stream"')
    name = _NAME.match(content, model_at) if model_at >= 0 else None
    is_once = content.find(b'"model"', model_at + 7) < 0 and content.find(b'"stream"', stream_at + 8) < 0
    if name is not None and is_once:
        is_stream = stream_at >= 0 and _STREAM.match(content, stream_at) is not None
        return _asked(name.group(1), is_stream)
    asked = parse(content) or {}
    model = asked.get("model")
    return _asked(model.encode("utf-8", "replace") if isinstance(model, str) else None, asked.get("stream") is True)


@lru_cache(maxsize=256)  # few models, in many calls
def _asked(model: bytes | None, is_stream: bool) -> Raw:
    named = None if model is None else text(model.decode("utf-8", "replace"))
    return Raw(encode({"requested_model": named, "stream": is_stream}))
