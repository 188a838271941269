"""Proxies that pass everything on and meter nothing: one application over each client, on each server.

    python -m benchmarks.gateway.passing SERVER LOOP CLIENT PORT UPSTREAM

serves one of them. What they differ in is only what is compared: the gateway's server and client are chosen by them.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

Pairs = list[tuple[bytes, bytes]]

FOR_THIS_HOP = {b"host", b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"te", b"upgrade"}
UNWATCHED = "-unwatched"  # behind the name of a client: no task waits for the caller to leave
UPSTREAM = "BENCHMARK_UPSTREAM"


class Answer(NamedTuple):
    """An upstream's answer whose body is still to come; who closes the chunks lets its connection go."""

    status: int
    headers: Pairs
    chunks: AsyncGenerator[bytes]


Ask = Callable[[str, str, Pairs, bytes], Awaitable[Answer]]


def with_aiohttp() -> Ask:
    import aiohttp

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
    )

    async def chunks(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        try:
            while chunk := await answer.content.readany():
                yield chunk
        finally:
            answer.close()  # nothing, where it came to its end

    async def ask(method: str, url: str, headers: Pairs, body: bytes) -> Answer:
        texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        answer = await session.request(method, url, headers=texts, data=body or None, allow_redirects=False)
        return Answer(answer.status, list(answer.raw_headers), chunks(answer))

    return ask


def with_httpx(library: Any) -> Ask:
    """Of httpx, or of httpx2, which is httpx carried on."""
    limits = library.Limits(max_connections=None, max_keepalive_connections=None)
    client = library.AsyncClient(limits=limits, timeout=None, trust_env=False)

    async def chunks(answer: Any) -> AsyncGenerator[bytes]:
        try:
            async for chunk in answer.aiter_raw():
                yield chunk
        finally:
            await answer.aclose()

    async def ask(method: str, url: str, headers: Pairs, body: bytes) -> Answer:
        answer = await client.send(client.build_request(method, url, headers=headers, content=body), stream=True)
        return Answer(answer.status_code, answer.headers.raw, chunks(answer))

    return ask


def open_client(name: str) -> Ask:
    return with_aiohttp() if name == "aiohttp" else with_httpx(importlib.import_module(name))


def application(client: str, upstream: str) -> Any:
    """The proxy as a bare ASGI application."""
    ask_once = cache(lambda: open_client(client.removesuffix(UNWATCHED)))  # once there is a loop

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = [pair for pair in scope["headers"] if pair[0] not in FOR_THIS_HOP]
        answer = await ask_once()(scope["method"], upstream + scope["path"], headers, body)
        passing = _pass_on(answer, send)
        await (passing if client.endswith(UNWATCHED) else _until_gone(receive, passing))

    return app


async def _pass_on(answer: Answer, send: Any) -> None:
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": kept(answer.headers)})
        async for chunk in answer.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await answer.chunks.aclose()


async def _until_gone(receive: Any, passing: Awaitable[None]) -> None:
    """Passes on until the caller leaves: a task that waits for that, for each request."""
    task = asyncio.current_task()
    assert task is not None
    watch = asyncio.create_task(_cancel_once_gone(receive, task))
    with suppress(asyncio.CancelledError):
        await passing
    watch.cancel()


async def _cancel_once_gone(receive: Any, task: asyncio.Task[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


def kept(headers: Pairs) -> Pairs:
    """What of an answer's head goes on; a length does, since the body is passed on as it is."""
    lowered = [(name.lower(), value) for name, value in headers]
    return [pair for pair in lowered if pair[0] == b"content-length" or pair[0] not in FOR_THIS_HOP]


def serve_uvicorn(loop: str, client: str, port: int, upstream: str) -> None:
    import uvicorn

    uvicorn.run(
        application(client, upstream), port=port, loop=loop, http="httptools", lifespan="off",
        log_config=None, access_log=False, server_header=False, date_header=False,
    )  # fmt: skip


def serve_granian(loop: str, client: str, port: int, upstream: str) -> None:
    from granian import Granian

    os.environ[UPSTREAM] = f"{client} {upstream}"
    Granian(
        "benchmarks.gateway.passing:application_of_environment", port=port, loop=loop, interface="asgi", factory=True,
        log_enabled=False, websockets=False,
    ).serve()  # fmt: skip


def application_of_environment() -> Any:
    """What granian's worker process makes for itself."""
    return application(*os.environ[UPSTREAM].split())


def serve_aiohttp(loop: str, client: str, port: int, upstream: str) -> None:
    from aiohttp import web

    ask_once = cache(lambda: open_client(client))

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = [pair for pair in request.raw_headers if pair[0].lower() not in FOR_THIS_HOP]
        answer = await ask_once()(request.method, upstream + request.path, headers, await request.read())
        response = web.StreamResponse(status=answer.status)
        for name, value in kept(answer.headers):
            response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
        await response.prepare(request)
        try:
            async for chunk in answer.chunks:
                await response.write(chunk)
            await response.write_eof()
        finally:
            await answer.chunks.aclose()
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    with suppress(KeyboardInterrupt):
        web.run_app(
            app, host="127.0.0.1", port=port, access_log=None, print=None, handler_cancellation=True,
            loop=_new_loop(loop),
        )  # fmt: skip


def _new_loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "asyncio":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


SERVERS = {"uvicorn": serve_uvicorn, "granian": serve_granian, "aiohttp": serve_aiohttp}

if __name__ == "__main__":
    server, loop, client, port, upstream = sys.argv[1:]
    SERVERS[server](loop, client, int(port), upstream)
