"""Streamed answers: the events to the letter, and the bill of a client that leaves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI

from costmeter.simulator import Simulator, SimulatorClock

from .asking import LONG_PROMPT, ask, usage_of, wait_for_a_bill

MODELS = ["deepseek-chat", "deepseek-reasoner"]


def stream_events(http: httpx2.Client, **options: Any) -> list[str]:
    """The events of a stream as they stand on the wire."""
    question = {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    answer = http.post("/chat/completions", json={**question, **options})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.text.endswith("\n\n")
    return answer.text.removesuffix("\n\n").split("\n\n")


def chunks_of(events: list[str]) -> list[dict[str, Any]]:
    """The chunks, without the comments before and the mark at the end."""
    assert events[-1] == "data: [DONE]"
    chunks = [event for event in events[:-1] if event != ": keep-alive"]
    return [json.loads(chunk.removeprefix("data: ")) for chunk in chunks]


def test_a_stream_begins_with_keep_alive_comments(shared_http: httpx2.Client) -> None:
    events = stream_events(shared_http)

    assert events[:2] == [": keep-alive", ": keep-alive"]
    assert all(event.startswith("data: ") for event in events[2:])


@pytest.mark.parametrize("model", MODELS)
def test_all_chunks_share_id_and_time_and_only_the_last_is_finished(shared_http: httpx2.Client, model: str) -> None:
    chunks = chunks_of(stream_events(shared_http, model=model))

    assert len(chunks) > 50
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"


@pytest.mark.parametrize("model", MODELS)
def test_with_include_usage_every_chunk_but_the_last_says_null(shared_http: httpx2.Client, model: str) -> None:
    chunks = chunks_of(stream_events(shared_http, model=model, stream_options={"include_usage": True}))

    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
def test_without_include_usage_only_the_last_chunk_has_the_field(
    shared_http: httpx2.Client, options: dict[str, Any]
) -> None:
    chunks = chunks_of(stream_events(shared_http, **options))

    assert not any("usage" in chunk for chunk in chunks[:-1])
    assert chunks[-1]["usage"]["total_tokens"] > 0


def test_a_reasoner_reasons_before_it_answers(shared_http: httpx2.Client) -> None:
    deltas = [
        chunk["choices"][0]["delta"] for chunk in chunks_of(stream_events(shared_http, model="deepseek-reasoner"))
    ]

    spoken = [delta["content"] is not None for delta in deltas]
    assert spoken == sorted(spoken)  # all the reasoning, then all the content
    assert all((delta["content"] is None) != (delta["reasoning_content"] is None) for delta in deltas)


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_says_and_costs_what_the_whole_answer_does(simulator: Simulator, client: OpenAI, model: str) -> None:
    ask(client, model=model)  # Both of the next two find the prompt in the cache.
    whole = ask(client, model=model)
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": LONG_PROMPT}], stream=True
    )
    chunks = list(stream)

    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.model_dump(exclude_unset=True) == usage_of(whole)
    _, second, third = (paid.bill for paid in simulator.ledger.calls)
    assert (second.cost, second.usage) == (third.cost, third.usage)


def test_the_async_sdk_reads_a_stream(simulator: Simulator) -> None:
    async def read() -> int:
        async with AsyncOpenAI(api_key="sk-test", base_url=simulator.base_url) as sdk:
            stream = await sdk.chat.completions.create(
                model="deepseek-reasoner",
                messages=[{"role": "user", "content": "Hello"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            usages = [chunk.usage async for chunk in stream]
        assert usages[-1] is not None
        return usages[-1].total_tokens

    assert asyncio.run(read()) == sum(
        paid.bill.usage.cache_miss + paid.bill.usage.completion for paid in simulator.ledger.calls
    )


def test_max_tokens_ends_a_stream_for_its_length(shared_http: httpx2.Client) -> None:
    last = chunks_of(stream_events(shared_http, model="deepseek-reasoner", max_tokens=10))[-1]

    assert last["choices"][0]["finish_reason"] == "length"
    assert last["usage"]["completion_tokens"] == 10
    assert last["usage"]["completion_tokens_details"] == {"reasoning_tokens": 10}


def test_a_stream_is_billed_before_its_last_chunk_is_read(simulator: Simulator, client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="deepseek-chat", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    for chunk in stream:
        if chunk.choices[0].finish_reason:
            assert [paid.bill.call_id for paid in simulator.ledger.calls] == [chunk.id]


def leave_a_stream(client: OpenAI) -> None:
    """Reads one chunk and closes the connection."""
    stream = client.chat.completions.create(
        model="deepseek-chat", messages=[{"role": "user", "content": LONG_PROMPT}], stream=True
    )
    next(iter(stream))
    stream.close()


def test_a_stream_that_the_client_leaves_is_billed_in_full(clock: SimulatorClock) -> None:
    with (
        Simulator(clock, chunk_delay=0.05) as simulator,
        OpenAI(api_key="sk-test", base_url=simulator.base_url) as client,
    ):
        leave_a_stream(client)
        wait_for_a_bill(simulator)
        whole = ask(client, LONG_PROMPT)

        aborted, complete = (paid.bill for paid in simulator.ledger.calls)
        assert (aborted.aborted, complete.aborted) == (True, False)
        assert aborted.usage.completion == complete.usage.completion == usage_of(whole)["completion_tokens"]
        assert aborted.usage.cache_miss == usage_of(whole)["prompt_tokens"]
        assert simulator.ledger.as_json()["calls"][0]["aborted"] is True  # type: ignore[index]


def test_a_stream_under_way_when_the_simulator_stops_is_billed_too(clock: SimulatorClock) -> None:
    with OpenAI(api_key="sk-test", base_url="http://unused") as client:
        with Simulator(clock, chunk_delay=0.5) as simulator:
            stream = client.with_options(base_url=simulator.base_url).chat.completions.create(
                model="deepseek-chat", messages=[{"role": "user", "content": "Hello"}], stream=True
            )
            next(iter(stream))
        assert [paid.bill.aborted for paid in simulator.ledger.calls] == [True]
        stream.close()
