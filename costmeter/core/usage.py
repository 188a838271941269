"""Token counts: any provider's usage object as disjoint counts.

DeepSeek's documented fields come first, the undocumented mirror (`prompt_tokens_details.cached_tokens`) second.
What a call costs follows from three counts: cache hits, cache misses and output. Reasoning tokens are part of the
output (price page: "The output token count of deepseek-reasoner includes all tokens from CoT and the final answer,
and they are priced equally"), so they are kept for the reports and never priced on their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from costmeter.core.errors import InputError
from costmeter.core.texts import LARGEST, cleaned, cleaned_text

# More than DeepSeek served to everybody on its published day (608 billion input tokens): a count above is a broken one.
MAX_TOKENS = 10**12

NO_CACHE_FIELDS = "no_cache_fields"  # bodies of 2024: everything counts as a miss
MIRROR_DISAGREES = "mirror_disagrees"  # cached_tokens is not prompt_cache_hit_tokens; the documented field counts
TOTAL_DISAGREES = "total_disagrees"  # total_tokens is not input + output; the parts count
ANTHROPIC_SHAPE = "anthropic_shape"  # input_tokens excludes cache reads by convention: no live recording seen

_new = tuple.__new__  # a named tuple's own constructor costs as much as all the checks of a usual body


_COUNTS = frozenset((
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens",
    "prompt_tokens_details", "completion_tokens_details", "cached_tokens", "reasoning_tokens",
))  # fmt: skip


class Usage(NamedTuple):
    """Disjoint token counts of one call; `reasoning_tokens` lies inside `output_tokens`."""

    cache_hit_tokens: int
    cache_miss_tokens: int
    output_tokens: int
    reasoning_tokens: int = 0
    flags: tuple[str, ...] = ()


def read_usage(body: Mapping[str, Any]) -> Usage:
    """The counts of a usage object in chat, FIM, responses or Anthropic shape.

    Raises InputError naming the field, the value and the remedy where the counts are missing, are no whole numbers
    from 0 to MAX_TOKENS, or contradict each other in a way that decides money.
    """
    usual = _read_usual(body) if type(body) is dict else None
    if usual is not None:
        return usual
    if not isinstance(body, Mapping):
        raise InputError("usage", body, "pass the provider's usage object")
    if "prompt_tokens" in body or "prompt_cache_hit_tokens" in body:
        return _read_chat(body)
    if "input_tokens" not in body:
        raise InputError("usage", sorted(map(str, body)), "has neither prompt_tokens nor input_tokens")
    if "cache_read_input_tokens" in body or "cache_creation_input_tokens" in body or "total_tokens" not in body:
        return _read_anthropic(body)
    return _read_responses(body)


def check_usage(usage: Usage) -> Usage:
    """The same counts, once each is a whole number in range and reasoning is inside output."""
    hit, miss, output, reasoning, _ = usage
    if (
        type(hit) is type(miss) is type(output) is type(reasoning) is int
        and 0 <= hit <= MAX_TOKENS
        and 0 <= miss <= MAX_TOKENS
        and 0 <= reasoning <= output <= MAX_TOKENS
    ):
        return usage
    for field in ("cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens"):
        _count(field, getattr(usage, field))
    return _checked(usage)


def keep_counts(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The provider's object as it is kept: its numbers alone."""
    return raw if _has_counts_alone(raw) else _counts_only(raw)


def _has_counts_alone(raw: Mapping[str, Any], depth: int = 1) -> bool:
    """Whether a usage object is kept as it is: nearly every one has these fields alone, and numbers in all of them."""
    if type(raw) is not dict or not raw.keys() <= _COUNTS:
        return False
    for value in raw.values():
        if type(value) is not int:
            if not depth or not _has_counts_alone(value, 0):
                return False
        elif not -LARGEST <= value <= LARGEST:
            return False
    return True


def _counts_only(raw: Mapping[str, Any], depth: int = 3) -> dict[str, Any]:
    """The provider's object with its numbers alone: a usage object has no text, and text could be a prompt."""
    kept: dict[str, Any] = {}
    for key, value in raw.items():
        name = key if key in _COUNTS else cleaned_text(str(key))
        if type(value) is int and -LARGEST <= value <= LARGEST:
            kept[name] = value
        elif isinstance(value, Mapping):
            kept[name] = _counts_only(value, depth - 1) if depth else {}
        elif value is None or isinstance(value, int):
            kept[name] = cleaned(value)
    return kept


def _read_usual(body: dict[str, Any]) -> Usage | None:
    """The counts of a chat body whose every field is there and agrees, as recorded since 2025; else None.

    A short cut through `_read_chat`, which gives the same counts (a property test says so): most bodies are such.
    """
    try:
        prompt, output = body["prompt_tokens"], body["completion_tokens"]
        hit, miss = body["prompt_cache_hit_tokens"], body["prompt_cache_miss_tokens"]
        cached, total = body["prompt_tokens_details"]["cached_tokens"], body["total_tokens"]
        details = body.get("completion_tokens_details")
        reasoning = 0 if details is None else details["reasoning_tokens"]
    except (KeyError, TypeError):
        return None
    counts = type(hit) is type(miss) is type(prompt) is type(output) is type(reasoning) is type(cached) is int
    if (
        counts
        and 0 <= hit <= prompt <= MAX_TOKENS
        and 0 <= reasoning <= output <= MAX_TOKENS
        and hit + miss == prompt
        and cached == hit
        and total == prompt + output
    ):
        return _new(Usage, (hit, miss, output, reasoning, ()))
    return None


def _read_chat(body: Mapping[str, Any]) -> Usage:
    get = body.get
    prompt, output = (
        _optional("prompt_tokens", get("prompt_tokens")),
        _count("completion_tokens", get("completion_tokens")),
    )
    hit = _optional("prompt_cache_hit_tokens", get("prompt_cache_hit_tokens"))
    miss = _optional("prompt_cache_miss_tokens", get("prompt_cache_miss_tokens"))
    mirror = _detail(body, "prompt_tokens_details", "cached_tokens")
    flags: tuple[str, ...] = ()
    if hit is None and miss is None:
        flags = (NO_CACHE_FIELDS,) if mirror is None else ()
        hit = mirror or 0
    hit, miss = _split("prompt_tokens", prompt, hit, miss)
    if mirror is not None and mirror != hit:
        flags = (MIRROR_DISAGREES,)
    reasoning = _detail(body, "completion_tokens_details", "reasoning_tokens") or 0
    return _checked(Usage(hit, miss, output, reasoning, flags + _total_flag(body, hit + miss + output)))


def _read_responses(body: Mapping[str, Any]) -> Usage:
    output = _count("output_tokens", body.get("output_tokens"))
    cached = _detail(body, "input_tokens_details", "cached_tokens")
    flags = (NO_CACHE_FIELDS,) if cached is None else ()
    hit, miss = _split("input_tokens", _count("input_tokens", body["input_tokens"]), cached or 0, None)
    reasoning = _detail(body, "output_tokens_details", "reasoning_tokens") or 0
    return _checked(Usage(hit, miss, output, reasoning, flags + _total_flag(body, hit + miss + output)))


def _read_anthropic(body: Mapping[str, Any]) -> Usage:
    """Anthropic's convention: input_tokens excludes cache reads; DeepSeek has no price for cache creation (a miss)."""
    fresh = _count("input_tokens", body["input_tokens"])
    created = _optional("cache_creation_input_tokens", body.get("cache_creation_input_tokens")) or 0
    hit = _optional("cache_read_input_tokens", body.get("cache_read_input_tokens")) or 0
    output = _count("output_tokens", body.get("output_tokens"))
    reasoning = _detail(body, "output_tokens_details", "reasoning_tokens") or 0
    return _checked(Usage(hit, fresh + created, output, reasoning, (ANTHROPIC_SHAPE,)))


def _split(field: str, prompt: int | None, hit: int | None, miss: int | None) -> tuple[int, int]:
    """Hit and miss, the missing one by subtraction; together they must be the prompt."""
    if prompt is None:
        if hit is None or miss is None:
            raise InputError(field, None, "is missing; it cannot be told without both cache counts")
        return hit, miss
    if hit is None:
        hit = prompt - (miss or 0)
    elif miss is None:
        miss = prompt - hit
    if miss is None or hit < 0 or miss < 0 or hit + miss != prompt:
        raise InputError(field, prompt, f"is not cache hits {hit} + misses {miss}; correct the counts at their source")
    return hit, miss


def _checked(usage: Usage) -> Usage:
    if usage.reasoning_tokens > usage.output_tokens:
        remedy = f"is more than the output ({usage.output_tokens}) it is part of; correct the counts at their source"
        raise InputError("reasoning_tokens", usage.reasoning_tokens, remedy)
    return usage


def _count(field: str, value: object) -> int:
    if type(value) is int and 0 <= value <= MAX_TOKENS:
        return value
    if value is None:
        raise InputError(field, None, "is missing; pass the provider's usage object unchanged")
    if type(value) is int and value > MAX_TOKENS:
        raise InputError(field, value, f"is more than {MAX_TOKENS} tokens in one call; correct it at its source")
    raise InputError(field, value, "is no token count; use a whole number from 0")


def _optional(field: str, value: object) -> int | None:
    return None if value is None else _count(field, value)


def _detail(body: Mapping[str, Any], group: str, field: str) -> int | None:
    details = body.get(group)
    if details is None:
        return None
    if not isinstance(details, Mapping):
        raise InputError(group, details, "is no object; pass the provider's usage object unchanged")
    return _optional(f"{group}.{field}", details.get(field))


def _total_flag(body: Mapping[str, Any], total: int) -> tuple[str, ...]:
    stated = body.get("total_tokens")
    return () if stated is None or stated == total else (TOTAL_DISAGREES,)
