"""Any provider's usage object as disjoint counts, or precisely what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.usage import (
    ANTHROPIC_SHAPE,
    MAX_TOKENS,
    MIRROR_DISAGREES,
    NO_CACHE_FIELDS,
    TOTAL_DISAGREES,
    Usage,
    check_usage,
    read_usage,
)

UNCHANGED = "pass the provider's usage object unchanged"
COUNT = "is no token count; use a whole number from 0"
TOO_MANY = f"is more than {MAX_TOKENS} tokens in one call; correct it at its source"
AT_SOURCE = "correct the counts at their source"
NO_PROMPT = "it cannot be told without both cache counts"

# (hit, miss, output, reasoning) of every recorded body, read off the recordings.
RECORDED = {
    "pydantic-ai__chat_reasoner_2025-04-22.json": (0, 12, 789, 415),
    "pydantic-ai__chat_reasoner_stream_include_usage_2025-07-10.sse": (0, 6, 212, 198),
    "pydantic-ai__chat_v4-flash_tool_0_2026-06-10.json": (512, 51, 116, 60),
    "pydantic-ai__chat_v4-flash_tool_1_2026-06-10.json": (0, 875, 79, 26),
    "pydantic-ai__chat_v4-flash_tool_2_2026-06-10.json": (896, 80, 61, 25),
    "pydantic-ai__responses_v4-flash_text_2026-08-05.json": (0, 90, 15, 7),
    "pydantic-ai__responses_v4-flash_text_stream_2026-08-05.sse": (0, 90, 15, 7),
    "vercel-ai__deepseek-text.json": (0, 13, 300, 0),
    "vercel-ai__deepseek-tool-call.json": (320, 19, 92, 48),
    "vercel-ai__deepseek-tool-call.chunks.txt": (320, 19, 83, 39),
}


def bodies(path: Path) -> list[dict[str, Any]]:
    """The JSON bodies of a recording: one, one a line, or one a server-sent event."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return [json.loads(text)]
    lines = text.splitlines()
    if path.suffix == ".sse":
        lines = [line.removeprefix("data: ") for line in lines if line.startswith("data: {")]
    return [json.loads(line) for line in lines if line]


def last_usage(path: Path) -> dict[str, Any]:
    found = [body.get("usage") or body.get("response", {}).get("usage") for body in bodies(path)]
    usage: dict[str, Any] = [usage for usage in found if usage][-1]
    return usage


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_body_is_read_without_a_doubt(shared: Path, name: str) -> None:
    assert read_usage(last_usage(shared / "fixtures" / name)) == (*RECORDED[name], ())


def test_every_recording_there_is_has_its_expected_counts_here(shared: Path) -> None:
    recordings = {path.name for path in (shared / "fixtures").iterdir() if "-ai__" in path.name}
    assert recordings == RECORDED.keys()


def chat(**changes: Any) -> dict[str, Any]:
    """A recorded chat body of 512 hits, 51 misses and 116 output tokens, with changes; ... takes a field out."""
    body: dict[str, Any] = {
        "prompt_tokens": 563,
        "completion_tokens": 116,
        "total_tokens": 679,
        "prompt_tokens_details": {"cached_tokens": 512},
        "completion_tokens_details": {"reasoning_tokens": 60},
        "prompt_cache_hit_tokens": 512,
        "prompt_cache_miss_tokens": 51,
    }
    return {field: value for field, value in (body | changes).items() if value is not ...}


def responses(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "input_tokens": 90,
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens": 15,
        "output_tokens_details": {"reasoning_tokens": 7},
        "total_tokens": 105,
    }
    return {field: value for field, value in (body | changes).items() if value is not ...}


def anthropic(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "input_tokens": 8,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 2,
        "output_tokens": 5,
    }
    return {field: value for field, value in (body | changes).items() if value is not ...}


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        pytest.param(chat(), (512, 51, 116, 60, ()), id="with details"),
        pytest.param(chat(completion_tokens_details=...), (512, 51, 116, 0, ()), id="thinking off"),
        pytest.param(
            chat(prompt_tokens_details=None, completion_tokens_details=None), (512, 51, 116, 0, ()), id="null details"
        ),
        pytest.param(
            chat(prompt_tokens_details={}, completion_tokens_details={}), (512, 51, 116, 0, ()), id="empty details"
        ),
        pytest.param(
            chat(prompt_tokens_details={"cached_tokens": None}, completion_tokens_details={"reasoning_tokens": None}),
            (512, 51, 116, 0, ()),
            id="nulls in details",
        ),
        pytest.param(
            chat(prompt_tokens_details=..., completion_tokens_details=...), (512, 51, 116, 0, ()), id="documented only"
        ),
        pytest.param(
            chat(prompt_cache_hit_tokens=..., prompt_cache_miss_tokens=...), (512, 51, 116, 60, ()), id="mirror only"
        ),
        pytest.param(chat(prompt_cache_hit_tokens=...), (512, 51, 116, 60, ()), id="hit by subtraction"),
        pytest.param(chat(prompt_cache_miss_tokens=...), (512, 51, 116, 60, ()), id="miss by subtraction"),
        pytest.param(chat(prompt_tokens=...), (512, 51, 116, 60, ()), id="prompt by addition"),
        pytest.param(chat(prompt_tokens=None), (512, 51, 116, 60, ()), id="null prompt"),
        pytest.param(chat(total_tokens=...), (512, 51, 116, 60, ()), id="without total"),
        pytest.param(
            chat(prompt_tokens_details={"cached_tokens": 448}),
            (512, 51, 116, 60, (MIRROR_DISAGREES,)),
            id="mirror disagrees",
        ),
        pytest.param(
            chat(prompt_cache_hit_tokens=..., prompt_tokens_details={"cached_tokens": 448}),
            (512, 51, 116, 60, (MIRROR_DISAGREES,)),
            id="mirror disagrees with prompt and miss",
        ),
        pytest.param(chat(total_tokens=680), (512, 51, 116, 60, (TOTAL_DISAGREES,)), id="total disagrees"),
        pytest.param(
            chat(total_tokens=1, prompt_tokens_details={"cached_tokens": 0}),
            (512, 51, 116, 60, (MIRROR_DISAGREES, TOTAL_DISAGREES)),
            id="both disagree",
        ),
        pytest.param(
            {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
            (0, 20, 5, 0, (NO_CACHE_FIELDS,)),
            id="before caching",
        ),
        pytest.param(
            {
                "prompt_tokens": 20,
                "completion_tokens": 5,
                "total_tokens": 25,
                "prompt_cache_hit_tokens": 0,
                "prompt_cache_miss_tokens": 20,
            },
            (0, 20, 5, 0, ()),
            id="five fields of 2024, and of FIM",
        ),
        pytest.param(
            {
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "total_tokens": 0,
                "prompt_cache_hit_tokens": 0,
                "prompt_cache_miss_tokens": 0,
            },
            (0, 0, 0, 0, ()),
            id="zeros are measured",
        ),
        pytest.param(responses(), (64, 26, 15, 7, ()), id="responses"),
        pytest.param(
            responses(input_tokens_details=None), (0, 90, 15, 7, (NO_CACHE_FIELDS,)), id="responses, no cache"
        ),
        pytest.param(responses(output_tokens_details=...), (64, 26, 15, 0, ()), id="responses, no reasoning"),
        pytest.param(responses(total_tokens=90), (64, 26, 15, 7, (TOTAL_DISAGREES,)), id="responses, total disagrees"),
        pytest.param(anthropic(), (2, 8, 5, 0, (ANTHROPIC_SHAPE,)), id="Anthropic excludes cache reads"),
        pytest.param(
            anthropic(cache_creation_input_tokens=100),
            (2, 108, 5, 0, (ANTHROPIC_SHAPE,)),
            id="Anthropic creation is a miss",
        ),
        pytest.param(
            anthropic(cache_creation_input_tokens=None, cache_read_input_tokens=None),
            (0, 8, 5, 0, (ANTHROPIC_SHAPE,)),
            id="Anthropic nulls",
        ),
        pytest.param({"input_tokens": 8, "output_tokens": 5}, (0, 8, 5, 0, (ANTHROPIC_SHAPE,)), id="Anthropic, bare"),
        pytest.param(chat(cost=0.1, speed="fast"), (512, 51, 116, 60, ()), id="unknown fields"),
    ],
)
def test_each_shape_becomes_disjoint_counts(body: dict[str, Any], usage: tuple[Any, ...]) -> None:
    assert read_usage(body) == usage


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (chat(prompt_cache_miss_tokens=50), f"prompt_tokens 563: is not cache hits 512 + misses 50; {AT_SOURCE}"),
        (
            chat(prompt_cache_hit_tokens=..., prompt_cache_miss_tokens=600),
            f"prompt_tokens 563: is not cache hits -37 + misses 600; {AT_SOURCE}",
        ),
        (
            chat(prompt_cache_hit_tokens=600, prompt_cache_miss_tokens=...),
            f"prompt_tokens 563: is not cache hits 600 + misses -37; {AT_SOURCE}",
        ),
        (
            chat(
                prompt_cache_hit_tokens=..., prompt_cache_miss_tokens=..., prompt_tokens_details={"cached_tokens": 564}
            ),
            f"prompt_tokens 563: is not cache hits 564 + misses -1; {AT_SOURCE}",
        ),
        (
            responses(input_tokens_details={"cached_tokens": 91}),
            f"input_tokens 90: is not cache hits 91 + misses -1; {AT_SOURCE}",
        ),
        (chat(prompt_tokens=..., prompt_cache_miss_tokens=...), f"prompt_tokens: is missing; {NO_PROMPT}"),
        (
            chat(prompt_tokens=None, prompt_cache_hit_tokens=None, prompt_cache_miss_tokens=None),
            f"prompt_tokens: is missing; {NO_PROMPT}",
        ),
        (
            chat(completion_tokens_details={"reasoning_tokens": 117}),
            f"reasoning_tokens 117: is more than the output (116) it is part of; {AT_SOURCE}",
        ),
        (
            responses(output_tokens_details={"reasoning_tokens": 16}),
            f"reasoning_tokens 16: is more than the output (15) it is part of; {AT_SOURCE}",
        ),
        (
            anthropic(output_tokens_details={"reasoning_tokens": 6}),
            f"reasoning_tokens 6: is more than the output (5) it is part of; {AT_SOURCE}",
        ),
        (chat(completion_tokens=...), f"completion_tokens: is missing; {UNCHANGED}"),
        (chat(completion_tokens=None), f"completion_tokens: is missing; {UNCHANGED}"),
        (responses(output_tokens=...), f"output_tokens: is missing; {UNCHANGED}"),
        (responses(input_tokens=None), f"input_tokens: is missing; {UNCHANGED}"),
        (anthropic(output_tokens=...), f"output_tokens: is missing; {UNCHANGED}"),
        (chat(completion_tokens=-1), f"completion_tokens -1: {COUNT}"),
        (chat(completion_tokens=True), f"completion_tokens True: {COUNT}"),
        (chat(prompt_tokens=563.0), f"prompt_tokens 563.0: {COUNT}"),
        (chat(prompt_tokens="563"), f"prompt_tokens '563': {COUNT}"),
        (chat(prompt_cache_hit_tokens=float("nan")), f"prompt_cache_hit_tokens nan: {COUNT}"),
        (chat(prompt_cache_miss_tokens=[51]), f"prompt_cache_miss_tokens [51]: {COUNT}"),
        (chat(prompt_tokens_details={"cached_tokens": -512}), f"prompt_tokens_details.cached_tokens -512: {COUNT}"),
        (
            chat(completion_tokens_details={"reasoning_tokens": False}),
            f"completion_tokens_details.reasoning_tokens False: {COUNT}",
        ),
        (anthropic(cache_read_input_tokens=2.5), f"cache_read_input_tokens 2.5: {COUNT}"),
        (anthropic(cache_creation_input_tokens=-1), f"cache_creation_input_tokens -1: {COUNT}"),
        (chat(completion_tokens=2**63), f"completion_tokens {2**63}: {TOO_MANY}"),
        (chat(prompt_tokens=MAX_TOKENS + 1), f"prompt_tokens {MAX_TOKENS + 1}: {TOO_MANY}"),
        (chat(completion_tokens_details=60), f"completion_tokens_details 60: is no object; {UNCHANGED}"),
        (responses(input_tokens_details=[]), f"input_tokens_details []: is no object; {UNCHANGED}"),
        ({}, "usage []: has neither prompt_tokens nor input_tokens"),
        (
            {"total_tokens": 9, "output_tokens": 9},
            "usage ['output_tokens', 'total_tokens']: has neither prompt_tokens nor input_tokens",
        ),
    ],
)
def test_what_cannot_be_counted_is_refused_by_field_value_and_remedy(body: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_usage(body)

    assert str(refusal.value) == message


@pytest.mark.parametrize("body", [[], "563", 563, True])
def test_what_is_no_object_is_refused(body: Any) -> None:
    with pytest.raises(InputError) as refusal:
        read_usage(body)

    assert str(refusal.value) == f"usage {body!r}: pass the provider's usage object"


def test_the_largest_count_is_still_read() -> None:
    body = chat(prompt_tokens=MAX_TOKENS, prompt_cache_miss_tokens=MAX_TOKENS - 512, total_tokens=...)
    assert read_usage(body).cache_miss_tokens == MAX_TOKENS - 512


counts = st.integers(0, 10**9)


@given(counts, counts, counts, st.data())
def test_all_shapes_of_one_call_have_the_same_counts(hit: int, miss: int, output: int, data: st.DataObject) -> None:
    reasoning = data.draw(st.integers(0, output))
    total = hit + miss + output
    shapes = [
        chat(
            prompt_tokens=hit + miss, prompt_cache_hit_tokens=hit, prompt_cache_miss_tokens=miss,
            completion_tokens=output, total_tokens=total, prompt_tokens_details={"cached_tokens": hit},
            completion_tokens_details={"reasoning_tokens": reasoning},
        ),
        responses(
            input_tokens=hit + miss, input_tokens_details={"cached_tokens": hit}, output_tokens=output,
            output_tokens_details={"reasoning_tokens": reasoning}, total_tokens=total,
        ),
        anthropic(
            input_tokens=miss, cache_read_input_tokens=hit, output_tokens=output,
            output_tokens_details={"reasoning_tokens": reasoning},
        ),
    ]  # fmt: skip

    for body in shapes:
        usage = read_usage(body)
        assert usage[:4] == (hit, miss, output, reasoning)
        assert set(usage.flags) <= {ANTHROPIC_SHAPE}
        assert check_usage(usage) is usage


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        (Usage(-1, 0, 0), f"cache_hit_tokens -1: {COUNT}"),
        (Usage(0, True, 0), f"cache_miss_tokens True: {COUNT}"),
        (Usage(0, 0, 2**63), f"output_tokens {2**63}: {TOO_MANY}"),
        (Usage(0, 0, 5, 6), f"reasoning_tokens 6: is more than the output (5) it is part of; {AT_SOURCE}"),
    ],
)
def test_counts_that_come_without_a_body_are_checked_alike(usage: Usage, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        check_usage(usage)

    assert str(refusal.value) == message
