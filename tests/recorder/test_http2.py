"""HTTP/2 with prior knowledge, from both libraries to a real server that speaks it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from costmeter.recorder.transport import AsyncRecordingTransport, RecordingTransport

from .bodies import USAGE, chat, json_body
from .callers import OWN, see, see_async
from .conftest import Records
from .replies import ASKED, STREAM

PATHS = {"/chat/completions": [STREAM[:300], STREAM[300:]], "/v1/chat/completions": [json_body(chat())]}


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answers with a stream or a whole body, by the path; what it was sent must not say whose call it is."""
    if scope["type"] == "lifespan":
        return
    while (await receive()).get("more_body"):
        pass
    status = 400 if any(b"costmeter" in name for name, _ in scope["headers"]) else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/event-stream")]})
    for chunk in PATHS[scope["path"]]:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]  # the server closes it
    config.include_date_header = False  # two answers are to be the same
    config.loglevel = "ERROR"
    running = threading.Thread(
        target=loop.run_until_complete, args=(serve(answer, config, shutdown_trigger=stopped.wait),)
    )
    running.start()
    yield address
    loop.call_soon_threadsafe(stopped.set)
    running.join()
    loop.close()


def test_the_caller_sees_no_difference(library: Any, url: str, records: Records) -> None:
    transport = RecordingTransport(library.HTTPTransport(http1=False, http2=True), _spool=records.spool)
    with (
        library.Client(transport=transport, base_url=url) as recorded,
        library.Client(http1=False, http2=True, base_url=url) as bare,
    ):
        seen = see(recorded)
        assert seen == see(bare)
        assert "HTTP/2" in seen
        with_headers = see(recorded, headers=OWN)
        assert 200 in with_headers
        response = recorded.post("/v1/chat/completions", json=ASKED)
        assert (response.http_version, response.json()) == ("HTTP/2", chat())

    assert [(record["usage"], record["project"]) for record in records.all()] == [
        (USAGE, None),
        (USAGE, "search"),
        (USAGE, None),
    ]


def test_calls_that_share_a_connection_are_recorded_each(library: Any, url: str, records: Records) -> None:
    async def ask() -> None:
        transport = AsyncRecordingTransport(library.AsyncHTTPTransport(http1=False, http2=True), _spool=records.spool)
        async with (
            library.AsyncClient(transport=transport, base_url=url) as recorded,
            library.AsyncClient(http1=False, http2=True, base_url=url) as bare,
        ):
            assert await see_async(recorded) == await see_async(bare)
            await asyncio.gather(*(see_async(recorded) for _ in range(5)))
            async with recorded.stream("POST", "/chat/completions", json=ASKED):
                pass

    asyncio.run(ask())

    assert [record["status"] for record in records.all()][:6] == ["ok"] * 6
    assert records.all()[6]["reason"] == "closed early by the caller"
