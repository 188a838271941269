"""The record of a call, built from what is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.secrets import fingerprint
from costmeter.recorder.attribution import Attribution
from costmeter.recorder.draft import Ended, Intent, encode, write_asked, write_attribution, write_draft
from costmeter.recorder.reading import Reading
from costmeter.recorder.record import Ending, complete, completion, ending_of, outcome, read_date

from .bodies import USAGE
from .conftest import START


@pytest.mark.parametrize(
    ("body", "model", "stream"),
    [
        ({"messages": [], "model": "deepseek-chat"}, "deepseek-chat", False),
        ({"model": "deepseek-chat", "stream": True}, "deepseek-chat", True),
        ({"model": "m", "stream": True, "stream_options": {"include_usage": True}}, "m", True),
        ({"model": "deepseek-chat", "stream": False}, "deepseek-chat", False),
        ({"messages": [{"content": 'the "model": "x", "stream": true'}], "model": "m"}, "m", False),
        (
            {"tools": [{"properties": {"model": {"type": "x"}, "stream": {}}}], "model": "m\n", "stream": True},
            "m\n",
            True,
        ),
        ({"metadata": {"model": "x"}, "model": "m"}, "m", False),
        ({"model": "sk-0123456789abcdef"}, fingerprint("sk-0123456789abcdef"), False),
        ({"model": ""}, None, False),
        ({"model": 7}, None, False),
        ({}, None, False),
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_model_and_stream_of_a_request_are_read(
    body: object, model: str | None, stream: bool, separators: tuple[str, str]
) -> None:
    content = json.dumps(body, separators=separators).encode()
    assert json.loads(bytes(write_asked(content))) == {"requested_model": model, "stream": stream}


@given(
    st.one_of(st.none(), st.binary(), st.sampled_from([b'{"model":"a', b'"model":"a"', b'{"model":"a","stream":true']))
)
def test_no_request_raises(content: bytes | None) -> None:
    json.loads(bytes(write_asked(content)))


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
    "header", ["", "yesterday", "\xff", "Sat, 01 Mar 2025 16:30:00", "Sat, 99 Mar 2025 16:30:00 GMT"]
)
def test_a_date_that_cannot_be_read_is_none(header: str) -> None:
    assert read_date(header) is None


def test_a_date_is_an_instant() -> None:
    assert read_date("Sat, 01 Mar 2025 16:30:00 GMT") == datetime(2025, 3, 1, 16, 30, tzinfo=UTC).timestamp()


def test_more_tags_than_are_kept_are_counted() -> None:
    attribution = write_attribution(Attribution(tags={str(n): "x" for n in range(40)}))
    record = complete({"intent": json.loads(encode(Intent("e", "o", attribution, write_asked(None), START)))})

    assert len(record["tags"]) == 32
    assert record["detail"] == {"stream": False, "tags_dropped": 8}
    assert (record["account"], record["model"]) == (None, "unknown")


def test_a_draft_becomes_the_usage_event() -> None:
    attribution = write_attribution(Attribution("a", "søk", 'a "user"', "fp_0123456789ab", {"team": "a"}))
    asked = write_asked(b'{"model":"deepseek-chat","stream":true}')
    intent = encode(Intent("e", "o", attribution, asked, START))
    known = {
        "event_id": "e",
        "operation_id": "o",
        "account": "a",
        "project": "søk",
        "user": 'a "user"',
        "api_key": "fp_0123456789ab",
        "tags": {"team": "a"},
        "provider": "deepseek",
        "model": "deepseek-chat",
        "requested_model": "deepseek-chat",
        "started_at": "2025-03-01T16:29:41.120000Z",
    }
    assert complete({"intent": json.loads(intent)}) == {**known, "detail": {"stream": True}}

    answered = ("Sat, 01 Mar 2025 16:30:00 GMT", 18.5)
    ended = Ended(18.88, answered, 7, 2, status="ok", usage=USAGE, model="deepseek-v3", response_id="x", characters=3)
    assert complete(json.loads(write_draft(intent, ended))) == {
        **known,
        "model": "deepseek-v3",
        "response_id": "x",
        "status": "ok",
        "usage": USAGE,
        "completed_at": "2025-03-01T16:30:00Z",
        "detail": {"stream": True, "bytes": 7, "chunks": 2, "characters": 3, "clock_offset_seconds": 0.38},
    }
