"""Anthropic's format, over its SDK and over plain HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import OpenAI

from costmeter.simulator import Simulator, SimulatorClock

from .asking import LONG_PROMPT, ask
from .test_responses import named_events, told_once

SUNDAY = datetime(2026, 11, 22, 12, tzinfo=UTC)  # off-peak
PATH = "/anthropic/v1/messages"
QUESTION = {"model": "deepseek-flash", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def clock() -> SimulatorClock:
    return SimulatorClock(SUNDAY)


@pytest.fixture
def claude(simulator: Simulator) -> Iterator[Anthropic]:
    with Anthropic(api_key="sk-test", base_url=f"{simulator.base_url}/anthropic", max_retries=0) as sdk:
        yield sdk


def say(claude: Anthropic, text: Any = LONG_PROMPT, model: str = "deepseek-flash", **options: Any) -> Any:
    asked = {"max_tokens": 2000, **options}
    return claude.messages.create(model=model, messages=[{"role": "user", "content": text}], **asked)


def test_the_input_leaves_out_what_came_from_the_cache(simulator: Simulator, claude: Anthropic) -> None:
    first, second = say(claude), say(claude)

    usages = [answer.usage.model_dump(exclude_unset=True) for answer in (first, second)]
    output = usages[0]["output_tokens"]
    zeros = {"cache_creation_input_tokens": 0, "output_tokens": output}
    assert usages[0] == {"input_tokens": 495, "cache_read_input_tokens": 0, **zeros}
    assert usages[1] == {"input_tokens": 47, "cache_read_input_tokens": 448, **zeros}
    bill = simulator.ledger.calls[1].bill
    assert (bill.call_id, bill.usage.cache_hit, bill.usage.cache_miss) == (second.id, 448, 47)
    by_hand = (448 * Decimal("0.003") + 47 * Decimal("0.15") + output * Decimal("0.60")) / 10**6
    assert Decimal(bill.cost) == by_hand * 10**12


def test_a_model_that_thinks_sends_a_block_of_it_first(claude: Anthropic) -> None:
    thinking, text = say(claude).content
    (silent,) = say(claude, thinking={"type": "disabled"}).content

    assert (thinking.type, text.type, silent.type) == ("thinking", "text", "text")
    assert thinking.thinking
    assert thinking.signature
    assert text.text
    assert silent.text


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("claude-opus-4-8", "deepseek-v4-pro"),
        ("claude-sonnet-4-6", "deepseek-flash"),
        ("claude-3-5-haiku", "deepseek-flash"),
        ("deepseek-v4-pro", "deepseek-v4-pro"),
    ],
)
def test_the_answer_and_the_bill_name_the_model_that_served(
    simulator: Simulator, claude: Anthropic, asked: str, served: str
) -> None:
    assert say(claude, model=asked).model == served
    assert [paid.bill.model for paid in simulator.ledger.calls] == [served]


def test_a_name_that_is_not_known_is_refused(simulator: Simulator, claude: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="Model Not Exist"):
        say(claude, model="gpt-5")

    assert simulator.ledger.calls == ()


@pytest.mark.parametrize("limit", [10, 2000])
def test_a_stream_says_and_costs_what_the_whole_answer_does(
    simulator: Simulator, claude: Anthropic, limit: int
) -> None:
    say(claude, max_tokens=limit)
    whole = say(claude, max_tokens=limit)
    with claude.messages.stream(
        model="deepseek-flash", max_tokens=limit, messages=[{"role": "user", "content": LONG_PROMPT}]
    ) as stream:
        final = stream.get_final_message()

    assert final.stop_reason == whole.stop_reason == ("max_tokens" if limit == 10 else "end_turn")
    assert [block.to_dict() for block in final.content] == [
        {**block.to_dict(), **({"signature": final.id} if block.type == "thinking" else {})} for block in whole.content
    ]
    assert final.usage.to_dict() == whole.usage.to_dict()
    _, second, third = (paid.bill for paid in simulator.ledger.calls)
    assert (second.cost, second.usage) == (third.cost, third.usage)


def test_the_events_come_in_anthropics_order_with_a_ping(http: httpx2.Client) -> None:
    events = named_events(http.post(PATH, json={**QUESTION, "max_tokens": 2000, "stream": True}).text)

    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    kinds = told_once([name for name, _ in events])
    assert kinds == ["message_start", "ping", *block, *block, "message_delta", "message_stop"]
    assert all(name == body["type"] for name, body in events)
    start, delta = events[0][1]["message"], events[-2][1]
    assert start["usage"] == {**start["usage"], "input_tokens": 4, "cache_read_input_tokens": 0, "output_tokens": 0}
    assert delta["usage"]["output_tokens"] > 100
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


@pytest.mark.parametrize("stream", [False, True])
def test_the_async_sdk_gets_the_same_answer(simulator: Simulator, claude: Anthropic, stream: bool) -> None:
    async def text_of() -> str:
        async with AsyncAnthropic(auth_token="sk-test", base_url=f"{simulator.base_url}/anthropic") as sdk:
            answer: Any = await sdk.messages.create(
                model="deepseek-flash", max_tokens=2000, messages=[{"role": "user", "content": "Hi"}], stream=stream
            )
            if not stream:
                return "".join(block.text for block in answer.content if block.type == "text")
            deltas = [event.delta async for event in answer if event.type == "content_block_delta"]
        return "".join(delta.text for delta in deltas if delta.type == "text_delta")

    assert asyncio.run(text_of()) == say(claude, "Hi").content[-1].text


def test_a_system_prompt_and_blocks_read_like_a_chat_and_share_its_cache(claude: Anthropic, client: OpenAI) -> None:
    ask(client, model="deepseek-flash")
    blocks = [{"type": "text", "text": LONG_PROMPT, "cache_control": {"type": "ephemeral"}}]

    assert say(claude, blocks).usage.cache_read_input_tokens == 448
    assert say(claude, system="Be brief.").usage.cache_read_input_tokens == 0
    marked = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert say(claude, system=marked).usage.cache_read_input_tokens == 448


def test_counting_tokens_costs_nothing(simulator: Simulator, claude: Anthropic) -> None:
    asked: Any = {"system": "Be brief.", "messages": [{"role": "user", "content": LONG_PROMPT}]}
    counted = claude.messages.count_tokens(model="claude-sonnet-4-6", **asked)
    assert simulator.ledger.calls == ()

    answer = claude.messages.create(model="claude-sonnet-4-6", max_tokens=10, **asked)
    assert counted.input_tokens == answer.usage.input_tokens == 501
    with pytest.raises(anthropic.BadRequestError, match="Model Not Exist"):
        claude.messages.count_tokens(model="gpt-5", **asked)


@pytest.mark.parametrize("path", [PATH, f"{PATH}/count_tokens"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": "sk-test"}, 200),
        ({"authorization": "Bearer sk-test"}, 200),
        ({"x-api-key": "sk-test", "authorization": "Bearer other"}, 200),
        ({"x-api-key": "test"}, 401),
        ({"x-api-key": "Bearer sk-test"}, 401),
        ({}, 401),
    ],
)
def test_the_key_comes_in_either_header(simulator: Simulator, path: str, headers: dict[str, str], status: int) -> None:
    answer = httpx2.post(simulator.base_url + path, json=QUESTION, headers=headers)

    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["type"] == "authentication_error"


def test_the_other_formats_take_the_key_as_a_bearer_only(simulator: Simulator) -> None:
    answer = httpx2.post(f"{simulator.base_url}/chat/completions", json=QUESTION, headers={"x-api-key": "sk-test"})

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"model": None}, "missing field `model`"),
        ({"messages": None}, "missing field `messages`"),
        ({"messages": []}, "Empty input messages"),
        ({"max_tokens": -1}, "Invalid max_tokens value"),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_by_name(
    http: httpx2.Client, changed: dict[str, object], named: str
) -> None:
    answer = http.post(PATH, json={**QUESTION, **changed})

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
