"""What DeepSeek answers, as bytes that are made once: from call to call only the id changes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from email.utils import formatdate

MODEL = "deepseek-flash"
CHUNKS = 200  # of text in a stream; a keep-alive comment comes before them, the usage and the end mark after
FRAMES = CHUNKS + 3
USAGE = {
    "prompt_tokens": 563,
    "completion_tokens": 216,
    "total_tokens": 779,
    "prompt_tokens_details": {"cached_tokens": 512},
    "completion_tokens_details": {"reasoning_tokens": 60},
    "prompt_cache_hit_tokens": 512,
    "prompt_cache_miss_tokens": 51,
}

_ID = b"00000000-0000-4000-8000-000000000000"
_TEXT = "The quiet river runs past the old town, and every morning the light comes slowly over the hills. " * 5
_HEAD = {"id": _ID.decode(), "created": 1_790_000_000, "model": MODEL, "system_fingerprint": "fp_8b330d02d0_prod0820"}


def completion() -> bytes:
    """The response to a call that is not streamed; its body is about 1 KB."""
    return _head("application/json", b"content-length: %d" % len(_BODY)) + _with_id(_BODY)


def stream() -> bytes:
    """The response to a streamed call.

    Each event is an HTTP chunk of its own, with its length before it: that is how a client takes them apart, however
    many of them one packet brings.
    """
    return _head("text/event-stream; charset=utf-8", b"transfer-encoding: chunked") + _with_id(_FRAMES)


def completion_body() -> bytes:
    """The body of an answer that is not streamed."""
    return _with_id(_BODY)


def stream_events() -> list[bytes]:
    """The events of a streamed answer, one for each HTTP chunk."""
    answer_id = str(uuid.uuid4()).encode()
    return [event.replace(_ID, answer_id) for event in _EVENTS]


def empty_object() -> bytes:
    """The response of a sink that takes whatever is exported to it."""
    return _head("application/json", b"content-length: 2") + b"{}"


def _head(content_type: str, framing: bytes) -> bytes:
    date = formatdate(usegmt=True)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ndate: {date}\r\nx-ds-trace-id: {uuid.uuid4().hex}\r\n"
    return head.encode() + b"connection: keep-alive\r\ncache-control: no-cache\r\n" + framing + b"\r\n\r\n"


def _with_id(body: bytes) -> bytes:
    return body.replace(_ID, str(uuid.uuid4()).encode())


def _body() -> bytes:
    message = {"role": "assistant", "content": _TEXT, "reasoning_content": _TEXT[:97]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE})


def _event(delta: Mapping[str, object], finish_reason: str | None = None, usage: object = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {**_HEAD, "object": "chat.completion.chunk", "choices": [choice], "usage": usage}
    return b"data: " + _json(chunk) + b"\n\n"


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _events() -> list[bytes]:
    words = [f" {word}" for word in _TEXT.split()]
    texts = [_event({"content": words[n % len(words)], "reasoning_content": None}) for n in range(CHUNKS)]
    last = _event({"content": "", "reasoning_content": None}, "stop", USAGE)
    return [b": keep-alive\n\n", *texts, last, b"data: [DONE]\n\n"]


_BODY = _body()
_EVENTS = _events()
_FRAMES = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in _EVENTS) + b"0\r\n\r\n"
