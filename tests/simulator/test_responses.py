"""The responses API, over the OpenAI SDK, over plain HTTP, and beside what was recorded of DeepSeek."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI

from costmeter.simulator import Simulator, SimulatorClock

from .asking import LONG_PROMPT, ask, usage_of

NOVEMBER = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday: off-peak
QUESTION = {"model": "deepseek-flash", "input": "Hello"}
RECORDED = "pydantic-ai__responses_v4-flash_text"


@pytest.fixture
def clock() -> SimulatorClock:
    return SimulatorClock(NOVEMBER)


def respond(client: OpenAI, text: Any = LONG_PROMPT, **options: Any) -> Any:
    return client.responses.create(model="deepseek-flash", input=text, **options)


def named_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The name and the body of each event on the wire."""
    events = [event.split("\n") for event in text.removesuffix("\n\n").split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]


def shape(value: Any) -> Any:
    """The names in an object, as deep as they go; what has no names is told by its type alone."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else type(value)


def told_once(kinds: list[str]) -> list[str]:
    """The kinds of events in their order, a run of equal ones once."""
    return [kind for place, kind in enumerate(kinds) if place == 0 or kinds[place - 1] != kind]


def test_an_answer_has_the_usage_of_the_responses_api(simulator: Simulator, client: OpenAI) -> None:
    simulator.answer_time = timedelta(seconds=2)
    respond(client)
    answer = respond(client, instructions="Be brief.", extra_body={"thinking": {"type": "disabled"}})
    usage = respond(client).usage.model_dump()

    assert usage["input_tokens"] == 495
    assert usage["input_tokens_details"]["cached_tokens"] == 448
    assert 0 < usage["output_tokens_details"]["reasoning_tokens"] < usage["output_tokens"]
    assert usage["total_tokens"] == 495 + usage["output_tokens"]
    assert answer.usage.output_tokens_details.reasoning_tokens == 0
    assert (answer.status, answer.instructions, answer.model) == ("completed", "Be brief.", "deepseek-flash")
    assert answer.output_text
    assert answer.completed_at == answer.created_at + 2 == int(NOVEMBER.timestamp()) + 4
    assert [paid.bill.usage.cache_hit for paid in simulator.ledger.calls] == [0, 0, 448]
    assert simulator.ledger.calls[1].bill.call_id == answer.id


def test_a_text_and_a_list_of_items_and_a_chat_share_the_cache(client: OpenAI) -> None:
    ask(client, model="deepseek-flash")
    parts = [{"role": "user", "content": [{"type": "input_text", "text": LONG_PROMPT}]}]
    call = {"type": "function_call", "call_id": "call_0", "name": "look", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_0", "output": "rain"}

    for question in (LONG_PROMPT, parts, [*parts, call, output]):
        assert respond(client, question).usage.input_tokens_details.cached_tokens == 448


def test_a_stream_says_and_costs_what_the_whole_answer_does(simulator: Simulator, client: OpenAI) -> None:
    respond(client)
    whole = respond(client)
    events = list(respond(client, stream=True))

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].type == "response.completed"
    final = events[-1].response
    assert final.usage == whole.usage
    assert final.output_text == whole.output_text
    assert [item.type for item in final.output] == ["reasoning", "message"]
    _, second, third = (paid.bill for paid in simulator.ledger.calls)
    assert (second.cost, second.usage) == (third.cost, third.usage)
    assert third.call_id == final.id


def test_the_streaming_aid_of_the_sdk_puts_the_answer_together(client: OpenAI) -> None:
    with client.responses.stream(model="deepseek-flash", input="Hello") as stream:
        final = stream.get_final_response()

    assert final.output_text == respond(client, "Hello").output_text


@pytest.mark.parametrize("stream", [False, True])
def test_the_async_sdk_gets_the_same_answer(simulator: Simulator, client: OpenAI, stream: bool) -> None:
    async def answer() -> str:
        async with AsyncOpenAI(api_key="sk-test", base_url=f"{simulator.base_url}/v1") as sdk:
            answer: Any = await sdk.responses.create(model="deepseek-flash", input=LONG_PROMPT, stream=stream)
            final = [event async for event in answer][-1].response if stream else answer
        text: str = final.output_text
        return text

    assert asyncio.run(answer()) == respond(client).output_text


@pytest.mark.parametrize(("limit", "items"), [(10, ["reasoning"]), (None, ["reasoning", "message"])])
def test_an_answer_that_is_cut_short_is_incomplete(client: OpenAI, limit: int | None, items: list[str]) -> None:
    options = {} if limit is None else {"max_output_tokens": limit}
    *_, last = respond(client, stream=True, **options)
    whole = respond(client, **options)

    assert last.type == ("response.completed" if limit is None else "response.incomplete")
    assert (last.response.incomplete_details is None) is (limit is None)
    assert last.response.usage.output_tokens == whole.usage.output_tokens == (limit or whole.usage.output_tokens)
    assert [item.type for item in whole.output] == items


def test_a_body_has_the_names_that_deepseek_sends(shared: Path, http: httpx2.Client) -> None:
    recorded = json.loads((shared / "fixtures" / f"{RECORDED}_2026-08-05.json").read_text(encoding="utf-8"))

    assert shape(http.post("/responses", json=QUESTION).json()) == shape(recorded)


def test_a_stream_has_the_events_and_the_names_that_deepseek_sends(shared: Path, http: httpx2.Client) -> None:
    recorded = named_events((shared / "fixtures" / f"{RECORDED}_stream_2026-08-05.sse").read_text(encoding="utf-8"))
    sent = named_events(http.post("/v1/responses", json={**QUESTION, "stream": True}).text)

    assert all(name == body["type"] for name, body in sent)
    assert told_once([name for name, _ in sent]) == told_once([name for name, _ in recorded])
    assert {name: shape(body) for name, body in sent} == {name: shape(body) for name, body in recorded}


def test_thinking_is_turned_off_by_no_effort_too(client: OpenAI) -> None:
    assert respond(client, reasoning={"effort": "none"}).usage.output_tokens_details.reasoning_tokens == 0
    assert respond(client, reasoning={"effort": "low"}).usage.output_tokens_details.reasoning_tokens > 0


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"input": None}, "missing field `input`"),
        ({"input": 1}, "input: invalid type"),
        ({"input": []}, "Empty input messages"),
        ({"input": ["x"]}, "input: invalid type"),
        ({"instructions": 1}, "instructions: invalid type"),
        ({"max_output_tokens": 0}, "Invalid max_output_tokens value"),
        ({"model": "deepseek-chat"}, "Model Not Exist"),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_by_name(
    http: httpx2.Client, changed: dict[str, object], named: str
) -> None:
    answer = http.post("/responses", json={**QUESTION, **changed})

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]


def test_a_chat_costs_the_same(simulator: Simulator, client: OpenAI) -> None:
    usage = usage_of(ask(client, model="deepseek-flash", max_tokens=50))
    respond(client, max_output_tokens=50)
    respond(client, "Hello", max_output_tokens=50)

    chat, again, other = (paid.bill for paid in simulator.ledger.calls)
    assert usage["prompt_cache_miss_tokens"] == chat.usage.cache_miss == 495
    assert (again.usage.cache_hit, again.usage.completion) == (448, 50)
    assert chat.cost - again.cost == 448 * (150_000 - 3_000)  # 0.15 and 0.003 a million
    assert other.usage.cache_hit == 0
