"""Bounds: the most that a call can cost, and the tokens that it can use, before it is made.

A bound holds whatever the answer is: a budget that reserves it cannot be passed by it. What has none says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import Period
from costmeter.core.price_book import PriceBook, overlap

# DeepSeek ends a call after 30 minutes (api-docs.deepseek.com, quick_start/rate_limit); a minute for what lies between.
LONGEST_CALL = timedelta(minutes=31)
# What DeepSeek writes around a request for the model, in bytes: the longest of its published chat templates
# (encoding_dsv32.py: how tools are to be called) has fewer than 2,000.
FRAME = 2_048
# How many answers are asked for; each has its own limit.
_TIMES = ("n", "best_of")
# Where a request says how long the answer may be. Which one counts depends on the route: see `bound_call`.
OUTPUT_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# What is read besides the body, or is made on the vendor's side while the call runs.
_ELSEWHERE = ("previous_response_id", "conversation", "container", "mcp_servers", "web_search_options")
_TEXTS = ("messages", "input", "system", "instructions", "prompt")
# Parts of a content whose tokens do not follow from their bytes, or which are somewhere else.
_NOT_TEXT = frozenset(
    (
        "image",
        "image_url",
        "input_image",
        "input_audio",
        "video_url",
        "file",
        "input_file",
        "document",
        "item_reference",
    )
)
_OWN_TOOLS = (None, "function", "custom")  # run by the caller; any other kind the vendor runs, and bills


class Bound(NamedTuple):
    """The most that a call can cost, in units of 10^-12 of a currency, and the most tokens that it can use."""

    cost: int
    tokens: int


class Unbounded(NamedTuple):
    """That a call has no bound, and why, with the remedy."""

    reason: str


def bound_call(
    book: PriceBook, asked: Mapping[str, Any] | None, size: int, *, field: str, model: str, currency: str, now: datetime
) -> Bound | Unbounded:
    """The bound of a call that begins now: `asked` is its body, of `size` bytes; None is one that is no JSON object.

    Input: a token for each byte, since a token stands for one byte or more, and for what DeepSeek writes around the
    request; each at the dearer of hit and miss. Output: what the request allows in `field`, the one that DeepSeek
    documents for the route, or the model's limit; reasoning is part of it. Price: the dearest of those in force from
    now until the call is over at the latest. `model` is the name that the answer will have.
    """
    if asked is None:
        return Unbounded("the body is no JSON object that could be read; send it in UTF-8, not compressed")
    elsewhere = _elsewhere(asked)
    if elsewhere is not None:
        return Unbounded(f"what {elsewhere} costs does not follow from the request; leave it out")
    during = Period(now, now + LONGEST_CALL)
    prices = _prices(book, model, currency, during)
    if isinstance(prices, Unbounded):
        return prices
    output = _output(book, asked, field, model, during)
    if isinstance(output, Unbounded):
        return output
    tokens = size + FRAME
    # A call is priced at one instant, that of its start or of its completion: so each price is tried whole.
    cost = max(tokens * each_input + output * each_output for each_input, each_output in prices)
    if max(cost, tokens + output) > MAX_AMOUNT:
        return Unbounded(f"{output} tokens of output would cost more than one call can; ask for fewer")
    return Bound(cost, tokens + output)


def output_limit(book: PriceBook, name: str, during: Period) -> int | None:
    """The most tokens of an answer under a name, whichever of its models answers; None where nobody says."""
    known, found = book.names.get(name), []
    for span in known.spans if known else ():
        shared = overlap(span.period, during)
        if shared is not None:
            limits = [limit for limit in book.limits if limit.model == span.model and overlap(limit.period, shared)]
            if not limits:
                return None
            found += [limit.tokens for limit in limits]
    return max(found, default=None)


def _output(book: PriceBook, asked: Mapping[str, Any], field: str, model: str, during: Period) -> int | Unbounded:
    """Tokens of all answers that a call can have."""
    times = 1
    for name in _TIMES:
        value = asked.get(name)
        if value is not None and (type(value) is not int or value < 1):
            return Unbounded(f"{name} is {str(value)[:20]!r}; write a whole number from 1 on")
        times = max(times, value or 1)
    said = asked.get(field)
    if type(said) is int and said > 0:
        # Of several fields the largest: which of them the vendor goes by is its own business.
        others = [value for name in OUTPUT_FIELDS if type(value := asked.get(name)) is int]
        return times * max(said, *others)
    limit = output_limit(book, model, during)
    if limit is None:
        return Unbounded(f"nobody says how long an answer of {model[:64]!r} can be; send {field}")
    return times * limit


def _prices(book: PriceBook, model: str, currency: str, during: Period) -> list[tuple[int, int]] | Unbounded:
    """What a token of input, hit or miss, and one of output cost in a period, one price after the other."""
    assert during.start is not None
    assert during.end is not None
    _, steps = book.steps_between(model, currency, during.start, during.end)
    found = []
    for step in steps:
        if step is None or step.cache_hit is None or step.cache_miss is None or step.output is None:
            return Unbounded(f"the price book has no {currency} price of {model[:64]!r} for the next 31 minutes")
        found.append((max(step.cache_hit, step.cache_miss), step.output))
    return found


def _elsewhere(asked: Mapping[str, Any]) -> str | None:
    """The field or part of a request that brings in more than its bytes; None where there is none."""
    for name in _ELSEWHERE:
        if asked.get(name):
            return name
    if isinstance(asked.get("prompt"), Mapping):
        return "prompt"
    tools = asked.get("tools")
    for tool in tools if isinstance(tools, Sequence) else ():
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if kind not in _OWN_TOOLS:
            return f"a tool of the type {str(kind)[:64]!r}"
    for part in _parts(asked):
        kind = part.get("type")
        if isinstance(kind, str) and kind in _NOT_TEXT:
            return f"a part of the type {kind!r}"
    return None


def _parts(asked: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Messages, items and the parts of their contents."""
    waiting = [asked[name] for name in _TEXTS if name in asked]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, Mapping):
            yield value
            waiting += [value[name] for name in ("content", "output") if name in value]
