"""Whole answers, over the OpenAI SDK and over plain HTTP."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from costmeter.simulator import Simulator, SimulatorClock

from .asking import LONG_PROMPT, NOON, ask, usage_of

QUESTION = {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hello"}]}


def test_an_answer_has_the_usage_of_a_chat_model(client: OpenAI) -> None:
    answer = ask(client)
    usage = usage_of(answer)
    completion = usage["completion_tokens"]

    assert usage == {
        "prompt_tokens": 495,  # 1640 characters and the 8 of "<user>\n" and "\n", at 0.3
        "completion_tokens": completion,
        "total_tokens": 495 + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "prompt_cache_hit_tokens": 0,
        "prompt_cache_miss_tokens": 495,
    }
    assert 120 <= completion <= 500
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "deepseek-chat"
    assert answer.created == int(NOON.timestamp())
    assert uuid.UUID(answer.id).version == 4


def test_a_reasoner_counts_its_reasoning_inside_the_completion(client: OpenAI) -> None:
    answer = ask(client, model="deepseek-reasoner")
    usage, message = usage_of(answer), answer.choices[0].message.model_dump()

    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < reasoning < usage["completion_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert message["reasoning_content"]
    assert message["content"]


def test_the_same_prompt_gets_the_same_answer_under_another_id(client: OpenAI) -> None:
    first, second, other = ask(client), ask(client), ask(client, "Another question")

    assert first.choices[0].message.content == second.choices[0].message.content
    assert first.choices[0].message.content != other.choices[0].message.content
    assert first.id != second.id


@pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-reasoner"])
@pytest.mark.parametrize("limit", [1, 20, 100])
def test_max_tokens_cuts_the_answer_to_exactly_so_many(client: OpenAI, model: str, limit: int) -> None:
    answer = ask(client, model=model, max_tokens=limit)

    assert answer.usage is not None
    assert answer.usage.completion_tokens == limit
    assert answer.choices[0].finish_reason == "length"


def test_a_repeated_prefix_is_a_hit_in_whole_units_of_64(client: OpenAI) -> None:
    first, second = usage_of(ask(client)), usage_of(ask(client))
    longer = usage_of(ask(client, f"{LONG_PROMPT}And what did the hill answer?"))

    assert [usage["prompt_cache_hit_tokens"] for usage in (first, second, longer)] == [0, 448, 448]
    assert second["prompt_cache_miss_tokens"] == 495 - 448
    assert second["prompt_tokens_details"] == {"cached_tokens": 448}


def test_only_a_prefix_from_the_first_token_is_a_hit_and_not_a_short_one(client: OpenAI) -> None:
    ask(client)
    ask(client, "short")

    assert usage_of(ask(client, f"Now {LONG_PROMPT}"))["prompt_cache_hit_tokens"] == 0
    assert usage_of(ask(client, "short"))["prompt_cache_hit_tokens"] == 0


def test_two_keys_do_not_share_the_cache(simulator: Simulator, client: OpenAI) -> None:
    ask(client)
    with OpenAI(api_key="sk-other", base_url=simulator.base_url) as other:
        assert usage_of(ask(other))["prompt_cache_hit_tokens"] == 0

    fingerprints = {paid.bill.api_key for paid in simulator.ledger.calls}
    assert len(fingerprints) == 2
    assert not any("sk-" in fingerprint for fingerprint in fingerprints)


def test_the_async_sdk_gets_the_same_answer(simulator: Simulator, client: OpenAI) -> None:
    async def ask_async() -> str | None:
        async with AsyncOpenAI(api_key="sk-test", base_url=f"{simulator.base_url}/v1") as sdk:
            answer = await sdk.chat.completions.create(
                model="deepseek-chat", messages=[{"role": "user", "content": LONG_PROMPT}]
            )
        return answer.choices[0].message.content

    assert asyncio.run(ask_async()) == ask(client).choices[0].message.content


@pytest.mark.parametrize(("thinking", "thinks"), [(None, True), ("enabled", True), ("disabled", False)])
def test_a_model_of_2026_thinks_unless_told_not_to(
    clock: SimulatorClock, client: OpenAI, thinking: str | None, thinks: bool
) -> None:
    clock.set(datetime(2026, 11, 23, tzinfo=UTC))
    body = {"thinking": {"type": thinking}} if thinking else {}

    answer = ask(client, model="deepseek-flash", extra_body=body)

    assert ("completion_tokens_details" in usage_of(answer)) is thinks


def test_every_answer_has_the_date_of_the_simulator_and_a_trace_id(http: httpx2.Client) -> None:
    answers = [http.post("/chat/completions", json=QUESTION), http.get("/user/balance"), http.get("/nowhere")]

    assert {answer.headers["date"] for answer in answers} == {"Sat, 01 Mar 2025 12:00:00 GMT"}
    assert all(answer.headers.get_list("date") == [answer.headers["date"]] for answer in answers)
    assert len({answer.headers["x-ds-trace-id"] for answer in answers}) == 3
    assert not any("server" in answer.headers for answer in answers)


def test_a_whole_answer_comes_after_empty_lines(shared_http: httpx2.Client) -> None:
    answer = shared_http.post("/chat/completions", json=QUESTION)

    assert answer.text.startswith("\n\n{")
    assert answer.json()["object"] == "chat.completion"


def test_models_are_those_that_have_a_price_at_the_instant(clock: SimulatorClock, client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["deepseek-chat", "deepseek-reasoner"]

    clock.set(datetime(2026, 10, 1, tzinfo=UTC))

    assert [model.id for model in client.models.list()] == ["deepseek-flash", "deepseek-v4-flash", "deepseek-v4-pro"]


def test_a_model_without_a_price_does_not_exist(simulator: Simulator, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Model Not Exist"):
        ask(client, model="deepseek-flash")

    assert simulator.ledger.calls == ()


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/v1/chat/completions",
        "/beta/completions",
        "/responses",
        "/v1/responses",
        "/models",
        "/v1/models",
        "/user/balance",
    ],
)
@pytest.mark.parametrize("header", [None, "sk-test", "Bearer test", "Bearer sk-", "Basic sk-test"])
def test_a_call_without_a_good_key_is_refused(shared_simulator: Simulator, path: str, header: str | None) -> None:
    method = "GET" if path.endswith(("models", "balance")) else "POST"
    headers = {} if header is None else {"authorization": header}

    answer = httpx2.request(method, shared_simulator.base_url + path, headers=headers)

    assert answer.status_code == 401
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "authentication_error"
    assert error["message"].startswith("Authentication Fails")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "missing field `model`"),
        (b'{"model": 1, "messages": [{"role": "user", "content": "x"}]}', "model: invalid type"),
        (b'{"model": "deepseek-chat"}', "missing field `messages`"),
        (b'{"model": "deepseek-chat", "messages": []}', "Empty input messages"),
        (b'{"model": "deepseek-chat", "messages": ["x"]}', "messages: invalid type"),
        (b'{"model": "deepseek-chat", "messages": [{"content": "x"}]}', "missing field `role`"),
        (json.dumps({**QUESTION, "max_tokens": 0}).encode(), "Invalid max_tokens value"),
        (json.dumps({**QUESTION, "max_tokens": True}).encode(), "Invalid max_tokens value"),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_by_name(shared_http: httpx2.Client, body: bytes, named: str) -> None:
    answer = shared_http.post("/chat/completions", content=body)

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "invalid_request_error"


def test_every_kind_of_message_has_its_tokens(shared_http: httpx2.Client) -> None:
    call = {"id": "call_0", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Look \ud83d"}]},  # half of a surrogate pair
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0", "content": "天气很好"},
    ]
    body = {"model": "deepseek-chat", "messages": messages, "tools": [{"type": "function"}]}

    answer = shared_http.post("/chat/completions", content=json.dumps(body))

    assert answer.status_code == 200
    assert answer.json()["usage"]["prompt_tokens"] > 50


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/models/", 404), ("PUT", "/models", 405)]
)
def test_other_routes_are_not_there(shared_http: httpx2.Client, method: str, path: str, status: int) -> None:
    answer = shared_http.request(method, path)

    assert answer.status_code == status
    assert path in answer.json()["error"]["message"]
