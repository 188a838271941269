"""Handing an answer over, whole or piece by piece, and billing it whatever happens meanwhile."""

from __future__ import annotations

from abc import ABC, abstractmethod

from starlette.types import Receive, Scope, Send

from costmeter.simulator.calls import Call, Completion
from costmeter.simulator.client import Client
from costmeter.simulator.faults import GARBAGE, NO_USAGE, STALL, TRUNCATE, WHOLE, Fault
from costmeter.simulator.formats.format import Format
from costmeter.simulator.vendor import Vendor

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
EMPTY_LINE = b"\n"
# No text in UTF-8, and no JSON for those who overlook that: wherever it stands, a string ends or begins in front of
# a control character.
NOISE = b'\xff\xfe"\x00\x9d{<\xc3('


class Delivery(ABC):
    """The answer to one call, as an ASGI application.

    The call is billed just before the client learns that the answer is complete, or that it will never come. A
    client that leaves stops the answer, not the bill: the vendor has made the answer by then. The call is then billed
    in full at the instant at which the simulator notices.
    """

    def __init__(self, vendor: Vendor, call: Call, form: Format, fault: Fault | None) -> None:
        self._vendor = vendor
        self._call = call
        self._format = form
        self._fault = fault
        self._wait_time = vendor.wait

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = Client(scope, receive, send)
        stayed = False
        try:
            stayed = self._headless or await self._begin(client)
        finally:
            completion = self._complete(stayed)
        if stayed and self._fault and self._fault.cuts:
            await self._cut(client, self._fault, completion)
        elif stayed:
            await self._end(client, completion)

    @abstractmethod
    async def _begin(self, client: Client) -> bool:
        """All that comes before the answer is complete, or before the fault; False as soon as the client is gone."""

    @abstractmethod
    async def _end(self, client: Client, completion: Completion) -> None:
        """All that is left."""

    async def _cut(self, client: Client, fault: Fault, _completion: Completion) -> None:
        if fault.kind == TRUNCATE:
            await client.close()
        elif fault.kind != STALL or await client.stays(fault.seconds):
            await client.reset()

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
        """A call that was left before its fault came was not disturbed by it."""
        fault = self._fault.kind if self._fault and stayed else None
        completed_at = self._vendor.complete(self._call, aborted=not stayed, fault=fault).bill.completed_at
        usage = None if fault == NO_USAGE else self._call.usage
        return Completion(completed_at, usage, self._vendor.manners.trailing_usage)

    @property
    def _headless(self) -> bool:
        return self._fault is not None and self._fault.before_head


class WholeAnswer(Delivery):
    """One JSON body behind empty lines, which are sent one by one to a client that has to wait."""

    async def _begin(self, client: Client) -> bool:
        if not self._wait_time:
            return True
        await client.start(JSON)
        await client.send(EMPTY_LINE)
        return await self._wait(client, self._wait_time, EMPTY_LINE)

    async def _end(self, client: Client, completion: Completion) -> None:
        body = self._body(completion)
        if self._fault and self._fault.kind == GARBAGE:
            body = _with_noise(body, self._fault)
        if not self._wait_time:
            await client.start(JSON, len(body))
        await client.finish(body)

    async def _cut(self, client: Client, fault: Fault, completion: Completion) -> None:
        body = self._body(completion)
        if not self._headless:
            if not self._wait_time:
                await client.start(JSON, len(body))
            await client.send(body[: fault.bytes_before(len(body))])
        await super()._cut(client, fault, completion)

    def _body(self, completion: Completion) -> bytes:
        return EMPTY_LINE * 2 + self._format.body(self._call, completion)


class AnswerStream(Delivery):
    """Server-sent events, chunk by chunk, with signs of life between them for a client that has to wait."""

    async def _begin(self, client: Client) -> bool:
        events = self._format.opening(self._call)
        if self._fault and self._fault.kind != NO_USAGE:
            events = events[: self._fault.chunks_before(len(events))]
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
        if self._fault and self._fault.kind == GARBAGE:
            events = self._format.opening(self._call)
            next_one = min(self._fault.chunks_before(len(events)), len(events) - 1)
            await client.finish(_with_noise(events[next_one], self._fault))
        else:
            await client.finish(self._format.closing(self._call, completion))


def _with_noise(text: bytes, fault: Fault) -> bytes:
    if fault.noise == WHOLE:
        return NOISE * (1 + len(text) // len(NOISE))
    place = fault.bytes_before(len(text))
    return text[:place] + NOISE + text[place:]
