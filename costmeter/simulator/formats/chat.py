"""POST /chat/completions."""

from __future__ import annotations

from costmeter.simulator.answers import pieces
from costmeter.simulator.calls import Call, Completion
from costmeter.simulator.errors import VendorError
from costmeter.simulator.formats import chunks
from costmeter.simulator.formats.events import HOLE, KEEP_ALIVE, Template, encode
from costmeter.simulator.formats.format import Format
from costmeter.simulator.requests import CallRequest, read_object, render, render_tools, required, thinks, token_limit

BODY, CHUNK = "chat.completion", "chat.completion.chunk"


def read_request(body: bytes) -> CallRequest:
    """The request, or a 400 in DeepSeek's words that names what is wrong."""
    fields = read_object(body)
    model, messages = required(fields, "model", str), required(fields, "messages", list)
    if not messages:
        raise VendorError(400, "Empty input messages")
    options = fields.get("stream_options")
    return CallRequest(
        model=model,
        prompt=render_tools(fields) + "".join(render(message) for message in messages),
        max_tokens=token_limit(fields),
        stream=fields.get("stream") is True,
        thinks=thinks(model, fields),
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _body(call: Call, completion: Completion) -> bytes:
    reasoning = {} if call.answer.reasoning is None else {"reasoning_content": call.answer.reasoning}
    message = {"role": "assistant", "content": call.answer.content, **reasoning}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": call.answer.finish_reason}
    return encode(chunks.body(call, BODY, choice, completion))


def _opening(call: Call) -> list[bytes]:
    """The role, then a chunk a word."""
    field = "content" if call.answer.reasoning is None else "reasoning_content"
    first = chunks.chunk(call, CHUNK, [_choice({"role": "assistant", **_delta(call, field, "")})])
    return [
        first,
        *_words(call, "reasoning_content", call.answer.reasoning or ""),
        *_words(call, "content", call.answer.content),
    ]


def _closing(call: Call, completion: Completion) -> bytes:
    choice = _choice(_delta(call, "content", ""), call.answer.finish_reason)
    return chunks.last_chunks(call, CHUNK, choice, completion)


def _words(call: Call, field: str, text: str) -> list[bytes]:
    template = Template(chunks.chunk(call, CHUNK, [_choice(_delta(call, field, HOLE))]))
    return [template.fill(word) for word in pieces(text)]


def _choice(delta: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _delta(call: Call, field: str, text: str) -> dict[str, object]:
    """A model that thinks names both fields in every delta, the silent one as null."""
    thinking = call.answer.reasoning is not None
    silent: dict[str, object] = {"content": None, "reasoning_content": None} if thinking else {}
    return {**silent, field: text}


CHAT = Format(read_request, _body, _opening, _closing, greeting=KEEP_ALIVE * 2, keep_alive=KEEP_ALIVE)
