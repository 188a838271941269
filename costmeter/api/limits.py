"""What a request may take: bytes and seconds of its body, and how many requests there are at once."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from costmeter.api.problems import problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY = 16 << 20  # bytes of a body as it is sent
UNPACKED = 64 << 20  # bytes of a body that was gzip
SECONDS = 30.0  # until the next part of a body must have come
AT_ONCE = 400  # requests that are being answered, or wait to be
UNCOUNTED = ("/live",)  # streams of the pages, which have a bound of their own


class Limits:
    """An ASGI app that another one is behind: bodies too large or too slow are refused, and so are too many at once.

    FastAPI's own limit of a body's size answers in plain text, which is no problem document.
    """

    def __init__(self, app: App, body: int = BODY, seconds: float = SECONDS, at_once: int = AT_ONCE) -> None:
        self._app, self._body, self._seconds, self._at_once = app, body, seconds, at_once
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNCOUNTED:
            await self._app(scope, receive, send)
            return
        if self._now >= self._at_once and scope["path"] not in ("/healthz", "/readyz", "/metrics"):
            refused = problem("overloaded", f"{self._now} requests are being answered")
            await refused(scope, receive, send)
            return
        self._now += 1
        try:
            await self._app(scope, self._bounded(scope, receive), send)
        finally:
            self._now -= 1

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        is_large = said.isdigit() and int(said[:20]) > self._body
        came, ended = 0, False

        async def bounded() -> Message:
            nonlocal came, ended
            if is_large:
                raise self._too_large()
            if ended:  # what comes now is only that the client has gone
                return await receive()
            try:
                async with asyncio.timeout(self._seconds):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"nothing of the body came for {self._seconds:g} s") from None
            came += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if came > self._body:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"a body has at most {self._body:,} bytes; send it in parts")


async def read_body(request: Request) -> bytes:
    """The body of a request, unpacked where it is gzip; never more than UNPACKED bytes."""
    try:
        body = await request.body()
    except ClientDisconnect:
        raise HTTPException(400, "the client left before its body had come; nothing was kept") from None
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return body
    if encoding != "gzip":
        raise HTTPException(415, f"Content-Encoding {encoding[:40]!r}: use gzip, or none", {"Accept-Encoding": "gzip"})
    return unpack(body)


def unpack(body: bytes, most: int = UNPACKED) -> bytes:
    """What a gzip body holds; one that would be larger is not unpacked further."""
    unpacked, rest = bytearray(), body
    try:
        while rest:
            stream = zlib.decompressobj(wbits=31)
            unpacked += stream.decompress(rest, most + 1 - len(unpacked))
            if len(unpacked) > most:
                raise HTTPException(413, f"the body unpacks to more than {most:,} bytes; send it in parts")
            if not stream.eof:
                raise HTTPException(400, "Content-Encoding gzip: the body ends in the middle")
            rest = stream.unused_data
    except zlib.error:
        raise HTTPException(400, "Content-Encoding gzip: the body is no gzip") from None
    return bytes(unpacked)
