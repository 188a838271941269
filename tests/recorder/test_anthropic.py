"""`wrap` and the real Anthropic SDK, pointed at DeepSeek's /anthropic, over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AnthropicFoundry, AsyncAnthropic
from pydantic import BaseModel

from costmeter.core.secrets import fingerprint
from costmeter.core.usage import read_usage
from costmeter.recorder.attribution import attribute
from costmeter.recorder.client import wrap

from .bodies import event
from .conftest import Records
from .replay import ReplayServer, Reply, json_reply, stream_reply

HELLO: Any = [{"role": "user", "content": "Hello"}]
MODEL = "deepseek-flash"
INPUT = {"input_tokens": 8, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2}
COUNTS = (2, 8, 5)  # cache hit, cache miss, output
OVERLOADED = json_reply(
    b'{"type":"error","error":{"type":"overloaded_error","message":"Busy"}}', 529, {"retry-after-ms": "1"}
)


def message(**fields: Any) -> dict[str, Any]:
    head = {"id": "m-1", "type": "message", "role": "assistant", "model": MODEL, "stop_reason": "end_turn"}
    content = [{"type": "text", "text": '{"n": 7}'}]
    return {**head, "stop_sequence": None, "content": content, "usage": {**INPUT, "output_tokens": 5}, **fields}


def message_stream() -> bytes:
    """The events of a whole message: counts of the input at its start, of the output at its end."""
    start = message(content=[], stop_reason=None, usage={**INPUT, "output_tokens": 1})
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    return b"".join(event(payload, payload["type"]) for payload in events)


WHOLE = json_reply(json.dumps(message()).encode())
STREAM = stream_reply(message_stream(), size=40)


class Answer(BaseModel):
    n: int


@pytest.fixture
def original(server: ReplayServer) -> Iterator[Anthropic]:
    with Anthropic(api_key="sk-test", base_url=f"{server.base_url}/anthropic", max_retries=0) as client:
        yield client


@pytest.fixture
def client(original: Anthropic, records: Records) -> Anthropic:
    return wrap(original, project="search", _spool=records.spool)


def ask(client: Any, **options: Any) -> Any:
    return client.messages.create(model=MODEL, max_tokens=9, messages=HELLO, **options)


def measured(records: Records) -> list[tuple[int, ...]]:
    """What each record counts, as whoever prices it will read it."""
    return [read_usage(record["usage"])[:3] for record in records.all()]


def test_an_answer_is_the_same_and_recorded(
    server: ReplayServer, original: Anthropic, client: Anthropic, records: Records
) -> None:
    server.answer_with(WHOLE)

    assert ask(client) == ask(original)
    record = records.one()
    assert (record["status"], record["model"], record["response_id"]) == ("ok", MODEL, "m-1")
    assert (record["project"], record["api_key"]) == ("search", fingerprint("sk-test"))
    assert measured(records) == [COUNTS]
    assert server.requests[0] == server.requests[1]
    assert server.requests[0][0] == "/anthropic/v1/messages"


def test_a_stream_is_the_same_and_recorded(
    server: ReplayServer, original: Anthropic, client: Anthropic, records: Records
) -> None:
    server.answer_with(STREAM)

    assert list(ask(client, stream=True)) == list(ask(original, stream=True))
    assert records.one()["detail"]["stream"]
    assert measured(records) == [COUNTS]


def test_every_way_to_ask_is_recorded(server: ReplayServer, client: Anthropic, records: Records) -> None:
    asked: Any = {"model": MODEL, "max_tokens": 9, "messages": HELLO}
    server.answer_with(WHOLE)
    assert client.messages.with_raw_response.create(**asked).parse().usage.output_tokens == 5
    with client.messages.with_streaming_response.create(**asked) as streamed:
        assert b"".join(streamed.iter_bytes()) == json.dumps(message()).encode()
    assert client.messages.parse(output_format=Answer, **asked).parsed_output == Answer(n=7)
    client.beta.messages.create(**asked)
    client.with_options(timeout=5).messages.create(**asked)
    client.copy(max_retries=1).messages.create(**asked)
    server.answer_with(STREAM)
    with client.messages.stream(**asked) as events:
        assert events.get_final_message().usage.output_tokens == 5

    assert measured(records) == [COUNTS] * 7
    assert {record["project"] for record in records.all()} == {"search"}


def test_counting_tokens_is_no_call(server: ReplayServer, client: Anthropic, records: Records) -> None:
    server.answer_with(json_reply(b'{"input_tokens":8}'))
    client.messages.count_tokens(model=MODEL, messages=HELLO)

    assert records.all() == []


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_is_the_same_and_recorded_as_failed(
    stream: bool, server: ReplayServer, original: Anthropic, client: Anthropic, records: Records
) -> None:
    server.answer_with(OVERLOADED)
    raised: list[anthropic.APIStatusError] = []
    for asked in (client, original):
        with pytest.raises(anthropic.APIStatusError) as caught:
            ask(asked, stream=stream)
        raised.append(caught.value)

    assert str(raised[0]) == str(raised[1])
    assert raised[0].body == raised[1].body
    record = records.one()
    assert (record["status"], record["http_status"], record["error_code"]) == ("failed", 529, "overloaded_error")


def test_retries_are_calls_of_one_operation(server: ReplayServer, client: Anthropic, records: Records) -> None:
    server.answer_with(OVERLOADED, Reply(ending="gone", is_silent=True), WHOLE)
    ask(client.with_options(max_retries=3))

    found = records.all()
    assert [record["status"] for record in found] == ["failed", "unmetered", "ok"]
    assert {record["operation_id"] for record in found} == {found[0]["event_id"]}


def test_headers_attribute_a_call_and_do_not_leave(server: ReplayServer, client: Anthropic, records: Records) -> None:
    server.answer_with(WHOLE)
    ask(client, extra_headers={"x-costmeter-user": "u-1", "x-costmeter-tags": "team=a"})

    assert (records.one()["user"], records.one()["tags"]) == ("u-1", {"team": "a"})
    assert "costmeter" not in str(server.requests)


def test_the_async_client_is_recorded(server: ReplayServer, records: Records) -> None:
    async def both(original: AsyncAnthropic) -> None:
        client = wrap(original, project="search", _spool=records.spool)
        with attribute(user="u-1"):
            server.answer_with(WHOLE)
            assert await ask(client) == await ask(original)
            server.answer_with(STREAM)
            assert len([part async for part in await ask(client, stream=True)]) == 6  # the SDK keeps pings to itself
        async with client.messages.stream(model=MODEL, max_tokens=9, messages=HELLO) as events:
            async for _ in events.text_stream:
                break
        await client.close()

    asyncio.run(both(AsyncAnthropic(auth_token="sk-test", base_url=f"{server.base_url}/anthropic")))

    found = [(record["status"], record["user"], record["api_key"]) for record in records.all()]
    key = fingerprint("sk-test")
    assert found == [("ok", "u-1", key), ("ok", "u-1", key), ("unmetered", None, key)]


def test_a_client_of_a_cloud_is_recorded(server: ReplayServer, records: Records) -> None:
    server.answer_with(WHOLE)
    with AnthropicFoundry(api_key="sk-test", base_url=f"{server.base_url}/anthropic") as original:
        client = wrap(original, _spool=records.spool)
        ask(client)

    assert type(client) is AnthropicFoundry
    assert measured(records) == [COUNTS]
