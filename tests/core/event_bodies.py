"""Bodies of usage events as they come in, and what is said of one that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from costmeter.core.errors import InputError
from costmeter.core.events import UsageEvent, read_event
from costmeter.core.texts import TEXT_LENGTH

KEY = "sk-0123456789abcdef0123456789abcdef"
TEXT = f"write a text of at most {TEXT_LENGTH} characters"
INSTANT = "write an RFC 3339 instant such as 2025-03-01T16:30:00Z"
TEXT_FIELDS = ("project", "user", "api_key", "model", "requested_model", "error_code", "reason")
ID_FIELDS = ("event_id", "response_id", "operation_id")
COUNTS = {
    "prompt_tokens": 563,
    "prompt_cache_hit_tokens": 512,
    "prompt_cache_miss_tokens": 51,
    "completion_tokens": 116,
    "completion_tokens_details": {"reasoning_tokens": 60},
    "total_tokens": 679,
}


def a_body(**changes: Any) -> dict[str, Any]:
    """The least that an event has, with changes; ... takes a field out."""
    body: dict[str, Any] = {"model": "deepseek-chat", "completed_at": "2025-03-01T16:30:00Z", "usage": COUNTS}
    return {field: value for field, value in (body | changes).items() if value is not ...}


def an_event(**changes: Any) -> UsageEvent:
    return read_event(a_body(**changes))


def refusal_of(body: object) -> str:
    with pytest.raises(InputError) as refusal:
        read_event(body)
    return str(refusal.value)
