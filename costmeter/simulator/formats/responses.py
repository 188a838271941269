"""POST /responses: the responses API. Its completion is the only one that says when it was complete."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

from costmeter.simulator.answers import pieces
from costmeter.simulator.calls import Call, Completion
from costmeter.simulator.errors import VendorError
from costmeter.simulator.formats.events import HOLE, KEEP_ALIVE, Template, encode, named_event
from costmeter.simulator.formats.format import Format
from costmeter.simulator.requests import (
    CallRequest,
    Fields,
    optional,
    read_object,
    render,
    render_tools,
    required,
    thinks,
    token_limit,
)
from costmeter.simulator.usage import Usage

Json = dict[str, object]

REASONING, MESSAGE = "reasoning", "message"
_EVENTS_BEFORE_ITEMS, _EVENTS_OF_AN_ITEM = 2, 5  # besides one for each word
_TEXT_TYPES = {REASONING: "reasoning_text", MESSAGE: "output_text"}
# What an answer repeats of a request that the simulator does not read.
_SETTINGS: Json = {
    "background": False, "content_filters": None, "error": None, "frequency_penalty": 0.0, "max_tool_calls": None,
    "metadata": {}, "moderation": None, "parallel_tool_calls": True, "presence_penalty": 0.0,
    "previous_response_id": None, "prompt_cache_key": None, "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None}, "safety_identifier": None, "service_tier": "default",
    "store": False, "temperature": 1.0, "text": {"format": {"type": "text"}, "verbosity": None},
    "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "user": None,
}  # fmt: skip


def read_request(body: bytes) -> CallRequest:
    """The request, or a 400 in DeepSeek's words that names what is wrong."""
    fields = read_object(body)
    model, instructions = required(fields, "model", str), optional(fields, "instructions", str)
    system = [{"role": "system", "content": instructions}] if instructions else []
    messages = "".join(render(message, "instructions") for message in system) + _input(fields)
    return CallRequest(
        model=model,
        prompt=render_tools(fields) + messages,
        max_tokens=token_limit(fields, "max_output_tokens"),
        stream=fields.get("stream") is True,
        thinks=thinks(model, fields) and not _effortless(fields),
        instructions=instructions,
    )


def _input(fields: Fields) -> str:
    """A text alone is what the user says; in a list of items, those without a role are read as their JSON."""
    given = required(fields, "input", object)
    if isinstance(given, str):
        return render({"role": "user", "content": given})
    items = required(fields, "input", list)
    if not items:
        raise VendorError(400, "Empty input messages")
    return "".join(
        json.dumps(item) if isinstance(item, dict) and "role" not in item else render(item, "input") for item in items
    )


def _effortless(fields: Fields) -> bool:
    reasoning = fields.get("reasoning")
    return isinstance(reasoning, dict) and reasoning.get("effort") == "none"


def _body(call: Call, completion: Completion) -> bytes:
    return encode(_completed(call, completion))


def _opening(call: Call) -> list[bytes]:
    """What has begun, then item after item a word at a time."""
    begun = _response(call)
    events = _Events()
    events.add("response.created", response=begun)
    events.add("response.in_progress", response=begun)
    for index, (kind, text) in enumerate(_items(call)):
        events.add_item(call, index, kind, text)
    return events.encoded


def _closing(call: Call, completion: Completion) -> bytes:
    """The answer as a whole; a usage that is kept back is null here. There is no [DONE]."""
    response = _completed(call, completion)
    begun = sum(_EVENTS_OF_AN_ITEM + len(pieces(text)) for _, text in _items(call)) + _EVENTS_BEFORE_ITEMS
    return named_event({"type": f"response.{response['status']}", "response": response, "sequence_number": begun})


class _Events:
    """The events of one stream, numbered from 0."""

    def __init__(self) -> None:
        self.encoded: list[bytes] = []

    def add(self, kind: str, **fields: object) -> None:
        self.encoded.append(named_event({"type": kind, **fields, "sequence_number": len(self.encoded)}))

    def add_item(self, call: Call, index: int, kind: str, text: str) -> None:
        """An item of the output with its one part of text, from both their beginnings to both their ends."""
        whole, text_type = _item(call, kind, text), _TEXT_TYPES[kind]
        begun: Json = {**whole, "status": "in_progress", "content": []}
        logprobs: Json = {"logprobs": []} if kind == MESSAGE else {}
        place = {"item_id": whole["id"], "output_index": index}
        within = {"content_index": 0, **place}
        self.add("response.output_item.added", item=begun, output_index=index)
        self.add("response.content_part.added", **within, part=_part(kind, ""))
        self._add_words(f"response.{text_type}.delta", text, {**within, **logprobs})
        self.add(f"response.{text_type}.done", **within, **logprobs, text=text)
        self.add("response.content_part.done", **within, part=_part(kind, text))
        self.add("response.output_item.done", item=whole, output_index=index)

    def _add_words(self, kind: str, text: str, fields: Json) -> None:
        template = Template(named_event({"type": kind, **fields, "delta": HOLE, "sequence_number": HOLE}))
        first = len(self.encoded)
        self.encoded += [template.fill(word, first + place) for place, word in enumerate(pieces(text))]


def _completed(call: Call, completion: Completion) -> Json:
    cut_short = call.answer.finish_reason == "length"
    return {
        **_response(call),
        "status": "incomplete" if cut_short else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut_short else None,
        "completed_at": int(completion.at.timestamp()),
        "output": [_item(call, kind, text) for kind, text in _items(call)],
        "usage": None if completion.usage is None else _usage(completion.usage),
    }


def _response(call: Call) -> Json:
    """The answer that has begun."""
    head = {"id": call.id, "object": "response", "created_at": call.created, "status": "in_progress"}
    of_request = {"model": call.request.model, "instructions": call.request.instructions}
    unknown: Json = {
        "completed_at": None,
        "incomplete_details": None,
        "max_output_tokens": None,
        "output": [],
        "usage": None,
    }
    return {**_SETTINGS, **head, **of_request, **unknown}


def _items(call: Call) -> Iterator[tuple[str, str]]:
    """The kind and the text of each item; a text that was cut off before its first word is no item."""
    for kind, text in ((REASONING, call.answer.reasoning), (MESSAGE, call.answer.content)):
        if text:
            yield kind, text


def _item(call: Call, kind: str, text: str) -> Json:
    """The item when it is done; its id is its own, and the same wherever it is named."""
    extra: Json = {"summary": []} if kind == REASONING else {"phase": "final_answer", "role": "assistant"}
    item_id = str(uuid.uuid5(uuid.UUID(call.id), kind))
    return {"type": kind, "id": item_id, "status": "completed", "content": [_part(kind, text)], **extra}


def _part(kind: str, text: str) -> Json:
    extra: Json = {"annotations": [], "logprobs": []} if kind == MESSAGE else {}
    return {"type": _TEXT_TYPES[kind], **extra, "text": text}


def _usage(usage: Usage) -> Json:
    prompt = usage.cache_hit + usage.cache_miss
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cache_hit},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": prompt + usage.completion,
    }


RESPONSES = Format(read_request, _body, _opening, _closing, greeting=b"", keep_alive=KEEP_ALIVE)
