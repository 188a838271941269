"""A chat request, read as far as the simulator cares: unknown fields are accepted and ignored, as DeepSeek does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from costmeter.simulator.errors import VendorError

# "If max_tokens is not specified, the default maximum output length is 4K" (2025). The upper limit is that of V4, 384K.
DEFAULT_MAX_TOKENS = 4096
LARGEST_MAX_TOKENS = 393_216

_Kind = TypeVar("_Kind")
_NOT_DESERIALISED = "Failed to deserialize the JSON body into the target type"


@dataclass(frozen=True)
class ChatRequest:
    """What is needed to answer and to bill."""

    model: str
    prompt: str
    max_tokens: int
    stream: bool
    include_usage: bool
    thinks: bool


def read_chat_request(body: bytes) -> ChatRequest:
    """The request, or a 400 in DeepSeek's words that names what is wrong."""
    fields = _fields(body)
    model = _field(fields, "model", str)
    options = fields.get("stream_options")
    return ChatRequest(
        model=model,
        prompt=_prompt(fields),
        max_tokens=_max_tokens(fields.get("max_tokens")),
        stream=fields.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        thinks=_thinks(model, fields.get("thinking")),
    )


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise VendorError(400, f"{_NOT_DESERIALISED}: the body is not JSON") from None
    if not isinstance(fields, dict):
        raise VendorError(400, f"{_NOT_DESERIALISED}: the body is not an object")
    return fields


def _field(fields: Mapping[str, Any], name: str, expected: type[_Kind]) -> _Kind:
    value = fields.get(name)
    if value is None:
        raise VendorError(400, f"{_NOT_DESERIALISED}: missing field `{name}`")
    if not isinstance(value, expected):
        raise VendorError(400, f"{_NOT_DESERIALISED}: {name}: invalid type")
    return value


def _prompt(fields: Mapping[str, Any]) -> str:
    """All that the model reads, tools first, as one text: two calls share a cache prefix where these texts do."""
    messages = _field(fields, "messages", list)
    if not messages:
        raise VendorError(400, "Empty input messages")
    tools = json.dumps(fields["tools"]) if fields.get("tools") else ""
    return tools + "".join(_rendered(message) for message in messages)


def _rendered(message: object) -> str:
    if not isinstance(message, dict):
        raise VendorError(400, f"{_NOT_DESERIALISED}: messages: invalid type")
    role, content = _field(message, "role", str), message.get("content")
    calls = json.dumps(message["tool_calls"]) if message.get("tool_calls") else ""
    text = content if isinstance(content, str) else json.dumps(content) if content is not None else ""
    return f"<{role}>\n{text}{calls}\n"


def _max_tokens(value: object) -> int:
    if value is None:
        return DEFAULT_MAX_TOKENS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_MAX_TOKENS:
        raise VendorError(400, f"Invalid max_tokens value, the valid range of max_tokens is [1, {LARGEST_MAX_TOKENS}]")
    return value


def _thinks(model: str, thinking: object) -> bool:
    """The names of 2025 decide it themselves; later models think unless told not to (guides/thinking_mode)."""
    if model in ("deepseek-chat", "deepseek-reasoner"):
        return model == "deepseek-reasoner"
    return not (isinstance(thinking, dict) and thinking.get("type") == "disabled")
