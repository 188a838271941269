"""Who asks, and whether they may: a key in the Authorization header, or on `serve --local` the machine's user.

These are async for one reason: FastAPI would send each of them to a thread of its own before the endpoint's.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from costmeter.api.peers import is_own_user
from costmeter.api.service import LOCAL, Service
from costmeter.core.access import ADMIN, FINANCE, INGEST, READ, Grant
from costmeter.core.errors import ForbiddenError

_bearer = HTTPBearer(
    auto_error=False, scheme_name="key", bearerFormat="cm_...", description="An API key: costmeter keys create"
)


async def service_of(request: Request) -> Service:
    """The service that the app was made for."""
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(service_of)]


async def who_asks(
    request: Request, service: Serving, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Grant:
    """The grant of a request; without a valid key it is refused."""
    if service.local and given is None:
        if await run_in_threadpool(is_own_user, request):
            return LOCAL
        raise HTTPException(403, "this server is open to the user who started it, on this machine, only")
    grant = None if given is None else service.known_grant(given.credentials)
    if grant is None and given is not None:
        grant = await run_in_threadpool(service.grant, given.credentials)
    if grant is None:
        raise HTTPException(401, "send Authorization: Bearer with a valid key")
    return grant


def _need(role: str) -> Any:
    async def check(grant: Annotated[Grant, Depends(who_asks)]) -> Grant:
        if not grant.may(role):
            raise ForbiddenError(f"{grant.who} has {', '.join(grant.roles)}; this needs {role}")
        return grant

    return Depends(check)


Ingest = Annotated[Grant, _need(INGEST)]
Reader = Annotated[Grant, _need(READ)]
Finance = Annotated[Grant, _need(FINANCE)]


def _unlimited(role: str) -> Any:
    allowed = _need(role)

    async def check(grant: Grant = allowed) -> Grant:
        if grant.is_limited():
            raise ForbiddenError(f"{grant.who} is limited to accounts or projects; this concerns all of them")
        return grant

    return Depends(check)


Admin = Annotated[Grant, _unlimited(ADMIN)]
Watcher = Annotated[Grant, _unlimited(READ)]
