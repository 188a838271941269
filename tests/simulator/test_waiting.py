"""What a client sees while its answer is being made."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from openai import OpenAI

from costmeter.simulator import Simulator, SimulatorClock

from .asking import NOON, ask, wait_for_a_bill
from .raw import call
from .test_responses import named_events


class HostClockAtNoon:
    """A clock that runs on the host's time, as far as waiting goes; models that cost something are there at noon."""

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def slow() -> Iterator[Simulator]:
    """Ten times the interval passes until an answer is made."""
    with Simulator(HostClockAtNoon(), answer_time=timedelta(seconds=0.2), keep_alive=0.02) as running:
        yield running


def test_a_whole_answer_comes_behind_its_head_and_one_empty_line_after_the_other(slow: Simulator) -> None:
    reply = call(slow.base_url)

    assert "transfer-encoding: chunked" in reply.head
    assert reply.body.startswith(b"\n" * 5)
    assert json.loads(reply.body)["usage"]["total_tokens"] > 0
    assert reply.is_whole


def test_the_sdk_waits(slow: Simulator) -> None:
    with OpenAI(api_key="sk-test", base_url=slow.base_url, max_retries=0) as client:
        answer = ask(client)

    assert [paid.bill.call_id for paid in slow.ledger.calls] == [answer.id]


def test_the_first_empty_line_comes_before_the_call_is_billed(slow: Simulator) -> None:
    slow.answer_time = timedelta(seconds=600)
    with httpx2.Client(base_url=slow.base_url, headers={"authorization": "Bearer sk-test"}) as http:
        asked = {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hello"}]}
        with http.stream("POST", "/chat/completions", json=asked) as answer:
            assert answer.status_code == 200
            received = answer.iter_bytes()
            assert next(received) == b"\n"
            assert slow.ledger.calls == ()
        assert wait_for_a_bill(slow).aborted is True


def test_a_client_that_leaves_a_stream_before_its_first_chunk_is_billed(slow: Simulator) -> None:
    slow.answer_time = timedelta(seconds=600)
    place = urlsplit(slow.base_url)
    body = json.dumps({"model": "deepseek-chat", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
    head = f"POST /chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\ncontent-length: {len(body)}"
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(f"{head}\r\n\r\n{body}".encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")

    assert wait_for_a_bill(slow).aborted is True


@pytest.mark.parametrize("path", ["/chat/completions", "/beta/completions", "/responses"])
def test_a_stream_begins_with_comments_until_its_answer_is_made(slow: Simulator, path: str) -> None:
    events = call(slow.base_url, path, stream=True).events

    assert events[:5] == [": keep-alive"] * 5
    assert not any(event == ": keep-alive" for event in events[15:])


def test_anthropics_format_has_pings_instead(slow: Simulator) -> None:
    events = named_events(call(slow.base_url, "/anthropic/v1/messages", stream=True).body.decode())

    assert [name for name, _ in events[:5]] == ["ping"] * 5


def test_comments_come_between_slow_chunks(clock: SimulatorClock) -> None:
    with Simulator(clock, chunk_delay=0.05, keep_alive=0.02) as simulator:
        events = call(simulator.base_url, stream=True, max_tokens=10).events[2:-2]

    assert events[0].startswith("data: ")
    assert [event == ": keep-alive" for event in events] == [False, True, True] * (len(events) // 3)


def test_on_a_clock_that_can_be_moved_nobody_waits(clock: SimulatorClock) -> None:
    with Simulator(clock, answer_time=timedelta(days=1)) as simulator:
        reply = call(simulator.base_url)

    assert reply.body.startswith(b"\n\n{")
    assert clock.now() == NOON + timedelta(days=1)


def test_usage_can_trail_in_a_chunk_without_choices(clock: SimulatorClock) -> None:
    with (
        Simulator(clock, trailing_usage=True) as simulator,
        OpenAI(api_key="sk-test", base_url=simulator.base_url, max_retries=0) as client,
    ):
        stream: Any = ask(client, stream=True)
        *_, finishing, trailing = stream
        silent: Any = ask(client, stream=True, extra_headers={"x-simulator-fault": "no_usage"})
        *_, last = silent

    assert (finishing.choices[0].finish_reason, finishing.usage) == ("stop", None)
    assert trailing.choices == []
    assert trailing.usage.total_tokens > 0
    assert (last.choices[0].finish_reason, last.usage) == ("stop", None)


@pytest.mark.parametrize("fault", ["reset", "truncate", "garbage", "no_usage", "stall;seconds=0.01"])
def test_a_slow_answer_is_disturbed_too(slow: Simulator, fault: str) -> None:
    reply = call(slow.base_url, fault=fault)

    assert "transfer-encoding: chunked" in reply.head
    assert reply.body.startswith(b"\n" * 5)
    assert reply.usage() is None
    assert [paid.bill.fault for paid in slow.ledger.calls] == [fault.partition(";")[0]]
