"""What tells an open page that its numbers have changed: server-sent events.

A stream says that something was posted, not what: the page asks for itself again. It ends after a few seconds and the
browser begins another, so that a server that stops waits no longer, and a key that was revoked is told nothing more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from costmeter.web.access import SignInFirst, is_told, visitor_of
from costmeter.web.headers import PAGE
from costmeter.web.posted import EVERY, Posted
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of

router = APIRouter(include_in_schema=False, route_class=PageRoute)
LASTS = 10.0  # seconds of one stream
MOST = 100  # streams of a process at once: the limit of the API's requests leaves them out
AGAIN = 500  # milliseconds until a browser begins the next one


@router.get("/live")
async def live(request: Request, seen: str = "") -> Response:
    """A stream of `posted` events. Their ids are marks: by the newest that it has seen a page misses nothing."""
    try:
        visitor = await run_in_threadpool(visitor_of, request)
    except SignInFirst:
        return Response(status_code=204, headers=PAGE)  # which tells a browser to ask no more
    posted = site_of(request).posted
    if posted.streams >= MOST or not is_told(visitor.grant):
        return Response(status_code=204, headers=PAGE)  # the page asks each minute all the same
    events = _events(posted, visitor.grant.accounts, request.headers.get("last-event-id", seen))
    return StreamingResponse(events, headers=PAGE, media_type="text/event-stream")


async def _events(posted: Posted, names: Collection[str] | None, seen: str) -> AsyncIterator[str]:
    posted.streams += 1
    try:
        yield f"retry: {AGAIN}\n\n"
        ends = anyio.current_time() + LASTS
        while anyio.current_time() < ends:
            mark = await run_in_threadpool(posted.mark, names)
            if mark != seen:
                yield f"event: posted\nid: {mark}\ndata: {mark}\n\n"
                seen = mark
            await anyio.sleep(EVERY)
    finally:
        posted.streams -= 1
