"""The servers that are loaded: ours, ours with a store that keeps nothing, and two yardsticks.

`python -m benchmarks.serving.apps NAME PORT` serves one of them by uvicorn, as `costmeter serve` does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from costmeter import wiring
from costmeter.api.app import make_app
from costmeter.services.record_calls import Received, Tally


class Event(msgspec.Struct):
    """The fields of a usage event that a checked decoding needs."""

    event_id: str
    account: str
    project: str
    user: str
    api_key: str
    tags: dict[str, str]
    model: str
    response_id: str
    status: str
    started_at: str
    completed_at: str
    usage: dict[str, Any]


class Events(msgspec.Struct):
    """A batch."""

    events: list[Event]


class EventModel(BaseModel):
    """The same for pydantic."""

    event_id: str
    account: str
    project: str
    user: str
    api_key: str
    tags: dict[str, str]
    model: str
    response_id: str
    status: str
    started_at: str
    completed_at: str
    usage: dict[str, Any]


class EventsModel(BaseModel):
    """A batch for pydantic."""

    events: list[EventModel]


class KeepsNothing:
    """Takes the place of the recorder: what is left is HTTP, key, decoding and the answer."""

    def record(self, received: Sequence[Received]) -> Tally:
        return Tally(accepted=len(received))


def ours() -> Any:
    return make_app(wiring.open_service())


def ours_without_store() -> Any:
    service = wiring.open_service()
    service.recorder = KeepsNothing()  # type: ignore[assignment]  # what is measured is all but the store
    return make_app(service)


def bare() -> Any:
    """ASGI and msgspec, nothing else: what a server in Python could do at the most."""
    decoder = msgspec.json.Decoder(Events)
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        count = len(decoder.decode(body).events) if body else 0
        await send(start)
        await send({"type": "http.response.body", "body": b'{"accepted":%d}' % count})

    return app


def usual() -> Any:
    """The usual way: a pydantic model as a parameter."""
    app = FastAPI()

    @app.post("/v1/events")
    def record(body: EventsModel) -> dict[str, int]:
        return {"accepted": len(body.events)}

    return app


APPS: dict[str, Callable[[], Any]] = {  # the limit first
    "bare": bare,
    "usual": usual,
    "ours-without-store": ours_without_store,
    "ours": ours,
}

if __name__ == "__main__":
    name, port = sys.argv[1], int(sys.argv[2])
    uvicorn.run(APPS[name](), port=port, log_config=None, access_log=False, http="httptools", lifespan="auto")
