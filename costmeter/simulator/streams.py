"""Sending an answer piece by piece, and billing it whatever the client does meanwhile."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from costmeter.simulator.vendor import Call, Vendor
from costmeter.simulator.wire import closing_events, opening_events


class AnswerStream(Response):
    """Server-sent events. The call is billed just before the chunk that says that it is complete.

    A client that leaves stops the stream, not the bill: the vendor has the answer made by then. The call is then
    billed in full at the instant at which the simulator notices.
    """

    media_type = "text/event-stream"

    def __init__(self, vendor: Vendor, call: Call) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._vendor = vendor
        self._call = call

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_client_is_gone(receive))
        arrived = False
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            arrived = await self._send_opening(gone, send)
        finally:
            gone.cancel()
            self._vendor.complete(self._call, aborted=not arrived)
        await send({"type": "http.response.body", "body": closing_events(self._call), "more_body": False})

    async def _send_opening(self, gone: asyncio.Task[None], send: Send) -> bool:
        """False as soon as the client is gone."""
        for event in opening_events(self._call):
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await self._pause(gone)
            if gone.done():
                return False
        return True

    async def _pause(self, gone: asyncio.Task[None]) -> None:
        """The delay between chunks, or the one turn of the loop that it takes to see that a client left."""
        if self._vendor.chunk_delay:
            await asyncio.wait([gone], timeout=self._vendor.chunk_delay)
        else:
            await asyncio.sleep(0)


async def _client_is_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
