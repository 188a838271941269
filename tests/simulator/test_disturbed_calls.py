"""Calls that a fault disturbs: what comes over the wire, and what is billed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from costmeter.simulator import Simulator, SimulatorClock

from .asking import ask, wait_for_a_bill
from .raw import ASKED, call

STATUSES = ["400", "401", "402", "422", "429", "500", "503"]
SPOILING = ["reset", "stall;seconds=0.01", "truncate", "garbage", "garbage;noise=whole", "no_usage"]
REPLIES = [(path, stream) for path in ASKED for stream in (False, True)]


def billed(simulator: Simulator) -> list[str | None]:
    """The fault of each call in the ledger."""
    return [paid.bill.fault for paid in simulator.ledger.calls]


def counts(simulator: Simulator) -> Any:
    return httpx2.get(f"{simulator.base_url}/_simulator/faults").json()


@pytest.mark.parametrize("fault", SPOILING)
def test_a_spoilt_answer_is_billed_and_its_usage_never_arrives(simulator: Simulator, fault: str) -> None:
    kind = fault.partition(";")[0]
    for path, stream in REPLIES:
        spoilt = call(simulator.base_url, path, fault, stream=stream)
        good = call(simulator.base_url, path, stream=stream)

        assert spoilt.usage() is None
        assert spoilt.is_whole is (kind in ("garbage", "no_usage"))
        assert spoilt.was_reset is (kind in ("reset", "stall"))
        assert good.usage()
        assert good.is_whole
        first, second = (paid.as_json() for paid in simulator.ledger.calls[-2:])
        assert (first["fault"], first["aborted"], second["fault"]) == (kind, False, None)
        assert (first["usage"], first["cost"]) == (second["usage"], second["cost"])


@pytest.mark.parametrize("fault", ["reset;before_head", "stall;before_head;seconds=0.01"])
def test_an_answer_can_be_made_and_billed_and_not_even_its_head_sent(simulator: Simulator, fault: str) -> None:
    for path, stream in REPLIES:
        reply = call(simulator.base_url, path, fault, stream=stream)

        assert (reply.head, reply.body, reply.was_reset) == ("", b"", True)
    assert billed(simulator) == [fault.partition(";")[0]] * len(REPLIES)


@pytest.mark.parametrize("fault", [*STATUSES, "502"])
def test_a_refused_call_is_counted_and_not_billed(simulator: Simulator, fault: str) -> None:
    for path, stream in REPLIES:
        reply = call(simulator.base_url, path, fault, stream=stream)

        assert reply.head.split()[1] == fault
        assert "x-ds-trace-id" in reply.head
        assert ("retry-after: 1" in reply.head) is (fault == "429")
        assert fault == "502" or set(json.loads(reply.body)["error"]) == {"message", "type", "param", "code"}
    assert billed(simulator) == []
    assert counts(simulator) == refused(fault, len(REPLIES))


def test_a_call_can_be_taken_and_never_answered(simulator: Simulator) -> None:
    for path, stream in REPLIES:
        reply = call(simulator.base_url, path, "silent", stream=stream)

        assert (reply.head, reply.body, reply.was_reset) == ("", b"", False)
    assert billed(simulator) == []
    assert counts(simulator) == refused("silent", len(REPLIES))


def refused(fault: str, count: int) -> dict[str, Any]:
    """The counts where each call was refused on demand."""
    return {"calls": count, "billed": 0, "refused": {fault: count}, "faults": {fault: count}, "waiting": 0}


@pytest.mark.parametrize("after", [0, 1, 7, 10_000])
@pytest.mark.parametrize("kind", ["reset", "truncate", "garbage;noise=whole"])
def test_exactly_so_many_chunks_come_through_but_never_the_last(simulator: Simulator, kind: str, after: int) -> None:
    whole = call(simulator.base_url, stream=True).events
    reply = call(simulator.base_url, fault=f"{kind};after={after}", stream=True)

    chunks = [event for event in reply.events if event.startswith("data: ")]
    last = len([event for event in whole if event.startswith("data: {")]) - 1
    expected = min(after, last)
    assert len(chunks) == expected
    assert [json.loads(chunk[6:])["choices"][0]["finish_reason"] for chunk in chunks] == [None] * expected
    assert reply.events[:2] == whole[:2] == [": keep-alive", ": keep-alive"]


def test_a_bit_of_noise_cuts_one_chunk_and_the_stream_ends(simulator: Simulator) -> None:
    reply = call(simulator.base_url, fault="garbage;after=2", stream=True)

    *good, cut = [event for event in reply.events if event.startswith("data: ")]
    assert [json.loads(event[6:])["object"] for event in good] == ["chat.completion.chunk"] * 2
    assert "chat.completion.chunk" in cut
    with pytest.raises(ValueError, match=r"Invalid|Unterminated|Expecting"):
        json.loads(cut[6:])
    assert reply.is_whole


@pytest.mark.parametrize("status", STATUSES)
def test_the_sdk_raises_what_it_raises_for_deepseek(simulator: Simulator, client: OpenAI, status: str) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        ask(client, extra_headers={"x-simulator-fault": status})

    assert refused.value.status_code == int(status)
    assert refused.value.code in ("invalid_request_error", "service_unavailable_error")
    assert isinstance(refused.value, openai.RateLimitError) is (status == "429")


def test_what_stands_before_deepseek_answers_in_html(simulator: Simulator, client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        ask(client, extra_headers={"x-simulator-fault": "502"})

    assert refused.value.status_code == 502
    assert refused.value.response.headers["content-type"].startswith("text/html")
    assert "502 Bad Gateway" in refused.value.response.text


@pytest.mark.parametrize("fault", ["silent", "reset;before_head", "reset", "truncate"])
def test_the_sdk_sees_a_broken_connection(simulator: Simulator, client: OpenAI, fault: str) -> None:
    with pytest.raises((openai.APIConnectionError, httpx2.TransportError)):
        ask(client, extra_headers={"x-simulator-fault": fault})


@pytest.mark.parametrize("fault", ["reset;after=3", "truncate;after=3"])
def test_a_stream_of_the_sdk_breaks_off_after_so_many_chunks(client: OpenAI, fault: str) -> None:
    stream: Any = ask(client, stream=True, extra_headers={"x-simulator-fault": fault})

    assert len(seen_until_it_breaks(stream)) == 3


def seen_until_it_breaks(stream: Any) -> list[Any]:
    seen = []
    try:
        for chunk in stream:
            seen.append(chunk)
    except (openai.APIConnectionError, httpx2.TransportError):
        return seen
    pytest.fail("the stream did not break")


def test_the_other_sdk_sees_them_too(simulator: Simulator) -> None:
    asked: Any = {"model": "deepseek-chat", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    with Anthropic(api_key="sk-test", base_url=f"{simulator.base_url}/anthropic", max_retries=0) as claude:
        with pytest.raises(anthropic.RateLimitError):
            claude.messages.create(**asked, extra_headers={"x-simulator-fault": "429"})
        with pytest.raises((anthropic.APIConnectionError, httpx2.TransportError)):
            claude.messages.create(**asked, extra_headers={"x-simulator-fault": "reset"})
        message = claude.messages.create(**asked, extra_headers={"x-simulator-fault": "no_usage"})

    assert message.content
    assert "usage" not in message.to_dict()
    assert billed(simulator) == ["reset", "no_usage"]


def test_the_sdk_tries_again_as_it_is_told(simulator: Simulator, client: OpenAI, http: httpx2.Client) -> None:
    asked = http.post("/_simulator/faults", json={"kind": "429", "retry_after": 0})
    assert (asked.status_code, asked.json()) == (201, {"waiting": 1})

    answer = ask(client.with_options(max_retries=1))

    assert [paid.bill.call_id for paid in simulator.ledger.calls] == [answer.id]
    assert counts(simulator) == {
        "calls": 2, "billed": 1, "refused": {"429": 1}, "faults": {"429": 1}, "waiting": 0,
    }  # fmt: skip


def test_the_next_calls_are_disturbed_and_no_more(simulator: Simulator, http: httpx2.Client) -> None:
    http.post("/_simulator/faults", json={"kind": "reset", "after_chunks": 3, "count": 2})
    http.post("/_simulator/faults", json={"kind": "no_usage"})
    assert counts(simulator)["waiting"] == 3

    replies = [call(simulator.base_url, stream=True) for _ in range(4)]

    assert [reply.was_reset for reply in replies] == [True, True, False, False]
    assert billed(simulator) == ["reset", "reset", "no_usage", None]
    assert counts(simulator) == {
        "calls": 4, "billed": 4, "refused": {}, "faults": {"no_usage": 1, "reset": 2}, "waiting": 0,
    }  # fmt: skip


def test_what_the_vendor_refuses_anyway_is_counted_and_is_no_fault(clock: SimulatorClock) -> None:
    with Simulator(clock, topped_up="0") as poor:
        call(poor.base_url, fault="reset")
        call(poor.base_url, model="gpt-5")
        httpx2.post(f"{poor.base_url}/responses", json={})

        assert counts(poor) == {
            "calls": 3, "billed": 0, "refused": {"400": 1, "401": 1, "402": 1}, "faults": {}, "waiting": 0,
        }  # fmt: skip


def test_other_routes_are_never_disturbed(clock: SimulatorClock) -> None:
    headers = {"x-api-key": "sk-test", "authorization": "Bearer sk-test", "x-simulator-fault": "silent"}
    with Simulator(clock, faults={"silent": 1}) as simulator, httpx2.Client(base_url=simulator.base_url) as http:
        asked = {"model": "deepseek-chat", **ASKED["/anthropic/v1/messages"]}
        assert http.get("/models", headers=headers).status_code == 200
        assert http.get("/user/balance", headers=headers).status_code == 200
        assert http.post("/anthropic/v1/messages/count_tokens", json=asked, headers=headers).status_code == 200


@pytest.fixture
def chaos(clock: SimulatorClock) -> Iterator[Simulator]:
    rates = dict.fromkeys(("429", "502", "silent", "reset;before_head", *SPOILING), 0.07)
    with Simulator(clock, faults=rates, fault_seed=11) as running:
        yield running


def test_the_ledger_knows_of_every_call_whether_its_usage_arrived(chaos: Simulator) -> None:
    replies = [call(chaos.base_url, path, stream=stream) for _ in range(25) for path, stream in REPLIES]

    undisturbed = [paid.bill for paid in chaos.ledger.calls if paid.bill.fault is None]
    told = [usage for usage in (reply.usage() for reply in replies) if usage]
    assert [usage.get("completion_tokens") or usage["output_tokens"] for usage in told] == [
        bill.usage.completion for bill in undisturbed
    ]
    found = counts(chaos)
    assert found["calls"] == len(replies) == 200
    assert found["billed"] == len(chaos.ledger.calls)
    assert sum(found["refused"].values()) == 200 - found["billed"]
    assert sum(found["faults"].values()) == 200 - len(undisturbed)
    assert set(found["faults"]) == {"429", "502", "silent", *(fault.partition(";")[0] for fault in SPOILING)}


def test_a_client_that_gives_up_on_a_stalled_answer_is_billed_for_it(simulator: Simulator, client: OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        ask(client, timeout=httpx2.Timeout(10, read=0.2), extra_headers={"x-simulator-fault": "stall;seconds=600"})

    assert wait_for_a_bill(simulator).fault == "stall"


def test_a_client_that_leaves_before_its_fault_is_not_disturbed_by_it(clock: SimulatorClock) -> None:
    with (
        Simulator(clock, chunk_delay=0.05) as simulator,
        OpenAI(api_key="sk-test", base_url=simulator.base_url) as client,
    ):
        stream: Any = ask(client, stream=True, extra_headers={"x-simulator-fault": "reset;after=10000"})
        next(iter(stream))
        stream.close()

        bill = wait_for_a_bill(simulator)
        assert (bill.aborted, bill.fault) == (True, None)
        assert counts(simulator)["faults"] == {}
