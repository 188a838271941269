"""Each request under an id: in its answer, in the log, and counted by route; never by key, user or path."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping

from costmeter import logs
from costmeter.api.limits import App, Message, Receive, Scope, Send
from costmeter.api.measures import Measures
from costmeter.store.keys import new_id

log = logging.getLogger("costmeter.api")
_ID = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class Traced:
    """An ASGI app that another one is behind: takes over the caller's request id, or gives one."""

    def __init__(self, app: App, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id, trace_id = _request_id(headers), _trace_id(headers)
        status, began = 0, time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message.get("headers", ())}
                more = [pair for pair in _HEADERS if pair[0] not in given]
                message["headers"] = [*message.get("headers", ()), *more, (b"x-request-id", request_id.encode())]
            await send(message)

        named = {"request_id": request_id} | ({"trace_id": trace_id} if trace_id else {})
        with logs.bound(**named):
            try:
                await self._app(scope, receive, answer)
            finally:
                self._ended(scope, status, time.perf_counter() - began)

    def _ended(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._measures.answered(route, scope["method"], status, seconds)
        extra = {"route": route, "method": scope["method"], "status": status}
        extra["milliseconds"] = round(seconds * 1000, 1)
        log.info("%s %s %s", scope["method"], route, status, extra=extra)


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    """The caller's own id where it is a plain one: it goes into logs and headers."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _ID.fullmatch(given) else new_id()


def _trace_id(headers: Mapping[bytes, bytes]) -> str | None:
    found = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    return found[1].decode() if found else None
