"""Handing an answer over, whole or piece by piece, and billing it whatever happens meanwhile."""

from __future__ import annotations

from abc import ABC, abstractmethod

from starlette.types import Receive, Scope, Send

from costmeter.simulator.calls import Call, Completion
from costmeter.simulator.client import Client
from costmeter.simulator.formats.format import Format
from costmeter.simulator.vendor import Vendor

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
EMPTY_LINE = b"\n"


class Delivery(ABC):
    """The answer to one call, as an ASGI application.

    The call is billed just before the client learns that the answer is complete. A
    client that leaves stops the answer, not the bill: the vendor has made the answer by then. The call is then billed
    in full at the instant at which the simulator notices.
    """

    def __init__(self, vendor: Vendor, call: Call, form: Format) -> None:
        self._vendor = vendor
        self._call = call
        self._format = form
        self._wait_time = vendor.wait

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        client = Client(receive, send)
        stayed = False
        try:
            stayed = await self._begin(client)
        finally:
            completion = self._complete(stayed)
        if stayed:
            await self._end(client, completion)

    @abstractmethod
    async def _begin(self, client: Client) -> bool:
        """All that comes before the answer is complete; False as soon as the client is gone."""

    @abstractmethod
    async def _end(self, client: Client, completion: Completion) -> None:
        """All that is left."""

    async def _wait(self, client: Client, seconds: float, sign_of_life: bytes) -> bool:
        """Waits, with a sign of life after each interval; False as soon as the client is gone."""
        interval = self._vendor.manners.keep_alive
        while seconds > interval:
            if not await client.stays(interval):
                return False
            await client.send(sign_of_life)
            seconds -= interval
        return seconds <= 0 or await client.stays(seconds)

    def _complete(self, stayed: bool) -> Completion:
        completed_at = self._vendor.complete(self._call, aborted=not stayed).bill.completed_at
        return Completion(completed_at, self._call.usage, self._vendor.manners.trailing_usage)


class WholeAnswer(Delivery):
    """One JSON body behind empty lines, which are sent one by one to a client that has to wait."""

    async def _begin(self, client: Client) -> bool:
        if not self._wait_time:
            return True
        await client.start(JSON)
        await client.send(EMPTY_LINE)
        return await self._wait(client, self._wait_time, EMPTY_LINE)

    async def _end(self, client: Client, completion: Completion) -> None:
        body = EMPTY_LINE * 2 + self._format.body(self._call, completion)
        if not self._wait_time:
            await client.start(JSON, len(body))
        await client.finish(body)


class AnswerStream(Delivery):
    """Server-sent events, chunk by chunk, with signs of life between them for a client that has to wait."""

    async def _begin(self, client: Client) -> bool:
        events = self._format.opening(self._call)
        await client.start(EVENTS)
        await client.send(self._format.greeting)
        stayed = await self._wait(client, self._wait_time, self._format.keep_alive)
        return stayed and await self._send_events(client, events)

    async def _send_events(self, client: Client, events: list[bytes]) -> bool:
        """Without a delay they go out at once, as fast as the client can take them."""
        delay = self._vendor.manners.chunk_delay
        if not delay:
            await client.send(b"".join(events))
            return True
        for event in events:
            await client.send(event)
            if not await self._wait(client, delay, self._format.keep_alive):
                return False
        return True

    async def _end(self, client: Client, completion: Completion) -> None:
        await client.finish(self._format.closing(self._call, completion))
