"""The usage event of one call, as CONTRACT.md has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from costmeter.core.events import DEFAULT_ACCOUNT, FAILED, OK, PROVIDERS, TAGS_COUNT, UNMETERED
from costmeter.core.periods import format_instant
from costmeter.recorder.attribution import Attribution, text
from costmeter.recorder.reading import DRIVING_AWAY, Reading, parse

CLOSED_EARLY = "closed early by the caller"
TIMED_OUT = "timed out"
TIMED_OUT_AT_VENDOR = "timed out at 30 minutes"
# "if the request is not completed after 30 minutes, the server will close the connection" (api-docs.deepseek.com,
# quick_start/rate_limit); what the network adds or takes is allowed for.
VENDOR_PATIENCE = 30 * 60 - 5
UNKNOWN_MODEL = "unknown"  # neither the request nor the response could be read

# Errors of HTTP clients, by name, after which it is certain that the vendor never got the request.
_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol")
_NAME = re.compile(rb'"model"\s*:\s*"([^"\\]*)"')
_STREAM = re.compile(rb'"stream"\s*:\s*true')


_name = lru_cache(maxsize=256)(text)  # few models, in many calls


class Asked(NamedTuple):
    """What the request said; never the prompt."""

    model: str | None = None
    stream: bool = False


class Ending(NamedTuple):
    """How a call ended where it did not end by itself: why, and the error where the request was never sent."""

    reason: str
    never_sent: str | None = None


def read_request(content: bytes | None) -> Asked:
    """Model and stream of a request body, without parsing a long prompt.

    Quotes inside a JSON text are escaped, so that a name in quotes is a field; only where it is a field more than
    once the body is parsed.
    """
    if not content:
        return Asked()
    model_at, stream_at = content.find(b'"model"'), content.find(b'"stream"')
    is_twice = any(at >= 0 and content.find(content[at : at + 7], at + 7) >= 0 for at in (model_at, stream_at))
    name = _NAME.match(content, model_at) if model_at >= 0 else None
    if name is not None and not is_twice:
        is_stream = stream_at >= 0 and _STREAM.match(content, stream_at) is not None
        return Asked(name.group(1).decode("utf-8", "replace"), is_stream)
    asked = parse(content) or {}
    model = asked.get("model")
    return Asked(model if isinstance(model, str) else None, asked.get("stream") is True)


def ending_of(error: BaseException) -> Ending:
    """What an error says of a call: its name tells whether the request was sent, and what cut it off."""
    name = type(error).__name__
    if not isinstance(error, Exception):
        return Ending(CLOSED_EARLY)  # cancelled, interrupted, or the reader went away
    if any(kind.__name__ in _NEVER_SENT for kind in type(error).__mro__):
        return Ending(f"never sent: {name}", never_sent=name)
    is_timeout = isinstance(error, TimeoutError) or any("Timeout" in kind.__name__ for kind in type(error).__mro__)
    return Ending(TIMED_OUT if is_timeout else f"cut off: {name}")


@lru_cache(maxsize=16)
def read_date(header: bytes | None) -> float | None:
    """The instant of a Date header in seconds since 1970; many calls a second see the same one."""
    try:
        instant = parsedate_to_datetime((header or b"").decode("latin-1"))
        return instant.timestamp() if instant.tzinfo is not None else None
    except (ValueError, TypeError, OverflowError):
        return None


def outcome(http_status: int | None, reading: Reading, ending: Ending | None, *, elapsed: float) -> dict[str, Any]:
    """Status, usage and, where there is no usage, what is known of why."""
    said = {} if http_status is None else {"http_status": http_status}
    code = text(reading.error_code)
    if http_status is None and ending is not None and ending.never_sent:
        return {"status": FAILED, "usage": None, "error_code": ending.never_sent}
    if http_status is not None and not 200 <= http_status < 300:
        return {"status": FAILED, "usage": None, **said, "error_code": code}
    if reading.usage is not None:
        return {"status": OK, "usage": reading.usage, **said}
    reason = reading.problem if ending is None or reading.problem in DRIVING_AWAY else ending.reason
    if elapsed >= VENDOR_PATIENCE and reason != CLOSED_EARLY:
        reason = TIMED_OUT_AT_VENDOR
    return {"status": UNMETERED, "usage": None, **said, "error_code": code, "reason": reason}


def build_intent(
    *, event_id: str, operation_id: str, attribution: Attribution, asked: Asked, started_at: datetime
) -> dict[str, Any]:
    """What is known of a call before it is sent; a dead process leaves no more of it."""
    detail: dict[str, Any] = {"stream": asked.stream}
    tags = attribution.tags
    if len(tags) > TAGS_COUNT:
        detail["tags_dropped"] = len(tags) - TAGS_COUNT
        tags = dict(islice(tags.items(), TAGS_COUNT))
    requested_model = _name(asked.model)
    return {
        "event_id": event_id,
        "account": attribution.account or DEFAULT_ACCOUNT,
        "project": attribution.project,
        "user": attribution.user,
        "api_key": attribution.api_key,
        "tags": {**tags},
        "provider": PROVIDERS[0],
        "model": requested_model or UNKNOWN_MODEL,
        "requested_model": requested_model,
        "operation_id": operation_id,
        "started_at": format_instant(started_at),
        "detail": detail,
    }


def build_record(
    intent: Mapping[str, Any],
    *,
    reading: Reading,
    completed_at: datetime,
    outcome: Mapping[str, Any],
    clock_offset: float | None,
) -> dict[str, Any]:
    """The record, ready to be written as JSON."""
    detail = {**intent["detail"], "bytes": reading.bytes, "chunks": reading.chunks}
    if reading.characters is not None:
        detail["characters"] = sum(reading.characters)
    if clock_offset is not None:
        detail["clock_offset_seconds"] = round(clock_offset, 3)
    return {
        **intent,
        "model": _name(reading.model) or intent["model"],
        "response_id": text(reading.response_id),
        **outcome,
        "completed_at": format_instant(completed_at),
        "detail": detail,
    }


def completion(started_at: datetime, elapsed: float) -> datetime:
    """The instant so many seconds after the start, to the microsecond and never before it."""
    return started_at + timedelta(seconds=max(0.0, elapsed))
