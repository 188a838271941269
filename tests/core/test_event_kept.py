"""What is kept of an event, and of one that cannot be used: known fields of bounded size, and no prompt or key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.events import FIELDS, TAGS_COUNT, known_fields, read_event
from costmeter.core.secrets import fingerprint
from costmeter.core.texts import TEXT_LENGTH
from tests.core.event_bodies import COUNTS, KEY, a_body, an_event


def test_the_raw_usage_keeps_numbers_and_no_text() -> None:
    usage = COUNTS | {"note": "a prompt", "speed": 1.5, "more": {"cached": 1, "text": "a prompt"}, KEY: 1, "none": None}

    event = an_event(usage=usage)

    assert event.raw_usage == COUNTS | {"more": {"cached": 1}, fingerprint(KEY): 1, "none": None}


def test_unknown_fields_of_an_event_are_dropped() -> None:
    assert an_event(prompt="secret words", messages=["secret words"]) == an_event()


def test_detail_keeps_plain_values_of_bounded_size() -> None:
    detail = {
        "offset": -0.25,
        "chunks": 211,
        "huge": 2**63,
        "endless": 10**5000,
        "not a number": float("nan"),
        "long": "x" * 1000,
        "torn": "a\x00b\udfff",
        "name\x00": 1,
        "deep": {"a": {"b": {"c": {"d": 1}}}},
        "many": list(range(100)),
        "nothing": None,
        "yes": True,
        "pair": (1, 2),
        "other": b"bytes",
    }

    kept = an_event(detail=detail).detail

    assert kept == {
        "offset": -0.25,
        "chunks": 211,
        "huge": "9223372036854775808",
        "endless": "<int>",
        "not a number": "nan",
        "long": "x" * TEXT_LENGTH,
        "torn": "ab",
        "name": 1,
        "deep": {"a": {"b": {"c": "{'d': 1}"}}},
        "many": list(range(TAGS_COUNT)),
        "nothing": None,
        "yes": True,
        "pair": [1, 2],
        "other": "b'bytes'",
    }
    json.dumps(kept, allow_nan=False).encode("utf-8")


texts = st.text(st.characters(exclude_categories=()), max_size=9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
any_bodies = st.dictionaries(st.sampled_from(FIELDS) | texts, json_values, max_size=8)


@given(json_values | any_bodies | any_bodies.map(lambda body: a_body() | body))
def test_whatever_comes_in_is_read_or_refused_and_either_can_be_stored(body: Any) -> None:
    try:
        event = read_event(body)
        stored: list[Any] = [event.tags, event.detail, event.raw_usage, event.model, event.project, event.event_id]
        assert len(event.seal()) == 16
    except InputError as error:
        stored = [str(error), known_fields(body)[0]]
    text = json.dumps(stored, allow_nan=False, ensure_ascii=False)

    text.encode("utf-8")
    assert "\\u0000" not in text.replace("\\\\", "")


def test_what_is_kept_of_an_unusable_event_is_its_known_fields_without_keys() -> None:
    body = {"event_id": "e1", "model": 7, "api_key": KEY, "prompt": "secret words", "messages": [], "tags": {"k": KEY}}

    kept, dropped = known_fields(body)

    assert kept == {"event_id": "e1", "model": 7, "api_key": fingerprint(KEY), "tags": {"k": fingerprint(KEY)}}
    assert dropped == 2


def test_a_text_inside_a_refused_usage_object_is_not_kept() -> None:
    usage = {"prompt_tokens": "5", "note": "words of a prompt", "more": [{"n": 1.5, "t": "x"}]}
    kept, _ = known_fields({"usage": usage})

    assert kept == {"usage": {"prompt_tokens": "5", "note": "<text>", "more": [{"n": 1.5, "t": "<text>"}]}}


@pytest.mark.parametrize("body", [None, 7, "text", ["a"]])
def test_nothing_is_kept_of_what_is_no_object(body: object) -> None:
    assert known_fields(body) == ({}, 0)
