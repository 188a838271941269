"""Calls through a real HTTP proxy, over which the recorder stands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from costmeter.recorder.client import wrap
from costmeter.recorder.transport import AsyncRecordingTransport, RecordingTransport

from .bodies import USAGE, chat
from .callers import OWN, see, see_async
from .conftest import Records
from .proxy import ForwardingProxy
from .replay import ReplayServer
from .replies import ASKED, REPLIES


@pytest.fixture(scope="module")
def proxy() -> Iterator[ForwardingProxy]:
    with ForwardingProxy() as running:
        yield running


@pytest.fixture(autouse=True)
def _forgetful(proxy: ForwardingProxy) -> None:
    proxy.forwarded.clear()


@pytest.mark.parametrize("name", ["json", "stream", "402", "truncated stream"])
def test_the_caller_sees_no_difference(
    name: str, library: Any, server: ReplayServer, proxy: ForwardingProxy, records: Records
) -> None:
    server.answer_with(REPLIES[name])
    transport = RecordingTransport(library.HTTPTransport(proxy=proxy.url), _spool=records.spool)
    with (
        library.Client(mounts={"http://": transport}, base_url=server.base_url) as recorded,
        library.Client(proxy=proxy.url, base_url=server.base_url) as bare,
    ):
        assert see(recorded) == see(bare)
        assert see(recorded, headers=OWN) == see(bare, headers=OWN)

    assert [record["project"] for record in records.all()] == [None, "search"]
    assert proxy.forwarded == [b"/chat/completions"] * 4
    assert ["x-costmeter-project" in headers for _, headers, _ in server.requests] == [False, False, False, True]


def test_the_async_caller_sees_no_difference(
    library: Any, server: ReplayServer, proxy: ForwardingProxy, records: Records
) -> None:
    server.answer_with(REPLIES["stream"])

    async def both() -> None:
        transport = AsyncRecordingTransport(library.AsyncHTTPTransport(proxy=proxy.url), _spool=records.spool)
        async with (
            library.AsyncClient(transport=transport, base_url=server.base_url) as recorded,
            library.AsyncClient(proxy=proxy.url, base_url=server.base_url) as bare,
        ):
            assert await see_async(recorded) == await see_async(bare)

    asyncio.run(both())

    assert records.one()["usage"] == USAGE
    assert proxy.forwarded == [b"/chat/completions"] * 2


def test_a_wrapped_client_keeps_its_proxy(
    library: Any, server: ReplayServer, proxy: ForwardingProxy, records: Records
) -> None:
    server.answer_with(REPLIES["json"])
    http = library.Client(proxy=proxy.url)
    with OpenAI(api_key="sk-test", base_url=server.base_url, http_client=http) as original:
        answer = wrap(original, _spool=records.spool).chat.completions.create(**ASKED)  # type: ignore[call-overload]

    assert answer.id == chat()["id"]
    assert records.one()["usage"] == USAGE
    assert proxy.forwarded == [b"/chat/completions"]


def test_a_proxy_that_refuses_is_a_call_that_was_never_sent(
    library: Any, proxy: ForwardingProxy, records: Records
) -> None:
    transport = RecordingTransport(library.HTTPTransport(proxy=proxy.url), _spool=records.spool)
    with library.Client(transport=transport) as client, pytest.raises(library.ProxyError, match="403 Forbidden"):
        client.post("https://nowhere.invalid/chat/completions", json=ASKED)

    assert (records.one()["status"], records.one()["error_code"]) == ("failed", "ProxyError")
