"""A call while its answer passes: what it holds, and when it takes the answer for complete."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from costmeter.core.events import OK, UNMETERED
from costmeter.recorder.attribution import NOBODY
from costmeter.recorder.call import ROOM, Call
from costmeter.recorder.draft import write_attribution
from costmeter.recorder.spool import Spool

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
WAITING = (b'"usage":null}\n\n', b'"finish_reason":null}]}\n\n')


def event(end: bytes, text: str = "x") -> bytes:
    return b'data: {"id":"r","model":"m","choices":[{"delta":{"content":"%b"},' % text.encode() + end


USAGE = event(b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n')


class Hands:
    """A clock whose hands a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 27, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def call(clock: Hands) -> Iterator[Call]:
    spool = Spool(lambda _: None)
    begun = Call(write_attribution(NOBODY), b'{"model":"m","stream":true}', None, clock, spool)
    begun.answered(200, {})
    yield begun
    spool.close()


@pytest.mark.parametrize("end", [*WAITING, KEEP_ALIVE])
@pytest.mark.parametrize("size", [300, ROOM // 2, 2 * ROOM])
def test_what_waits_to_be_read_is_bounded(call: Call, end: bytes, size: int) -> None:
    chunk = KEEP_ALIVE if end == KEEP_ALIVE else event(b'"logprobs":null,' + end, "x" * size)
    count = 0
    for _ in range(1_000 if size == 300 else 20):
        call.observe(chunk)
        count += 1
        assert len(call.passed) <= ROOM
    call.closed()

    assert call.result is not None
    assert (call.result.bytes, call.result.chunks) == (len(chunk) * count, count)
    assert (call.result.status, call.result.characters) == (UNMETERED, 0 if end == KEEP_ALIVE else size * count)


@pytest.mark.parametrize("end", WAITING)
def test_an_answer_is_complete_when_its_usage_passes_whatever_waits_before_and_after_it(
    call: Call, clock: Hands, end: bytes
) -> None:
    for seconds, chunk in ((1, KEEP_ALIVE), (2, event(end)), (3, event(end)), (5, USAGE), (9, KEEP_ALIVE)):
        clock.seconds = seconds
        call.observe(chunk)
    clock.seconds = 20
    call.closed()

    assert call.result is not None
    assert (call.result.status, call.result.elapsed, call.result.chunks) == (OK, 5, 5)


def test_a_stream_ends_with_its_end_mark_whoever_goes_on_reading(call: Call, clock: Hands) -> None:
    for seconds, chunk in ((1, event(WAITING[0])), (2, USAGE[:-9]), (3, USAGE[-9:] + DONE[:8]), (4, DONE[8:])):
        assert call.result is None
        clock.seconds = seconds
        call.observe(chunk)

    assert call.result is not None
    assert (call.result.status, call.result.elapsed, call.result.chunks) == (OK, 4, 4)
    clock.seconds = 50
    call.observe(KEEP_ALIVE)
    call.ended()
    assert call.result.elapsed == 4


def test_a_json_body_is_complete_with_its_last_piece(call: Call, clock: Hands) -> None:
    body = b'{"id":"r","model":"m","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
    for seconds, piece in ((1, body[:20]), (2, body[20:])):
        clock.seconds = seconds
        call.observe(piece)
    clock.seconds = 9
    call.ended()

    assert call.result is not None
    assert (call.result.status, call.result.elapsed) == (OK, 2)
    assert (call.result.bytes, call.result.chunks) == (len(body), 2)
