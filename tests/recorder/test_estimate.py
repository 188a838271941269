"""The estimate of an unmetered call: the vendor's rule of thumb over the texts of its request and its answer."""

from __future__ import annotations

import json
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.events import read_event
from costmeter.recorder.characters import Characters
from costmeter.recorder.estimate import METHOD, estimate, tokens

NOTHING = Characters(0, 0)
TOOLS = [{"type": "function", "function": {"name": "get", "description": "天气", "parameters": {"type": "object"}}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def sent(request: Any) -> int | None:
    found: int | None = estimate(json.dumps(request).encode(), NOTHING)["input_tokens"]
    return found


@given(st.integers(0, 10**18), st.integers(0, 10**18))
def test_tokens_are_the_vendors_rule_rounded_up(english: int, chinese: int) -> None:
    exactly = english * Fraction("0.3") + chinese * Fraction("0.6")

    assert tokens(Characters(english, chinese)) == ceil(exactly)


@pytest.mark.parametrize(
    ("request_body", "texts"),
    [
        ({"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hello"}]}, "Hello"),
        (
            {"messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "你好"}]},
            "Be brief你好",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]}, "What is it?"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": None,
                        "reasoning_content": "Hm",
                        "tool_calls": [{"id": "t", "function": {"name": "get", "arguments": '{"a": 1}'}}],
                    },
                    {"role": "tool", "tool_call_id": "t", "content": "sunny"},
                ]
            },
            'Hm{"a": 1}sunny',
        ),
        ({"prompt": "def f():\n", "suffix": "\n    return x"}, "def f():\n\n    return x"),
        ({"prompt": ["one", "two"]}, "onetwo"),
        ({"input": "Tell me", "instructions": "Be brief"}, "Tell meBe brief"),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "And now?"}]},
                    {"type": "function_call", "call_id": "t", "name": "get", "arguments": '{"a":1}'},
                    {"type": "function_call_output", "call_id": "t", "output": "sunny"},
                ]
            },
            'And now?{"a":1}sunny',
        ),
        (
            {
                "system": [{"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral"}}],
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "g", "input": {"a": "b c"}}],
                    },
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "sunny"}]},
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "c2ln"}]},
                ],
            },
            'Be brief{"a":"b c"}sunnyHm',
        ),
        ({"system": "Be brief", "messages": []}, "Be brief"),
        ({"messages": [], "tools": TOOLS}, json.dumps(TOOLS, separators=(",", ":"), ensure_ascii=False)),
        ({"messages": "😀", "prompt": 7, "input": None, "suffix": True}, "😀"),
        ({}, ""),
    ],
)
def test_the_input_is_what_the_model_reads(request_body: Any, texts: str) -> None:
    chinese = sum(character >= "\u3000" for character in texts)

    assert sent(request_body) == tokens(Characters(len(texts) - chinese, chinese))


def test_the_output_is_what_was_seen() -> None:
    assert estimate(b'{"prompt":"four"}', Characters(101, 1)) == {
        "input_tokens": 2,
        "output_tokens": 31,
        "method": METHOD,
    }


def test_the_input_of_a_request_that_cannot_be_read_is_unknown_and_not_zero() -> None:
    for body in (None, b"", b"[1]", b'{"prompt":"cut', b"\xff"):
        assert estimate(body, None) == {"input_tokens": None, "output_tokens": 0, "method": METHOD}


@given(st.binary(), st.sampled_from([b'{"messages":', b'{"tools":', b'{"input":', b'{"prompt":"', b""]))
def test_no_request_raises(raw: bytes, before: bytes) -> None:
    estimate(before + raw, NOTHING)


def test_half_a_character_and_deep_nesting_do_not_raise() -> None:
    assert sent({"prompt": "a\ud83d"}) == tokens(Characters(1, 1))
    deep = b'{"tools":' + b"[" * 200 + b"1" + b"]" * 200 + b"}"
    assert estimate(deep, NOTHING)["input_tokens"] is not None
    assert estimate(deep.replace(b"[", b"[" * 5000), NOTHING)["input_tokens"] is None


def test_an_event_keeps_its_estimate_and_no_text() -> None:
    request = {"messages": [{"role": "user", "content": "a secret question"}]}
    body = {"model": "deepseek-chat", "completed_at": "2025-03-01T16:30:00Z", "usage": None, "status": "unmetered"}
    made = estimate(json.dumps(request).encode(), Characters(10, 0))

    kept = read_event(body | {"estimate": made, "detail": {"characters": 10}}).detail
    assert kept == {"characters": 10, "estimate": {"input_tokens": 6, "output_tokens": 3, "method": METHOD}}
