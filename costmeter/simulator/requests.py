"""What the simulator reads of a request, whatever its format: unknown fields are ignored, as DeepSeek does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from costmeter.simulator.errors import VendorError

# "If max_tokens is not specified, the default maximum output length is 4K" (2025). The upper limit is that of V4, 384K.
DEFAULT_MAX_TOKENS = 4096
LARGEST_MAX_TOKENS = 393_216

Fields = Mapping[str, Any]
_Kind = TypeVar("_Kind")
_NOT_DESERIALISED = "Failed to deserialize the JSON body into the target type"


@dataclass(frozen=True)
class CallRequest:
    """What is needed to answer and to bill."""

    model: str  # the name that is billed
    prompt: str  # all that the model reads: two calls share a cache prefix where these texts do
    max_tokens: int
    stream: bool
    thinks: bool
    include_usage: bool = False
    instructions: str | None = None  # what an answer of the responses API repeats


def read_object(body: bytes) -> Fields:
    """The fields of the body, or a 400 in DeepSeek's words."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise VendorError(400, f"{_NOT_DESERIALISED}: the body is not JSON") from None
    if not isinstance(fields, dict):
        raise VendorError(400, f"{_NOT_DESERIALISED}: the body is not an object")
    return fields


def required(fields: Fields, name: str, expected: type[_Kind]) -> _Kind:
    """The field, or a 400 that names it."""
    value = fields.get(name)
    if value is None:
        raise VendorError(400, f"{_NOT_DESERIALISED}: missing field `{name}`")
    return _checked(value, name, expected)


def optional(fields: Fields, name: str, expected: type[_Kind]) -> _Kind | None:
    """The field or None, or a 400 that names it."""
    value = fields.get(name)
    return None if value is None else _checked(value, name, expected)


def token_limit(fields: Fields, name: str = "max_tokens", largest: int = LARGEST_MAX_TOKENS) -> int:
    """How long the answer may be, reasoning included."""
    value = fields.get(name)
    if value is None:
        return DEFAULT_MAX_TOKENS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
        raise VendorError(400, f"Invalid {name} value, the valid range of {name} is [1, {largest}]")
    return value


def thinks(model: str, fields: Fields) -> bool:
    """The names of 2025 decide it themselves; later models think unless told not to (guides/thinking_mode)."""
    if model in ("deepseek-chat", "deepseek-reasoner"):
        return model == "deepseek-reasoner"
    thinking = fields.get("thinking")
    return not (isinstance(thinking, dict) and thinking.get("type") == "disabled")


def render_tools(fields: Fields) -> str:
    """The tools, which the model reads before anything else."""
    return json.dumps(fields["tools"]) if fields.get("tools") else ""


def render(message: object, field: str = "messages") -> str:
    """One message as the model reads it."""
    fields = _checked(message, field, dict)
    role, content = required(fields, "role", str), fields.get("content")
    calls = json.dumps(fields["tool_calls"]) if fields.get("tool_calls") else ""
    return f"<{role}>\n{_text(content)}{calls}\n"


def _text(content: object) -> str:
    """A text is read as it is, whether it came alone or in parts; what is no text is read as its JSON."""
    if isinstance(content, list):
        return "".join(_part(part) for part in content)
    if isinstance(content, str):
        return content
    return "" if content is None else json.dumps(content)


def _part(part: object) -> str:
    """The cache marks beside a text are ignored (guides/anthropic_api)."""
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        text: str = part["text"]
        return text
    return json.dumps(part)


def _checked(value: object, name: str, expected: type[_Kind]) -> _Kind:
    if not isinstance(value, expected):
        raise VendorError(400, f"{_NOT_DESERIALISED}: {name}: invalid type")
    return value
