"""What an answer says of itself, read by decoding a few fields, equals what parsing all of it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmeter.recorder.reading import (
    ERROR_INSIDE,
    FINAL_TYPES,
    NO_EVENT,
    NO_USAGE,
    UNREADABLE,
    Reading,
    parse,
    parse_event,
    read_body,
    read_events,
)

from .bodies import USAGE

_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def slow_parse(raw: bytes) -> dict[str, Any] | None:
    """All of a body by the standard library; NaN and Infinity are no JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        parsed = json.loads(_HALF.sub(rb"\\ufffd", raw).decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def slow_body(raw: bytes) -> Reading:
    body = slow_parse(raw)
    if body is None:
        return Reading(problem=UNREADABLE)
    usage, code = slow_usage(body), slow_code(body)
    return Reading(usage, slow_text(body, "model"), slow_text(body, "id"), code, True, slow_problem(usage, code))


def slow_events(*raw: bytes, complete: bool) -> Reading:
    head, first, last, error = (slow_parse(line) or {} for line in raw)
    usage = slow_usage(subject(last))
    if last.get("type") == "message_start":
        usage = None
    elif usage is not None and first.get("type") == "message_start":
        usage = {**(slow_usage(subject(first)) or {}), **{k: v for k, v in usage.items() if v is not None}}
    code = slow_code(error)
    model = slow_text(subject(last), "model") or slow_text(subject(head), "model")
    response_id = slow_text(subject(last), "id") or slow_text(subject(head), "id")
    is_final = last.get("type") in FINAL_TYPES
    return Reading(usage, model, response_id, code, complete or is_final, slow_problem(usage, code))


def subject(event: dict[str, Any]) -> dict[str, Any]:
    return next((event[name] for name in ("response", "message") if isinstance(event.get(name), dict)), event)


def slow_usage(body: dict[str, Any]) -> dict[str, Any] | None:
    usage = body.get("usage")
    return usage if isinstance(usage, dict) and usage else None


def slow_code(event: dict[str, Any]) -> str | None:
    error = event.get("error") or subject(event).get("error")
    if error is None and event.get("type") == "error":
        error = event
    if not isinstance(error, Mapping):
        return None
    code = error.get("code") or error.get("type")
    return str(code) if isinstance(code, str | int) else "error"


def slow_problem(usage: object, code: str | None) -> str | None:
    if usage is not None:
        return None
    return NO_USAGE if code is None else ERROR_INSIDE


def slow_text(body: dict[str, Any], field: str) -> str | None:
    value = body.get(field)
    return value if isinstance(value, str) and value else None


def unpaired(reading: Reading) -> Reading:
    """With pairs of surrogates as the slow reader has them."""
    said = {name: getattr(reading, name) for name in ("usage", "model", "response_id", "error_code")}
    return reading._replace(**json.loads(_HALF.sub(rb"\\ufffd", json.dumps(said).encode())))


NUMBERS = st.one_of(st.integers(), st.integers(-(10**40), 10**40), st.floats(allow_nan=False, allow_infinity=False))
TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["error", "message_start", "response.completed", "😀", "x"]))
NAMES = st.one_of(
    st.sampled_from(["id", "model", "usage", "error", "type", "code", "response", "message", "choices", "é", "😀"]),
    st.text(max_size=3),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.just(USAGE)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """A JSON object in any layout, in which a name may come twice; sometimes broken at one place."""
    members = draw(st.lists(st.tuples(NAMES, VALUES), max_size=8))
    ascii_only, space = draw(st.booleans()), draw(st.sampled_from(["", " ", "\n "]))
    dumped = [
        f"{json.dumps(name, ensure_ascii=ascii_only)}{space}:{json.dumps(value, ensure_ascii=ascii_only)}"
        for name, value in members
    ]
    text = "{" + f",{space}".join(dumped) + "}"
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        odd = draw(
            st.sampled_from(["", "NaN", "-", "0", "\\", "\\ud83d", "\\uDE00", '"', "}", "[", ",", "\x01", "tru"])
        )
        text = text[:at] + odd + text[at + draw(st.integers(0, 2)) :]
    return text.encode()


@settings(max_examples=400)
@given(objects())
def test_a_body_reads_as_parsing_it_does(raw: bytes) -> None:
    assert unpaired(read_body(raw)) == unpaired(slow_body(raw))
    assert (parse(raw) is None) == (slow_parse(raw) is None)


@settings(max_examples=250)
@given(objects(), objects(), objects(), objects(), st.booleans())
def test_a_stream_reads_as_parsing_its_events_does(
    head: bytes, first: bytes, last: bytes, error: bytes, complete: bool
) -> None:
    events = [parse_event(raw) or NO_EVENT for raw in (head, first, last, error)]

    reading = read_events(*events, complete=complete)
    assert unpaired(reading) == unpaired(slow_events(head, first, last, error, complete=complete))
    json.dumps(reading[:5], allow_nan=False, ensure_ascii=False).encode()


@given(st.binary(), st.integers(0, 40))
def test_any_bytes_read_no_less_than_parsing_them_does(raw: bytes, at: int) -> None:
    body = b'{"id":"x","choices":"","usage":{"a":1}}'
    for broken in (raw, body[:at] + raw + body[at:]):
        slow = slow_body(broken)
        if slow.problem != UNREADABLE:
            assert unpaired(read_body(broken)) == unpaired(slow)


@pytest.mark.parametrize(
    "skipped", [b'"\xff\xfe"', b'"\xed\xa0\xbd"', b"1e400", b"9" * 5000], ids=["bytes", "surrogate", "huge", "digits"]
)
def test_what_is_broken_in_a_text_that_is_not_read_hides_no_usage(skipped: bytes) -> None:
    assert read_body(b'{"choices":%b,"usage":{"a":1}}' % skipped).usage == {"a": 1}


@pytest.mark.parametrize(
    "value", [b"NaN", b"-Infinity", b"1e400", b"9" * 5000, b'"\xff"', b"[" * 100_000, b'{"a":' * 100_000]
)
def test_a_usage_that_no_database_keeps_is_unreadable(value: bytes) -> None:
    assert read_body(b'{"usage":{"a":%b}}' % value) == Reading(problem=UNREADABLE)


def test_the_last_of_two_equal_names_counts() -> None:
    assert read_body(b'{"usage":{"a":1},"usage":{"b":1,"b":2},"id":"x","id":7}')[:3] == ({"b": 2}, None, None)


def test_whole_characters_of_an_id_are_kept() -> None:
    assert read_body(b'{"id":"\\ud83d\\ude00"}').response_id == "😀"
