"""What `wrap` takes over from a client, and what the two have to do with each other afterwards."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI

from costmeter.core.errors import InputError
from costmeter.recorder.attribution import attribute
from costmeter.recorder.client import wrap
from costmeter.recorder.transport import RecordingTransport

from .bodies import chat, chat_stream, json_body
from .conftest import Records, TestClock
from .replay import ReplayServer, json_reply, stream_reply

HELLO: Any = [{"role": "user", "content": "Hello"}]
CHAT = json_reply(json_body(chat()))
STREAM = stream_reply(chat_stream())
OVERLOADED = json_reply(b'{"error":{"message":"Busy","code":"overloaded"}}', 503, {"retry-after-ms": "1"})
MODEL = "deepseek-chat"


@pytest.fixture
def bare(server: ReplayServer) -> Iterator[OpenAI]:
    with OpenAI(api_key="sk-test", base_url=server.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def client(bare: OpenAI, records: Records) -> OpenAI:
    return wrap(bare, project="search", _spool=records.spool)


def ask(client: Any, **options: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=HELLO, **options)


def test_copies_stay_recorded(server: ReplayServer, client: OpenAI, records: Records) -> None:
    server.answer_with(CHAT)
    for copy in (client.with_options(timeout=5), client.copy(), client.with_options(max_retries=1).copy()):
        ask(copy)

    assert [record["project"] for record in records.all()] == ["search"] * 3


def test_wrapping_again_records_once_with_the_outer_attribution(
    server: ReplayServer, client: OpenAI, records: Records
) -> None:
    server.answer_with(CHAT)
    ask(wrap(client, user="u-1", project="other", tags={"a": "b"}))
    ask(client)

    twice, once = records.all()
    assert (twice["project"], twice["user"], twice["tags"]) == ("other", "u-1", {"a": "b"})
    assert (once["project"], once["user"], once["tags"]) == ("search", None, {})


def test_a_client_on_a_recording_transport_is_not_recorded_twice(server: ReplayServer, records: Records) -> None:
    server.answer_with(CHAT)
    transport = RecordingTransport(project="inner", _spool=records.spool)
    with OpenAI(
        api_key="sk-test", base_url=server.base_url, http_client=httpx2.Client(transport=transport)
    ) as original:
        ask(wrap(original, user="u-1"))

    assert (records.one()["project"], records.one()["user"]) == ("inner", "u-1")


def test_a_client_on_either_library_is_recorded(library: Any, server: ReplayServer, records: Records) -> None:
    """openai 3 takes clients of httpx as well, which older versions are built on."""
    with OpenAI(api_key="sk-test", base_url=server.base_url, http_client=library.Client()) as original:
        client = wrap(original, _spool=records.spool)
        server.answer_with(CHAT)
        assert ask(client) == ask(original)
        server.answer_with(STREAM)
        assert list(ask(client, stream=True)) == list(ask(original, stream=True))

    assert type(client._client) is library.Client
    assert [record["status"] for record in records.all()] == ["ok", "ok"]


def test_an_async_client_on_either_library_is_recorded(library: Any, server: ReplayServer, records: Records) -> None:
    async def both() -> None:
        http = library.AsyncClient()
        async with AsyncOpenAI(api_key="sk-test", base_url=server.base_url, http_client=http) as original:
            client = wrap(original, _spool=records.spool)
            server.answer_with(CHAT)
            assert await ask(client) == await ask(original)
            server.answer_with(STREAM)
            assert len([part async for part in await ask(client, stream=True)]) == 4

    asyncio.run(both())

    assert [record["status"] for record in records.all()] == ["ok", "ok"]


def test_the_original_is_untouched(server: ReplayServer, bare: OpenAI, records: Records) -> None:
    before = dict(vars(bare)), dict(vars(bare._client))
    server.answer_with(CHAT)
    client = wrap(bare, _spool=records.spool)
    ask(client)
    ask(bare)

    assert type(client) is OpenAI
    assert client is not bare
    after = {name: value for name, value in vars(bare._client).items() if name != "_state"}
    assert after == {name: value for name, value in before[1].items() if name != "_state"}
    assert bare._client is before[0]["_client"]
    assert len(records.all()) == 1


def test_the_connections_live_when_the_original_is_forgotten(server: ReplayServer, records: Records) -> None:
    server.answer_with(STREAM)
    client = wrap(OpenAI(api_key="sk-test", base_url=server.base_url), _spool=records.spool)
    stream = ask(client, stream=True)
    gc.collect()

    assert len(list(stream)) == 4
    client.close()
    assert client.is_closed()


def test_the_connections_of_the_original_live_when_the_copy_is_forgotten(
    server: ReplayServer, bare: OpenAI, records: Records
) -> None:
    server.answer_with(STREAM)
    stream = ask(bare, stream=True)
    next(stream)
    wrap(bare, _spool=records.spool)
    gc.collect()

    assert len(list(stream)) == 3
    assert not bare.is_closed()


def test_all_forgotten_clients_close_their_connections(server: ReplayServer, records: Records) -> None:
    """Left open, the sockets would be ResourceWarnings, which are errors here."""
    server.answer_with(CHAT)
    client = wrap(OpenAI(api_key="sk-test", base_url=server.base_url), _spool=records.spool)
    ask(client)
    del client
    gc.collect()

    assert records.one()["status"] == "ok"


def test_closing_the_copy_closes_the_original_as_a_copy_of_openai_does(server: ReplayServer, records: Records) -> None:
    original = OpenAI(api_key="sk-test", base_url=server.base_url)
    with wrap(original, _spool=records.spool) as client:
        server.answer_with(CHAT)
        ask(client)

    assert original.is_closed()


def test_settings_of_the_http_client_keep_working(server: ReplayServer, records: Records) -> None:
    seen: list[str] = []

    class Counting(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            seen.append("transport")
            return super().handle_request(request)

    class Own(httpx2.Client):
        def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            seen.append("send")
            return super().send(request, **options)

    http = Own(
        mounts={"http://127.0.0.1": Counting(), "https://": None},
        headers={"x-own": "1"},
        cookies={"c": "2"},
        timeout=7,
        event_hooks={"request": [lambda _: seen.append("hook")], "response": [lambda _: seen.append("answered")]},
    )
    original = OpenAI(
        api_key="sk-test", base_url=server.base_url, http_client=http, default_headers={"x-sdk": "3"}, max_retries=5
    )
    server.answer_with(CHAT)
    with wrap(original, _spool=records.spool) as client:
        ask(client, extra_headers={"x-call": "4"})

    assert seen == ["send", "hook", "transport", "answered"]
    headers = server.requests[0][1]
    assert (headers["x-own"], headers["x-sdk"], headers["x-call"], headers["cookie"]) == ("1", "3", "4", "c=2")
    assert (client.timeout, client.max_retries) == (original.timeout, 5)
    assert isinstance(client._client, Own)
    assert records.one()["status"] == "ok"


def test_a_proxy_keeps_working(server: ReplayServer, records: Records) -> None:
    server.answer_with(CHAT)
    http = httpx2.Client(proxy=server.base_url)
    with OpenAI(api_key="sk-test", base_url="http://nowhere.invalid", http_client=http) as original:
        ask(wrap(original, _spool=records.spool))

    assert server.requests[0][0] == "http://nowhere.invalid/chat/completions"
    assert records.one()["status"] == "ok"


def test_attribution_goes_over_the_wrap(server: ReplayServer, client: OpenAI, records: Records) -> None:
    server.answer_with(CHAT)
    with attribute(project="other", user="u-17", api_key="backend-prod", tags={"team": "a"}):
        ask(client)

    record = records.one()
    assert (record["project"], record["user"], record["api_key"]) == ("other", "u-17", "backend-prod")
    assert record["tags"] == {"team": "a"}


def test_no_prompt_answer_or_key_is_in_a_record(server: ReplayServer, client: OpenAI, records: Records) -> None:
    server.answer_with(CHAT)
    ask(client, user="prompt-user")

    written = json.dumps(records.one(), ensure_ascii=False)
    assert not [text for text in ("Hello", "Hi", "sk-test", "prompt-user") if text in written]


def test_the_clock_of_a_wrap_tells_the_instants(server: ReplayServer, bare: OpenAI, records: Records) -> None:
    server.answer_with(CHAT)
    ask(wrap(bare, _clock=TestClock(), _spool=records.spool))

    assert records.one()["completed_at"] == "2025-03-01T16:29:41.120000Z"


@pytest.mark.parametrize("client", [object(), None, "sk-test", httpx2.Client])
def test_what_is_no_client_is_refused_with_a_remedy(client: Any) -> None:
    with pytest.raises(InputError, match=r"pass an OpenAI, .* transport=costmeter.RecordingTransport\(\)"):
        wrap(client)


def test_an_account_that_cannot_be_is_refused(bare: OpenAI) -> None:
    with pytest.raises(InputError, match="account"):
        wrap(bare, account=" x ")
