"""The bodies of POST /chat/completions, as DeepSeek writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from costmeter.simulator.answers import pieces
from costmeter.simulator.vendor import Call

SYSTEM_FINGERPRINT = "fp_simulator"
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"


def completion(call: Call) -> bytes:
    """The whole answer in one body, after the empty lines that DeepSeek sends while a client waits."""
    choice = {"index": 0, "message": _message(call), "logprobs": None, "finish_reason": call.answer.finish_reason}
    body = {**_head(call, "chat.completion"), "choices": [choice], "usage": call.usage.as_json()}
    return b"\n\n" + _json({**body, "system_fingerprint": SYSTEM_FINGERPRINT})


def opening_events(call: Call) -> Iterator[bytes]:
    """Everything in a stream before the answer is complete: keep-alive comments, then a chunk a word."""
    yield KEEP_ALIVE
    yield KEEP_ALIVE
    thinks = call.answer.reasoning is not None
    yield _chunk(call, {"role": "assistant", **_delta("reasoning_content" if thinks else "content", "", thinks)})
    for piece in pieces(call.answer.reasoning or ""):
        yield _chunk(call, _delta("reasoning_content", piece, thinks))
    for piece in pieces(call.answer.content):
        yield _chunk(call, _delta("content", piece, thinks))


def closing_events(call: Call) -> bytes:
    """The last chunk, which alone has the finish reason and the usage whatever was asked for, and the end mark."""
    delta = _delta("content", "", call.answer.reasoning is not None)
    return _chunk(call, delta, call.answer.finish_reason, usage=call.usage.as_json()) + DONE


def _chunk(
    call: Call, delta: dict[str, object], finish_reason: str | None = None, usage: dict[str, object] | None = None
) -> bytes:
    """One event. Before the last one `usage` is null with include_usage, and not there without it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    head = {**_head(call, "chat.completion.chunk"), "system_fingerprint": SYSTEM_FINGERPRINT}
    tail = {"usage": usage} if usage or call.request.include_usage else {}
    return b"data: " + _json({**head, "choices": [choice], **tail}) + b"\n\n"


def _delta(field: str, text: str, thinks: bool) -> dict[str, object]:
    """A model that thinks names both fields in every delta, the silent one as null."""
    silent: dict[str, object] = {"content": None, "reasoning_content": None} if thinks else {}
    return {**silent, field: text}


def _message(call: Call) -> dict[str, object]:
    reasoning = {} if call.answer.reasoning is None else {"reasoning_content": call.answer.reasoning}
    return {"role": "assistant", "content": call.answer.content, **reasoning}


def _head(call: Call, kind: str) -> dict[str, object]:
    return {"id": call.id, "object": kind, "created": call.created, "model": call.request.model}


def _json(body: dict[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
