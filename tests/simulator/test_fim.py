"""FIM completions, over the OpenAI SDK and over plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from costmeter.simulator import Simulator

from .asking import LONG_PROMPT, cost_by_hand

PATH = "/beta/completions"
QUESTION = {"model": "deepseek-chat", "prompt": "def double(x):\n", "suffix": "    return y\n"}


@pytest.fixture
def client(simulator: Simulator) -> Iterator[OpenAI]:
    with OpenAI(api_key="sk-test", base_url=f"{simulator.base_url}/beta", max_retries=0) as sdk:
        yield sdk


def complete(client: OpenAI, prompt: str = LONG_PROMPT, **options: Any) -> Any:
    return client.completions.create(model="deepseek-chat", prompt=prompt, **options)


def test_an_answer_has_the_usage_of_a_chat_without_reasoning(simulator: Simulator, client: OpenAI) -> None:
    answer = complete(client, suffix="And the hill was silent.", max_tokens=100)

    assert answer.object == "text_completion"
    assert answer.usage.model_dump(exclude_unset=True) == {
        "prompt_tokens": 502,  # 1640 characters, "<suffix>\n" and 24 more, at 0.3
        "completion_tokens": 100,
        "total_tokens": 602,
        "prompt_tokens_details": {"cached_tokens": 0},
        "prompt_cache_hit_tokens": 0,
        "prompt_cache_miss_tokens": 502,
    }
    assert (answer.choices[0].finish_reason, answer.model) == ("length", "deepseek-chat")
    (paid,) = simulator.ledger.calls
    assert paid.bill.call_id == answer.id
    assert paid.as_json()["cost"] == str(cost_by_hand(answer.usage.model_dump()).normalize())


def test_the_beginning_is_what_the_cache_knows(client: OpenAI) -> None:
    complete(client, suffix="One end.")

    assert complete(client, suffix="Another end.").usage.prompt_cache_hit_tokens == 448
    assert complete(client, "Not so. " + LONG_PROMPT).usage.prompt_cache_hit_tokens == 0


def test_a_stream_says_and_costs_what_the_whole_answer_does(simulator: Simulator, client: OpenAI) -> None:
    complete(client)
    whole = complete(client)
    chunks = list(complete(client, stream=True))

    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[-1].usage.model_dump(exclude_unset=True) == whole.usage.model_dump(exclude_unset=True)
    _, second, third = (paid.bill for paid in simulator.ledger.calls)
    assert (second.cost, second.usage) == (third.cost, third.usage)


def test_the_usage_is_asked_for_as_in_a_chat(http: httpx2.Client) -> None:
    body = {**QUESTION, "stream": True, "stream_options": {"include_usage": True}}
    events = http.post(PATH, json=body).text.removesuffix("\n\n").split("\n\n")

    assert events[:2] == [": keep-alive", ": keep-alive"]
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[2:-1]]
    assert [chunk["usage"] is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]


@pytest.mark.parametrize("stream", [False, True])
def test_the_async_sdk_gets_the_same_answer(simulator: Simulator, client: OpenAI, stream: bool) -> None:
    async def ask() -> str:
        async with AsyncOpenAI(api_key="sk-test", base_url=f"{simulator.base_url}/beta") as sdk:
            answer: Any = await sdk.completions.create(model="deepseek-chat", prompt=LONG_PROMPT, stream=stream)
            chunks = [chunk async for chunk in answer] if stream else [answer]
        return "".join(chunk.choices[0].text for chunk in chunks)

    assert asyncio.run(ask()) == complete(client).choices[0].text


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"prompt": None}, "missing field `prompt`"),
        ({"prompt": ["a", "b"]}, "prompt: invalid type"),
        ({"suffix": 1}, "suffix: invalid type"),
        ({"max_tokens": 4097}, "the valid range of max_tokens is [1, 4096]"),
        ({"model": "deepseek-reasoner"}, "deepseek-reasoner does not support FIM completion"),
        ({"model": "deepseek-flash"}, "Model Not Exist"),
    ],
)
def test_what_fim_cannot_do_is_refused_by_name(
    shared_http: httpx2.Client, changed: dict[str, object], named: str
) -> None:
    answer = shared_http.post(PATH, json={**QUESTION, **changed})

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]


def test_a_longer_answer_than_4k_is_refused_to_the_sdk_too(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"max_tokens is \[1, 4096\]"):
        complete(client, max_tokens=10_000)
