"""POST /beta/completions: the middle between a beginning and an end (FIM)."""

from __future__ import annotations

from costmeter.simulator.answers import pieces
from costmeter.simulator.calls import Call, Completion
from costmeter.simulator.errors import VendorError
from costmeter.simulator.formats import chunks
from costmeter.simulator.formats.events import HOLE, KEEP_ALIVE, Template, encode
from costmeter.simulator.formats.format import Format
from costmeter.simulator.requests import CallRequest, optional, read_object, required, token_limit

KIND = "text_completion"  # of the body and of every chunk
LARGEST_MAX_TOKENS = 4096  # "The max tokens of FIM completion is 4K" (guides/fim_completion)


def read_request(body: bytes) -> CallRequest:
    """The request, or a 400. FIM is for "non-thinking mode only" (the price page), so a reasoner has none."""
    fields = read_object(body)
    model, options = required(fields, "model", str), fields.get("stream_options")
    if model == "deepseek-reasoner":
        raise VendorError(400, "deepseek-reasoner does not support FIM completion")
    prompt, suffix = required(fields, "prompt", str), optional(fields, "suffix", str)
    return CallRequest(
        model=model,
        prompt=prompt + (f"<suffix>\n{suffix}" if suffix else ""),
        max_tokens=token_limit(fields, largest=LARGEST_MAX_TOKENS),
        stream=fields.get("stream") is True,
        thinks=False,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _body(call: Call, completion: Completion) -> bytes:
    return encode(chunks.body(call, KIND, _choice(call.answer.content, call.answer.finish_reason), completion))


def _opening(call: Call) -> list[bytes]:
    template = Template(chunks.chunk(call, KIND, [_choice(HOLE)]))
    return [template.fill(word) for word in pieces(call.answer.content)]


def _closing(call: Call, completion: Completion) -> bytes:
    return chunks.last_chunks(call, KIND, _choice("", call.answer.finish_reason), completion)


def _choice(text: str, finish_reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}


FIM = Format(read_request, _body, _opening, _closing, greeting=KEEP_ALIVE * 2, keep_alive=KEEP_ALIVE)
