"""The gateway as an ASGI application: whoever asks, what, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from costmeter.gateway.callers import Callers
from costmeter.gateway.exchange import Exchange
from costmeter.gateway.figures import Figures
from costmeter.gateway.headers import to_send
from costmeter.gateway.rates import Rates
from costmeter.gateway.refusals import RefusedCallError
from costmeter.gateway.requests import CallerGoneError, Receive, Request, Scope, Send
from costmeter.gateway.upstream import Upstream
from costmeter.recorder.call import Call
from costmeter.recorder.clock import Clock, HostClock
from costmeter.recorder.spool import Spool

SECONDS_TO_DELIVER = 30.0  # what a stopping gateway takes at most to deliver its records; the others wait in the spool


class Manners(NamedTuple):
    """How the gateway treats what it passes on."""

    body_limit: int = 64 << 20  # bytes of a call's body
    drain: bool = False  # whether an answer is read to its end, for its usage, when its caller has left


class Gateway:
    """DeepSeek's API at another address. It records every call in the spool, and passes on what is no call.

    An application of its own, which ASGI's lifespan starts and stops, or mounted in one that calls `start` and `stop`.
    """

    def __init__(
        self,
        upstream: Upstream,
        spool: Spool,
        callers: Callers,
        *,
        manners: Manners | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._upstream = upstream
        self._spool = spool
        self._callers = callers
        self._manners = manners or Manners()
        self._clock = clock or HostClock()
        self._figures = Figures(spool)
        self._rates = Rates(self._clock.monotonic)

    async def start(self) -> None:
        await self._upstream.start()

    async def stop(self) -> None:
        """Ends when all that was recorded is delivered and posted; what cannot be waits for the next process."""
        await self._upstream.stop()
        self._callers.close()
        await asyncio.to_thread(self._spool.close, SECONDS_TO_DELIVER)
        await asyncio.to_thread(self._spool.disconnect)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        steps: dict[str, Callable[[], Awaitable[None]]] = {
            "lifespan.startup": self.start,
            "lifespan.shutdown": self.stop,
        }
        for _ in steps:
            step = (await receive())["type"]
            await steps[step]()
            await send({"type": f"{step}.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = self._figures.own_answer(scope)
        if own is not None:
            for message in own:
                await send(message)
            return
        exchange = Exchange(Request.read(scope, receive), send)
        with self._figures.counted(exchange):
            try:
                await self._pass_on(exchange)
            except CallerGoneError:
                exchange.has_left = True
            except RefusedCallError as refused:
                await exchange.refuse(refused)

    async def _pass_on(self, exchange: Exchange) -> None:
        request = exchange.request
        caller = await self._callers.of(request)
        headers = to_send(request.pairs, key=caller.key)
        if request.is_call:
            with self._rates.counted(caller):
                body = await request.body(self._manners.body_limit)
                exchange.call = Call(caller.written, body, None, self._clock, self._spool)
                await exchange.run(self._upstream, headers, body, drain=self._manners.drain)
        else:
            content = request.pieces() if request.has_body else None
            await exchange.run(self._upstream, headers, content, drain=False)
