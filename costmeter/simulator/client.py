"""The other end of one call."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Send


class Client:
    """What it is sent, and whether it is still there."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def start(self, media_type: bytes, length: int | None = None) -> None:
        """The head; without a length the body comes in chunks of HTTP."""
        headers = [(b"content-type", media_type)]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(self, body: bytes) -> None:
        """A part of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self, body: bytes) -> None:
        """The last part of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def stays(self, seconds: float) -> bool:
        """Waits so long; False as soon as the client is gone."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return True
        return False
