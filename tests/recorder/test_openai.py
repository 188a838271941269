"""`wrap` and the real OpenAI SDK over a real socket."""

from __future__ import annotations

import asyncio
import gc
import gzip
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from costmeter.core.secrets import fingerprint
from costmeter.recorder.attribution import attribute
from costmeter.recorder.client import wrap

from . import bodies
from .bodies import USAGE, chat, chat_stream, json_body
from .conftest import Records
from .replay import ReplayServer, Reply, json_reply, stream_reply

HELLO: Any = [{"role": "user", "content": "Hello"}]
CHAT = json_reply(json_body(chat()))
STREAM = stream_reply(chat_stream())
OVERLOADED = json_reply(b'{"error":{"message":"Busy","code":"overloaded"}}', 503, {"retry-after-ms": "1"})
MODEL = "deepseek-chat"


class Answer(BaseModel):
    n: int


@pytest.fixture
def bare(server: ReplayServer) -> Iterator[OpenAI]:
    with OpenAI(api_key="sk-test", base_url=server.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def client(bare: OpenAI, records: Records) -> OpenAI:
    return wrap(bare, project="search", _spool=records.spool)


def ask(client: OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=HELLO, **options)


def test_an_answer_is_the_same_and_recorded(
    server: ReplayServer, bare: OpenAI, client: OpenAI, records: Records
) -> None:
    server.answer_with(CHAT)

    assert ask(client) == ask(bare)
    record = records.one()
    assert (record["status"], record["usage"], record["response_id"]) == ("ok", USAGE, "c-1")
    assert (record["project"], record["api_key"]) == ("search", fingerprint("sk-test"))
    assert server.requests[0] == server.requests[1]


def test_a_stream_is_the_same_and_recorded(
    server: ReplayServer, bare: OpenAI, client: OpenAI, records: Records
) -> None:
    server.answer_with(STREAM)

    assert list(ask(client, stream=True)) == list(ask(bare, stream=True))
    record = records.one()
    assert (record["status"], record["usage"], record["detail"]["stream"]) == ("ok", USAGE, True)


def test_recorded_bodies_give_the_same_answers_and_are_recorded(
    server: ReplayServer, bare: OpenAI, client: OpenAI, records: Records
) -> None:
    for name in (bodies.CHAT_JSON, "vercel-ai__deepseek-text.json"):
        server.answer_with(json_reply(bodies.recorded(name)))
        assert ask(client) == ask(bare)
    for name in (bodies.CHAT_STREAM, bodies.CHUNK_LINES):
        server.answer_with(stream_reply(bodies.recorded(name), size=1000))
        assert list(ask(client, stream=True)) == list(ask(bare, stream=True))
    server.answer_with(json_reply(bodies.recorded(bodies.RESPONSES_JSON)))
    assert client.responses.create(model=MODEL, input="Hi") == bare.responses.create(model=MODEL, input="Hi")
    server.answer_with(stream_reply(bodies.recorded(bodies.RESPONSES_STREAM), size=1000))
    with client.responses.create(model=MODEL, input="Hi", stream=True) as stream:
        assert len(list(stream)) > 10
    with client.responses.stream(model=MODEL, input="Hi") as events:
        assert events.get_final_response().usage is not None
    server.answer_with(json_reply(bodies.recorded(bodies.RESPONSES_JSON)))
    assert client.responses.parse(model=MODEL, input="Hi").usage is not None

    found = [(record["status"], record["model"], record["usage"].get("total_tokens")) for record in records.all()]
    assert (
        found
        == [
            ("ok", "deepseek-v4-flash", 679),
            ("ok", "deepseek-chat", 313),
            ("ok", "deepseek-reasoner", 218),
            ("ok", "deepseek-reasoner", 422),
        ]
        + [("ok", "deepseek-v4-flash", 105)] * 4
    )


def test_every_way_to_ask_is_recorded(server: ReplayServer, client: OpenAI, records: Records) -> None:
    server.answer_with(CHAT)
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert raw.parse().usage is not None
    with client.chat.completions.with_streaming_response.create(model=MODEL, messages=HELLO) as streamed:
        assert b"".join(streamed.iter_bytes()) == json_body(chat())
    message = {"role": "assistant", "content": '{"n": 7}'}
    parsed = chat(choices=[{"index": 0, "message": message, "finish_reason": "stop"}])
    server.answer_with(json_reply(json_body(parsed)))
    answer = client.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Answer)
    assert answer.choices[0].message.parsed == Answer(n=7)
    fim = {"id": "f-1", "object": "text_completion", "created": 1, "model": MODEL, "choices": [], "usage": USAGE}
    server.answer_with(json_reply(json_body(fim)))
    client.completions.create(model=MODEL, prompt="def", suffix="return")
    server.answer_with(STREAM)
    with client.chat.completions.stream(model=MODEL, messages=HELLO) as events:
        assert len(list(events)) > 3

    assert [(record["status"], record["response_id"]) for record in records.all()] == [
        ("ok", "c-1"),
        ("ok", "c-1"),
        ("ok", "c-1"),
        ("ok", "f-1"),
        ("ok", "c-1"),
    ]


def test_the_bytes_and_their_chunks_are_the_same(server: ReplayServer, bare: OpenAI, client: OpenAI) -> None:
    server.answer_with(stream_reply(gzip.compress(chat_stream()), size=30, **{"content-encoding": "gzip"}))

    def see(asked: OpenAI) -> tuple[Any, ...]:
        create = asked.chat.completions.with_streaming_response.create
        with create(model=MODEL, messages=HELLO, stream=True) as response:
            raw = list(response.http_response.iter_raw())
            return raw, response.headers.multi_items(), response.http_response.http_version

    assert see(client) == see(bare)


@pytest.mark.parametrize(
    ("reply", "error", "status", "code"),
    [
        (json_reply(bodies.INSUFFICIENT, 402), openai.APIStatusError, 402, "invalid_request"),
        (
            json_reply(b'{"error":{"type":"authentication_error"}}', 401),
            openai.AuthenticationError,
            401,
            "authentication_error",
        ),
        (json_reply(b"not json", 422), openai.UnprocessableEntityError, 422, None),
        (OVERLOADED, openai.InternalServerError, 503, "overloaded"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_is_the_same_and_recorded_as_failed(
    reply: Reply, error: type[openai.APIStatusError], status: int, code: str, stream: bool,
    server: ReplayServer, bare: OpenAI, client: OpenAI, records: Records,
) -> None:  # fmt: skip
    server.answer_with(reply)
    raised: list[openai.APIStatusError] = []
    for asked in (client, bare):
        with pytest.raises(error) as caught:
            ask(asked, stream=stream)
        raised.append(caught.value)

    assert str(raised[0]) == str(raised[1])
    assert raised[0].body == raised[1].body
    record = records.one()
    assert (record["status"], record["http_status"], record["error_code"]) == ("failed", status, code)


def test_retries_are_calls_of_one_operation(server: ReplayServer, client: OpenAI, records: Records) -> None:
    patient = client.with_options(max_retries=3)
    server.answer_with(OVERLOADED, Reply(ending="gone", is_silent=True), CHAT, CHAT)
    ask(patient)
    ask(patient)

    found = records.all()
    assert [record["status"] for record in found] == ["failed", "unmetered", "ok", "ok"]
    assert found[0]["operation_id"] == found[0]["event_id"]
    assert {record["operation_id"] for record in found[:3]} == {found[0]["event_id"]}
    assert found[3]["operation_id"] == found[3]["event_id"]
    assert len({record["event_id"] for record in found}) == 4


def test_retries_in_two_tasks_are_two_operations(server: ReplayServer, records: Records) -> None:
    server.answer_with(OVERLOADED, OVERLOADED, CHAT, CHAT)

    async def both() -> None:
        async with AsyncOpenAI(api_key="sk-test", base_url=server.base_url, max_retries=3) as original:
            client = wrap(original, _spool=records.spool)
            one, two = (client.chat.completions.create(model=MODEL, messages=HELLO) for _ in "ab")
            await asyncio.gather(one, two)

    asyncio.run(both())

    found = records.all()
    measured = [record["operation_id"] for record in found if record["status"] == "ok"]
    assert len(found) == 4
    assert {record["operation_id"] for record in found} == set(measured)
    assert len(set(measured)) == 2


def test_a_stream_left_early_is_unmetered(server: ReplayServer, client: OpenAI, records: Records) -> None:
    server.answer_with(STREAM)
    with ask(client, stream=True) as stream:
        next(stream)

    assert records.one()["reason"] == "closed early by the caller"


def test_a_stream_that_is_forgotten_is_unmetered(server: ReplayServer, records: Records) -> None:
    server.answer_with(STREAM)
    with OpenAI(api_key="sk-test", base_url=server.base_url) as original:
        stream = ask(wrap(original, _spool=records.spool), stream=True)
        next(stream)
        del stream
        gc.collect()

        assert records.one()["reason"] == "closed early by the caller"


def test_an_error_inside_a_stream_is_why_there_is_no_usage(
    server: ReplayServer, client: OpenAI, records: Records
) -> None:
    server.answer_with(stream_reply(b'data: {"error":{"message":"Busy","code":"overloaded"}}\n\ndata: [DONE]\n\n'))
    with pytest.raises(openai.APIError, match="Busy"):
        list(ask(client, stream=True))

    record = records.one()
    assert (record["status"], record["reason"], record["error_code"]) == (
        "unmetered",
        "error in the body",
        "overloaded",
    )


def test_the_async_client_is_recorded(server: ReplayServer, records: Records) -> None:
    async def both(original: AsyncOpenAI) -> None:
        client = wrap(original, project="search", _spool=records.spool)
        create = client.chat.completions.create
        with attribute(user="u-1"):
            server.answer_with(CHAT)
            whole, same = [
                await asked.chat.completions.create(model=MODEL, messages=HELLO) for asked in (client, original)
            ]
            assert whole == same
            server.answer_with(STREAM)
            assert len([part async for part in await create(model=MODEL, messages=HELLO, stream=True)]) == 4
            assert records.spool.flush(10)
        async with client.chat.completions.with_streaming_response.create(model=MODEL, messages=HELLO) as response:
            async for _ in response.iter_lines():
                break
        async for _ in await create(model=MODEL, messages=HELLO, stream=True):
            break
        await client.close()

    asyncio.run(both(AsyncOpenAI(api_key="sk-test", base_url=server.base_url)))
    gc.collect()

    found = [(record["status"], record["user"], record["project"]) for record in records.all()]
    ok, left = ("ok", "u-1", "search"), ("unmetered", None, "search")
    assert found == [ok, ok, left, left]
