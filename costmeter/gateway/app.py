"""The gateway as an ASGI application: whoever asks, what, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.gateway.admission import Admission
from costmeter.gateway.callers import Caller, Callers
from costmeter.gateway.costs import Costs
from costmeter.gateway.exchange import Exchange, Way
from costmeter.gateway.figures import Figures
from costmeter.gateway.headers import to_send
from costmeter.gateway.rates import Rates
from costmeter.gateway.refusals import RefusedCallError
from costmeter.gateway.requests import CallerGoneError, Receive, Request, Scope, Send, with_usage
from costmeter.recorder.call import Call
from costmeter.recorder.clock import Clock, HostClock
from costmeter.recorder.spool import Counts, Spool

SECONDS_TO_DELIVER = 30.0  # what a stopping gateway takes at most to deliver its records; the others wait in the spool


class Manners(NamedTuple):
    """How the gateway treats the requests that it passes on."""

    body_limit: int = 64 << 20  # bytes of a call's body
    include_usage: bool = False  # whether streams are asked for their usage where the caller did not ask


class Gateway:
    """DeepSeek's API at another address. It records every call in the spool, and passes on what is no call.

    An application of its own, which ASGI's lifespan starts and stops, or mounted in one that calls `start` and `stop`.
    """

    def __init__(
        self,
        way: Way,
        spool: Spool,
        callers: Callers,
        *,
        manners: Manners | None = None,
        costs: Costs | None = None,
        admission: Admission | None = None,
        metrics_folder: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._way = way
        self._spool = spool
        self._callers = callers
        self._manners = manners or Manners()
        self._costs = costs  # without them no answer tells its cost
        self._admission = admission  # without it nothing stops a call
        self._clock = clock or HostClock()
        self._figures = Figures(spool, metrics_folder)
        self._rates = Rates(self._clock.monotonic)

    @property
    def counts(self) -> Counts:
        """What became of the records of its calls so far."""
        return self._spool.counts

    @property
    def upstream(self) -> str:
        """The base URL of whom it asks."""
        return self._way.upstream.url

    @property
    def stops(self) -> bool:
        """Whether budgets or balances stop calls."""
        return self._admission is not None

    @property
    def is_away(self) -> bool:
        """Whether the database has not answered for a while what may be spent."""
        return self._admission is not None and self._admission.is_away

    async def start(self) -> None:
        """Ready for callers; what a gateway that was killed left is recorded first."""
        self._spool.start()
        await self._way.upstream.start()
        if self._admission is not None:
            await self._admission.start()

    async def stop(self) -> None:
        """Ends when all that was recorded is delivered and posted; what cannot be waits for the next process."""
        await self._way.upstream.stop()
        self._callers.close()
        if self._costs is not None:
            self._costs.close()
        await asyncio.to_thread(self._spool.close, SECONDS_TO_DELIVER)
        await asyncio.to_thread(self._spool.disconnect)
        if self._admission is not None:
            await asyncio.to_thread(self._admission.close)

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
            except asyncio.CancelledError:  # by the server that ends, in whose task nothing is above this
                if exchange.status is None:
                    await exchange.refuse(RefusedCallError(503, "stopped", "the gateway ends; ask again"))

    async def _pass_on(self, exchange: Exchange) -> None:
        request = exchange.request
        caller = await self._callers.of(request)
        if not request.is_call:
            content = request.pieces() if request.has_body else None
            await exchange.pass_on(self._way, to_send(request.pairs, key=caller.key), content)
            return
        with self._rates.counted(caller):
            await self._call(exchange, caller)

    async def _call(self, exchange: Exchange, caller: Caller) -> None:
        request = exchange.request
        body = await request.body(self._manners.body_limit)
        if self._manners.include_usage:
            body = with_usage(body, request.path)
        headers = to_send(request.pairs, key=caller.key, with_length=False)

        visit = None if self._admission is None else self._admission.visit(caller.said, request.path, body)

        async def begin(operation_id: str | None) -> Call:
            event_id = None
            if visit is not None:
                event_id = await visit.enter(exchange.call)
                exchange.is_unasked = visit.is_unasked
            told = {"operation_id": operation_id, "event_id": event_id}
            return Call(caller.written, body, None, self._clock, self._spool, names_answer=True, **told)

        costs, account = self._costs, caller.said.account or DEFAULT_ACCOUNT
        cost = None if costs is None else partial(costs.headers, account=account)
        try:
            await exchange.call_for(self._way, headers, body, begin, cost)
        finally:
            if visit is not None:
                visit.leave(exchange.call)
