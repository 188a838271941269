"""However a call ends, it ends as exactly one record, at the right instant."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import threading
from collections.abc import Callable, Iterator

import httpx2
import pytest

from costmeter.recorder.spool import Spool
from costmeter.recorder.transport import AsyncRecordingTransport, RecordingTransport

from . import bodies
from .bodies import USAGE, chat, chunk, event, json_body
from .conftest import Records, TestClock
from .replay import ReplayServer, Reply, stream_reply
from .replies import ASKED, FIRST_EVENT, REPLIES, STREAM


def close_early(client: httpx2.Client, until: Callable[[bytes], bool]) -> None:
    with client.stream("POST", "/chat/completions", json=ASKED) as response:
        seen = b""
        for part in response.iter_raw():
            seen += part
            if until(seen):
                break


def test_a_stream_closed_early_is_unmetered(server: ReplayServer, client: httpx2.Client, records: Records) -> None:
    server.answer_with(stream_reply(STREAM, size=FIRST_EVENT))
    close_early(client, lambda seen: True)

    record = records.one()
    assert (record["status"], record["reason"]) == ("unmetered", "closed early by the caller")
    assert (record["model"], record["response_id"]) == ("deepseek-chat", "c-1")
    assert record["detail"]["bytes"] == FIRST_EVENT


def test_a_stream_closed_after_its_usage_is_ok(server: ReplayServer, client: httpx2.Client, records: Records) -> None:
    at = len(STREAM) - len(bodies.done())
    server.answer_with(Reply([STREAM[:at], STREAM[at:]]))
    close_early(client, lambda seen: True)

    assert (records.one()["status"], records.one()["usage"]) == ("ok", USAGE)


def test_a_response_that_is_closed_unread_is_unmetered(
    server: ReplayServer, client: httpx2.Client, records: Records
) -> None:
    server.answer_with(REPLIES["json"])
    with client.stream("POST", "/chat/completions", json=ASKED):
        pass

    assert records.one()["reason"] == "closed early by the caller"


def test_a_response_that_is_forgotten_is_unmetered(records: Records) -> None:
    class Endless(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b": keep-alive\n\n"

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Endless())

    transport = RecordingTransport(httpx2.MockTransport(answer), _spool=records.spool)
    with httpx2.Client(transport=transport) as client:
        request = client.build_request("POST", "http://x/chat/completions", json=ASKED)
        response = client.send(request, stream=True)
        del response
        gc.collect()

    assert records.one()["reason"] == "closed early by the caller"


def test_a_response_that_is_in_memory_already_is_read(records: Records) -> None:
    packed = gzip.compress(json_body(chat()))
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, headers={"content-encoding": "gzip"}, content=packed))
    with httpx2.Client(transport=RecordingTransport(answer, _spool=records.spool)) as client:
        assert client.post("http://x/chat/completions", json=ASKED).json() == chat()

    assert records.one()["status"] == "ok"


def test_the_record_is_handed_over_before_the_caller_sees_the_end(server: ReplayServer, records: Records) -> None:
    spool = Spool(lambda _records: None)
    server.answer_with(stream_reply(STREAM))
    with (
        httpx2.Client(transport=RecordingTransport(_spool=spool)) as client,
        client.stream("POST", f"{server.base_url}/chat/completions", json=ASKED) as response,
    ):
        seen = b""
        for part in response.iter_raw():
            seen += part
            assert spool.flush(10)
            assert spool.counts.recorded == int(b"data: [DONE]\n\n" in seen[-20:])
    assert spool.close(10)


def test_completion_is_when_the_last_byte_passed(server: ReplayServer, records: Records, clock: TestClock) -> None:
    server.answer_with(Reply([b"\n", json_body(chat())]))
    transport = RecordingTransport(_clock=clock, _spool=records.spool)
    with (
        httpx2.Client(transport=transport, base_url=server.base_url) as client,
        client.stream("POST", "/chat/completions", json=ASKED) as response,
    ):
        clock.advance(1)
        parts = response.iter_raw()
        next(parts)
        clock.advance(17.88)
        next(parts)
        clock.advance(3600)
        list(parts)

    assert records.one()["started_at"] == "2025-03-01T16:29:41.120000Z"
    assert records.one()["completed_at"] == "2025-03-01T16:30:00Z"


def test_completion_is_when_the_usage_passed_not_when_the_caller_left(
    server: ReplayServer, records: Records, clock: TestClock
) -> None:
    at = len(STREAM) - len(bodies.done())
    server.answer_with(Reply([STREAM[:at], STREAM[at:]]))
    transport = RecordingTransport(_clock=clock, _spool=records.spool)
    with (
        httpx2.Client(transport=transport, base_url=server.base_url) as client,
        client.stream("POST", "/chat/completions", json=ASKED) as response,
    ):
        clock.advance(5)
        next(response.iter_raw())
        clock.advance(3600)

    assert records.one()["completed_at"] == "2025-03-01T16:29:46.120000Z"


def test_a_wall_clock_that_is_put_back_does_not_complete_before_the_start(
    server: ReplayServer, records: Records, clock: TestClock
) -> None:
    server.answer_with(REPLIES["stream"])
    transport = RecordingTransport(_clock=clock, _spool=records.spool)
    with (
        httpx2.Client(transport=transport, base_url=server.base_url) as client,
        client.stream("POST", "/chat/completions", json=ASKED) as response,
    ):
        clock.wall = clock.wall.replace(year=2020)
        clock.elapsed = 2.0
        response.read()

    assert records.one()["completed_at"] == "2025-03-01T16:29:43.120000Z"


def test_a_cancelled_task_leaves_an_unmetered_call(server: ReplayServer, records: Records) -> None:
    async def cancel(path: str, until_stream: bool) -> None:
        async with httpx2.AsyncClient(transport=AsyncRecordingTransport(_spool=records.spool)) as client:
            entered = asyncio.Event()

            async def call() -> None:
                async with client.stream("POST", server.base_url + path, json=ASKED) as response:
                    async for _ in response.aiter_raw():
                        entered.set()

            task = asyncio.create_task(call())
            await (entered.wait() if until_stream else asyncio.sleep(0.1))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    for name in ("stalled before the head", "stalled stream"):
        server.answer_with(REPLIES[name])
        asyncio.run(cancel("/chat/completions", name == "stalled stream"))

    reasons = [record["reason"] for record in records.all()]
    assert reasons == ["closed early by the caller"] * 2


def test_a_response_closed_by_another_thread_is_one_record(records: Records) -> None:
    class Slow(httpx2.SyncByteStream):
        def __init__(self) -> None:
            self.closed = threading.Event()

        def __iter__(self) -> Iterator[bytes]:
            yield event(chunk("Hi"))
            self.closed.wait(10)
            raise httpx2.ReadError("closed")

        def close(self) -> None:
            self.closed.set()

    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Slow()))
    with httpx2.Client(transport=RecordingTransport(answer, _spool=records.spool)) as client:
        request = client.build_request("POST", "http://x/chat/completions", json=ASKED)
        response = client.send(request, stream=True)
        closer = threading.Timer(0.1, response.close)
        closer.start()
        with pytest.raises(httpx2.ReadError):
            list(response.iter_raw())
        closer.join()

    assert records.one()["reason"] == "closed early by the caller"


def test_a_body_that_is_still_to_be_produced_is_left_alone(
    server: ReplayServer, client: httpx2.Client, records: Records
) -> None:
    server.answer_with(REPLIES["402"])
    body = json.dumps(ASKED).encode()
    client.post("/chat/completions", content=iter([body]), headers={"content-length": str(len(body))})

    assert server.requests[0][2] == body
    assert records.one()["model"] == "unknown"


def test_a_followed_redirect_is_the_failed_request_and_the_call(
    server: ReplayServer, client: httpx2.Client, records: Records
) -> None:
    there = Reply(b"", 307, {"location": "/v1/chat/completions"})
    server.answer_with(there, REPLIES["json"])
    assert client.post("/chat/completions", json=ASKED, follow_redirects=True).json() == chat()

    assert [(record["status"], record["http_status"]) for record in records.all()] == [("failed", 307), ("ok", 200)]
    assert {record["requested_model"] for record in records.all()} == {"deepseek-chat"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forks_copy_of_a_call_is_not_recorded_twice(
    client: httpx2.Client, server: ReplayServer, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer_with(REPLIES["stream"])
    with client.stream("POST", "/chat/completions", json=ASKED) as response, monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: -1)  # what the copy sees, without forking beside threads
        response.read()

    assert records.all() == []
