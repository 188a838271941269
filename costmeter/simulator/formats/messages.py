"""POST /anthropic/v1/messages: Anthropic's format (guides/anthropic_api).

No call of it was ever recorded. What is sent is Anthropic's convention: `input_tokens` leaves out what came from the
cache.
"""

from __future__ import annotations

from collections.abc import Iterator

from costmeter.simulator.answers import pieces
from costmeter.simulator.calls import Call, Completion
from costmeter.simulator.errors import VendorError
from costmeter.simulator.formats.events import HOLE, Template, encode, named_event
from costmeter.simulator.formats.format import Format
from costmeter.simulator.requests import CallRequest, read_object, render, render_tools, required, thinks, token_limit
from costmeter.simulator.usage import Usage

PING = named_event({"type": "ping"})
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens"}


def read_request(body: bytes) -> CallRequest:
    """The request, or a 400 in DeepSeek's words that names what is wrong."""
    fields = read_object(body)
    model, messages = _model(required(fields, "model", str)), required(fields, "messages", list)
    if not messages:
        raise VendorError(400, "Empty input messages")
    system = [{"role": "system", "content": fields["system"]}] if fields.get("system") else []
    return CallRequest(
        model=model,
        prompt=render_tools(fields) + "".join(render(message) for message in (*system, *messages)),
        max_tokens=token_limit(fields),
        stream=fields.get("stream") is True,
        thinks=thinks(model, fields),
    )


def _model(name: str) -> str:
    """`claude-opus*` is served and billed as deepseek-v4-pro, any other `claude*` as deepseek-flash."""
    if name.startswith("claude-opus"):
        return "deepseek-v4-pro"
    return "deepseek-flash" if name.startswith("claude") else name


def _body(call: Call, completion: Completion) -> bytes:
    content = [_block(call, kind, text) for kind, text in _blocks(call)]
    message = {**_message(call, content), "stop_reason": STOP_REASONS[call.answer.finish_reason]}
    usage = completion.usage
    told = {} if usage is None else {"usage": {**_input(usage), "output_tokens": usage.completion}}
    return encode({**message, **told})


def _opening(call: Call) -> list[bytes]:
    """The message without its content, a ping, then block after block a word at a time."""
    message = {**_message(call, []), "usage": {**_input(call.usage), "output_tokens": 0}}
    events = [named_event({"type": "message_start", "message": message}), PING]
    for index, (kind, text) in enumerate(_blocks(call)):
        events += _block_events(call, index, kind, text)
    return events


def _closing(call: Call, completion: Completion) -> bytes:
    delta = {"stop_reason": STOP_REASONS[call.answer.finish_reason], "stop_sequence": None}
    told = {} if completion.usage is None else {"usage": {"output_tokens": completion.usage.completion}}
    return named_event({"type": "message_delta", "delta": delta, **told}) + named_event({"type": "message_stop"})


def _block_events(call: Call, index: int, kind: str, text: str) -> Iterator[bytes]:
    def delta(fields: dict[str, object]) -> bytes:
        return named_event({"type": "content_block_delta", "index": index, "delta": fields})

    template = Template(delta({"type": f"{kind}_delta", kind: HOLE}))
    empty = {**_block(call, kind, ""), **({"signature": ""} if kind == "thinking" else {})}
    yield named_event({"type": "content_block_start", "index": index, "content_block": empty})
    for word in pieces(text):
        yield template.fill(word)
    if kind == "thinking":
        yield delta({"type": "signature_delta", "signature": call.id})
    yield named_event({"type": "content_block_stop", "index": index})


def _blocks(call: Call) -> list[tuple[str, str]]:
    """The kind and the text of each block; a text that was cut off before its first word is no block."""
    blocks = [("thinking", call.answer.reasoning), ("text", call.answer.content)]
    return [(kind, text) for kind, text in blocks if text]


def _block(call: Call, kind: str, text: str) -> dict[str, object]:
    """The signature has to come back unread, so anything will do."""
    signature = {"signature": call.id} if kind == "thinking" else {}
    return {"type": kind, kind: text, **signature}


def _message(call: Call, content: list[dict[str, object]]) -> dict[str, object]:
    head = {"id": call.id, "type": "message", "role": "assistant", "model": call.request.model}
    return {**head, "content": content, "stop_reason": None, "stop_sequence": None}


def _input(usage: Usage) -> dict[str, object]:
    return {
        "input_tokens": usage.cache_miss,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cache_hit,
    }


MESSAGES = Format(read_request, _body, _opening, _closing, greeting=b"", keep_alive=PING, takes_x_api_key=True)
