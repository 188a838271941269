"""Who asks, and whether they may: a key in the Authorization header, or on `serve --local` the machine's user.

These are async for one reason: FastAPI would send each of them to a thread of its own before the endpoint's. They are
few, since FastAPI takes as long for each dependency as the rest of a request takes.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from costmeter.api.limits import read_body
from costmeter.api.peers import is_own_user
from costmeter.api.service import LOCAL, Service
from costmeter.core.access import ADMIN, FINANCE, INGEST, READ, Grant
from costmeter.core.errors import ForbiddenError

SCHEME = {"type": "http", "scheme": "bearer", "bearerFormat": "cm_...", "description": "costmeter keys create"}
OPEN = ("/healthz", "/readyz", "/version", "/problems/{name}")  # whoever asks


def service_of(request: Request) -> Service:
    """The service that the app was made for."""
    service: Service = request.app.state.service
    return service


async def _serving(request: Request) -> Service:
    return service_of(request)


Serving = Annotated[Service, Depends(_serving)]


def own_user(request: Request) -> Grant | None:
    """What the machine's user may do; None where somebody else asks."""
    return LOCAL if is_own_user(request) else None


async def who_asks(request: Request) -> Grant:
    """The grant of a request; without a valid key it is refused."""
    service, given = service_of(request), request.headers.get("authorization")
    if service.local and given is None:
        grant = await run_in_threadpool(own_user, request)
        if grant is not None:
            return grant
        raise HTTPException(403, "this server is open to the user who started it, on this machine, only")
    scheme, _, key = (given or "").partition(" ")
    grant = None
    if scheme.lower() == "bearer":
        grant = service.known_grant(key) or await run_in_threadpool(service.grant, key)
    if grant is None:
        raise HTTPException(401, "send Authorization: Bearer with a valid key")
    return grant


class Sent(NamedTuple):
    """What somebody who may send events has sent."""

    service: Service
    grant: Grant
    body: bytes


async def _sent(request: Request) -> Sent:
    grant = _checked(await who_asks(request), INGEST)
    return Sent(service_of(request), grant, await read_body(request))


def _need(role: str, *, everywhere: bool = False) -> Any:
    async def check(request: Request) -> Grant:
        grant = _checked(await who_asks(request), role)
        if everywhere and grant.is_limited():
            raise ForbiddenError(f"{grant.who} is limited to accounts or projects; this concerns all of them")
        return grant

    return Depends(check)


def _checked(grant: Grant, role: str) -> Grant:
    if not grant.may(role):
        raise ForbiddenError(f"{grant.who} has {', '.join(grant.roles)}; this needs {role}")
    return grant


Sending = Annotated[Sent, Depends(_sent)]
Sender = Annotated[Grant, _need(INGEST)]
Reader = Annotated[Grant, _need(READ)]
Finance = Annotated[Grant, _need(FINANCE)]
Admin = Annotated[Grant, _need(ADMIN, everywhere=True)]
Watcher = Annotated[Grant, _need(READ, everywhere=True)]
