"""What a call without usage may have used: an estimate by the vendor's rule of thumb, never charged."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from costmeter.recorder.characters import Characters, count_plain
from costmeter.recorder.reading import parse

logger = logging.getLogger("costmeter.recorder")

METHOD = "0.3 token per English, 0.6 per Chinese character"

# Where a request has the texts that become input: chat, FIM, responses and Anthropic shapes.
_FIELDS = ("messages", "prompt", "suffix", "input", "instructions", "system")
# The fields inside them that hold text; others are roles, ids, or the bytes of an image.
_TEXTS = frozenset((*_FIELDS, "content", "reasoning_content", "text", "thinking", "arguments", "output"))


def estimate(request_body: bytes | None, answer: Characters | None) -> dict[str, Any]:
    """The estimate of an unmetered call: tokens of its request, and of the answer as far as it was seen.

    `input_tokens` is None where the request cannot be read. Never raises.
    """
    try:
        asked = parse(request_body) if request_body else None
        sent = None if asked is None else tokens(_sent(asked))
    except Exception:
        logger.exception("the input of a call could not be estimated")
        sent = None
    return {"input_tokens": sent, "output_tokens": tokens(answer or Characters()), "method": METHOD}


def tokens(characters: Characters) -> int:
    """Tokens by the vendor's rule, rounded up.

    DeepSeek, Token & Token Usage: "1 English character ≈ 0.3 token. 1 Chinese character ≈ 0.6 token."
    """
    tenths = 3 * characters.english + 6 * characters.chinese
    return -(-tenths // 10)


def _sent(asked: dict[str, Any]) -> Characters:
    return count_plain("".join(_texts(asked)).encode("utf-8", "surrogatepass"))


def _texts(asked: dict[str, Any]) -> Iterator[str]:
    """Every text of a request that the model reads."""
    if asked.get("tools"):
        yield _as_json(asked["tools"])
    waiting = [(field, asked[field]) for field in _FIELDS if field in asked]
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, list):
            waiting += ((field if isinstance(item, str) else "", item) for item in value)
        elif isinstance(value, dict) and field == "input":
            yield _as_json(value)  # the arguments of a tool in Anthropic's shape
        elif isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, str) and field in _TEXTS:
            yield value


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
