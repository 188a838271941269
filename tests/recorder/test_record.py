"""The record of a call, built from what is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.recorder.attribution import Attribution
from costmeter.recorder.reading import Reading
from costmeter.recorder.record import (
    Asked,
    Ending,
    build_intent,
    build_record,
    completion,
    ending_of,
    outcome,
    read_date,
    read_request,
)

from .bodies import USAGE
from .conftest import START


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"messages": [], "model": "deepseek-chat"}, Asked("deepseek-chat", False)),
        ({"model": "deepseek-chat", "stream": True}, Asked("deepseek-chat", True)),
        ({"model": "deepseek-chat", "stream": False}, Asked("deepseek-chat", False)),
        ({"messages": [{"content": 'the "model": "x", "stream": true'}], "model": "m"}, Asked("m", False)),
        (
            {"tools": [{"properties": {"model": {"type": "x"}, "stream": {}}}], "model": "m\n", "stream": True},
            Asked("m\n", True),
        ),
        ({"metadata": {"model": "x"}, "model": "m"}, Asked("m", False)),
        ({"model": 7}, Asked(None, False)),
        ({}, Asked(None, False)),
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_model_and_stream_of_a_request_are_read(body: object, asked: Asked, separators: tuple[str, str]) -> None:
    assert read_request(json.dumps(body, separators=separators).encode()) == asked


@given(
    st.one_of(st.none(), st.binary(), st.sampled_from([b'{"model":"a', b'"model":"a"', b'{"model":"a","stream":true']))
)
def test_no_request_raises(content: bytes | None) -> None:
    read_request(content)


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (httpx2.ConnectError("x"), Ending("never sent: ConnectError", "ConnectError")),
        (httpx2.ConnectTimeout("x"), Ending("never sent: ConnectTimeout", "ConnectTimeout")),
        (httpx2.PoolTimeout("x"), Ending("never sent: PoolTimeout", "PoolTimeout")),
        (httpx2.ReadTimeout("x"), Ending("timed out")),
        (TimeoutError(), Ending("timed out")),
        (httpx2.ReadError("x"), Ending("cut off: ReadError")),
        (httpx2.RemoteProtocolError("x"), Ending("cut off: RemoteProtocolError")),
        (KeyboardInterrupt(), Ending("closed early by the caller")),
        (GeneratorExit(), Ending("closed early by the caller")),
    ],
)
def test_an_error_says_how_the_call_ended(error: BaseException, ending: Ending) -> None:
    assert ending_of(error) == ending


def test_only_a_success_with_usage_is_ok() -> None:
    measured, empty = Reading(usage=USAGE, problem=None), Reading()
    broken = Ending("timed out")

    assert outcome(200, measured, broken, elapsed=1) == {"status": "ok", "usage": USAGE, "http_status": 200}
    assert outcome(503, measured, None, elapsed=1)["status"] == "failed"
    assert outcome(307, empty, None, elapsed=1)["status"] == "failed"
    assert outcome(None, empty, Ending("never sent: ConnectError", "ConnectError"), elapsed=1) == {
        "status": "failed",
        "usage": None,
        "error_code": "ConnectError",
    }
    assert outcome(None, empty, broken, elapsed=1) == {
        "status": "unmetered",
        "usage": None,
        "error_code": None,
        "reason": "timed out",
    }
    inside = Reading(error_code="x", problem="error in the body")
    assert outcome(200, inside, broken, elapsed=1)["reason"] == "error in the body"


def test_what_the_vendor_cut_off_after_30_minutes_is_said_to_be_so() -> None:
    for ending in (None, Ending("timed out"), Ending("cut off: RemoteProtocolError")):
        assert outcome(200, Reading(), ending, elapsed=1800)["reason"] == "timed out at 30 minutes"
        assert outcome(200, Reading(), ending, elapsed=1700)["reason"] != "timed out at 30 minutes"
    left = Ending("closed early by the caller")
    assert outcome(200, Reading(), left, elapsed=1800)["reason"] == "closed early by the caller"
    assert outcome(200, Reading(usage=USAGE, problem=None), None, elapsed=1800)["status"] == "ok"


@given(st.floats(allow_nan=False, min_value=-1e6, max_value=1e6))
def test_completion_is_never_before_the_start(elapsed: float) -> None:
    assert completion(START, elapsed) >= START


def test_completion_is_rounded_to_microseconds() -> None:
    assert completion(START, 18.880_000_4).isoformat() == "2025-03-01T16:30:00+00:00"


@pytest.mark.parametrize(
    "header", [None, b"", b"yesterday", b"\xff", b"Sat, 01 Mar 2025 16:30:00", b"Sat, 99 Mar 2025 16:30:00 GMT"]
)
def test_a_date_that_cannot_be_read_is_none(header: bytes | None) -> None:
    assert read_date(header) is None


def test_a_date_is_an_instant() -> None:
    assert read_date(b"Sat, 01 Mar 2025 16:30:00 GMT") == datetime(2025, 3, 1, 16, 30, tzinfo=UTC).timestamp()


def test_more_tags_than_are_kept_are_counted() -> None:
    intent = build_intent(
        event_id="e",
        operation_id="e",
        attribution=Attribution(tags={str(n): "x" for n in range(40)}),
        asked=Asked(),
        started_at=START,
    )
    record = build_record(intent, reading=Reading(), completed_at=START, outcome={}, clock_offset=None)

    assert len(record["tags"]) == 32
    assert record["detail"]["tags_dropped"] == 8
    assert (record["account"], record["model"]) == ("default", "unknown")
