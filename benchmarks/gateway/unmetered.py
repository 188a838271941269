"""The product's own gateway with its metering left out: what that costs is the difference.

python -m benchmarks.gateway.unmetered PORT UPSTREAM
"""

from __future__ import annotations

import sys
from typing import Any, cast

import uvicorn

from costmeter.cli.gateway import OPTIONS
from costmeter.gateway.app import Gateway
from costmeter.gateway.callers import OwnKeys
from costmeter.gateway.exchange import Exchange, Way
from costmeter.gateway.headers import to_send
from costmeter.gateway.upstream import Upstream
from costmeter.recorder.call import Call
from costmeter.recorder.spool import Spool

BODY_LIMIT = 64 << 20


class KeepsNothing:
    """Takes the place of a call: what is left is the way of the bytes."""

    event_id = operation_id = "00000000-0000-7000-8000-000000000000"

    def answered(self, status: int, headers: Any) -> None: ...
    def observe(self, chunk: bytes) -> None: ...
    def ended(self) -> None: ...
    def broke(self, error: BaseException) -> None: ...
    def closed(self) -> None: ...


class Unmetered(Gateway):
    """Takes a call as the gateway does and passes it on in the same way; whose it is and what it used nobody asks."""

    async def _pass_on(self, exchange: Exchange) -> None:
        body = await exchange.request.body(BODY_LIMIT)
        headers = to_send(exchange.request.pairs, with_length=False)
        await exchange.call_for(self._way, headers, body, _begin)


async def _begin(_: str | None) -> Call:
    return cast("Call", KeepsNothing())


if __name__ == "__main__":
    way = Way(Upstream(sys.argv[2], stall_seconds=1800))
    uvicorn.run(Unmetered(way, Spool(lambda _: None), OwnKeys()), port=int(sys.argv[1]), **OPTIONS)
