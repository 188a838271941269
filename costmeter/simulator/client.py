"""The other end of one call."""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TRANSPORT = "transport"  # of the connection, in the state of each of its requests

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 seconds
_FLUSH = 0.005  # seconds between two looks at what is not written yet


class Protocol(HttpToolsProtocol):
    """Lets the application know the connection, which ASGI hides, so that it can be broken."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio types it wider than it is
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}


class Client:
    """What it is sent, whether it is still there, and how it is left."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._transport: asyncio.Transport = scope["state"][TRANSPORT]
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

    async def stays(self, seconds: float | None) -> bool:
        """Waits so long, or for ever; False as soon as the client is gone."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return True
        return False

    async def reset(self) -> None:
        """What was sent goes out, then the connection ends with a TCP RST."""
        while self._transport.get_write_buffer_size():
            if not await self.stays(_FLUSH):
                break
        if self._transport.is_closing():
            return  # the client was faster
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
        await self.stays(None)

    async def close(self) -> None:
        """What was sent goes out, then the connection ends in an orderly way."""
        self._transport.close()
        await self.stays(None)
