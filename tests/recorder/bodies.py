"""Response bodies: those recorded from DeepSeek, and those that no recording has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures"

CHAT_JSON = "pydantic-ai__chat_v4-flash_tool_0_2026-06-10.json"
CHAT_STREAM = "pydantic-ai__chat_reasoner_stream_include_usage_2025-07-10.sse"
RESPONSES_JSON = "pydantic-ai__responses_v4-flash_text_2026-08-05.json"
RESPONSES_STREAM = "pydantic-ai__responses_v4-flash_text_stream_2026-08-05.sse"
CHUNK_LINES = "vercel-ai__deepseek-tool-call.chunks.txt"

USAGE = {
    "prompt_tokens": 563,
    "completion_tokens": 116,
    "total_tokens": 679,
    "prompt_tokens_details": {"cached_tokens": 512},
    "completion_tokens_details": {"reasoning_tokens": 60},
    "prompt_cache_hit_tokens": 512,
    "prompt_cache_miss_tokens": 51,
}
FINAL_ANTHROPIC = {
    "input_tokens": 8,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 2,
    "output_tokens": 5,
}
INSUFFICIENT = (
    b'{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request"}}'
)


def recorded(name: str) -> bytes:
    """A body recorded from the live API; a skipped test where the recordings are not there."""
    path = FIXTURES / name
    if not path.exists():
        reason = f"the recorded body {path} is not there"
        if os.environ.get("COSTMETER_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    body = path.read_bytes()
    if name == CHUNK_LINES:
        return b"".join(b"data: " + line + b"\n\n" for line in body.splitlines()) + b"data: [DONE]\n\n"
    return body


def chat(**fields: Any) -> dict[str, Any]:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi \U0001f600"}, "finish_reason": "stop"}
    head = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "deepseek-chat", "choices": [choice]}
    return {**head, "usage": USAGE, **fields}


def chunk(content: str, **fields: Any) -> dict[str, Any]:
    """A chunk of a streamed chat completion."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": None}
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "deepseek-chat"}
    return {**head, "choices": [choice], **fields}


def event(payload: dict[str, Any], name: str | None = None, end: str = "\n\n") -> bytes:
    """A server-sent event."""
    head = f"event: {name}{end[: len(end) // 2]}" if name else ""
    return f"{head}data: {json.dumps(payload, separators=(',', ':'))}{end}".encode()


def chat_stream(end: str = "\n\n") -> bytes:
    """A stream as it comes without include_usage, with keep-alive comments and a text that looks like usage."""
    events = [event(chunk(text), end=end) for text in ("Hi", ' "usage":{"a":1} [DONE]', " data: [DONE]")]
    return b": keep-alive" + end.encode() + b"".join(events) + event(chunk("", usage=USAGE), end=end) + done(end)


def trailing_usage_stream() -> bytes:
    """The shape of OpenAI's own API: usage null in each chunk, then a chunk of its own with empty choices."""
    trailing = {**chunk(""), "choices": [], "usage": USAGE}
    return event(chunk("Hi", usage=None)) + event(chunk("", usage={})) + event(trailing) + done()


def anthropic_stream() -> bytes:
    """Counts of the input at the start, of the output at the end."""
    usage = {"input_tokens": 8, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2, "output_tokens": 1}
    message = {"id": "m-1", "type": "message", "role": "assistant", "model": "deepseek-flash", "usage": usage}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    return (
        event({"type": "message_start", "message": message}, "message_start")
        + event({"type": "ping"}, "ping")
        + event(text, "content_block_delta")
        + event(delta, "message_delta")
        + event({"type": "message_stop"}, "message_stop")
    )


def done(end: str = "\n\n") -> bytes:
    return f"data: [DONE]{end}".encode()


def json_body(payload: dict[str, Any]) -> bytes:
    """A body as DeepSeek sends it after it has kept a client waiting."""
    return b"\n\n\n" + json.dumps(payload).encode()
