"""Usage events over HTTP: recorded before the answer, listed, and each shown with what it cost and why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException

from costmeter.api import models
from costmeter.api.access import Reader, Sending, Serving
from costmeter.api.answers import MOST, Json, key_cursor, page
from costmeter.api.cloudevents import BATCH, STRUCTURED, is_cloudevent, read_cloudevents
from costmeter.api.problems import problem
from costmeter.api.scopes import Where
from costmeter.core.access import Grant
from costmeter.core.errors import ForbiddenError, InputError, shown
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.periods import parse_instant
from costmeter.reports.asked import projects_within
from costmeter.reports.calls import STATES, call_shape, describe_call, list_calls
from costmeter.services.record_calls import Broken, Received, Refusal
from costmeter.store.quarantine import CONFLICT
from costmeter.store.scope import read_filters

router = APIRouter(prefix="/v1/events", tags=["events"])
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
_EXAMPLE = {
    "event_id": "0199d7a2-6d2f-7c3e-8f41-2b7c9a51e0d3",
    "account": "default",
    "project": "search",
    "user": "u-17",
    "api_key": "backend-prod",
    "tags": {"team": "a"},
    "model": "deepseek-reasoner",
    "status": "ok",
    "started_at": "2025-03-01T16:29:41.120Z",
    "completed_at": "2025-03-01T16:30:00Z",
    "usage": {
        "prompt_tokens": 563,
        "prompt_cache_hit_tokens": 512,
        "prompt_cache_miss_tokens": 51,
        "completion_tokens": 116,
        "completion_tokens_details": {"reasoning_tokens": 60},
        "total_tokens": 679,
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "examples": {"one": {"value": _EXAMPLE}, "many": {"value": {"events": [_EXAMPLE]}}},
            },
            "application/x-ndjson": {"schema": {"type": "string"}},
            STRUCTURED: {"schema": {"type": "object"}},
            BATCH: {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    }
}


@router.post(
    "",
    operation_id="record_events",
    summary="Record usage events",
    openapi_extra=_BODY,
    responses={200: {"model": models.Recorded}, **models.problems(400, 401, 403, 408, 409, 413, 415, 422, 503)},
)
def record(request: Request, sent: Sending) -> Json:
    """Record one event, `{"events": [...]}`, NDJSON, or CloudEvents 1.0.

    The answer comes after the commit, and charges within a second.

    Sent again, an event is a duplicate and a success. One event that cannot be used is a 422 (409 for the same id with
    other content); of many, `results` names each such event and why. What cannot be used is kept in quarantine. A key
    of one account or project fills it in where an event names none.
    """
    service, grant, body = sent
    bodies, is_one = _bodies(request.headers, body)
    places = _places(len(bodies))
    limited = grant.is_limited()
    received = list(map(partial(allowed, grant), bodies, places) if limited else map(Received, bodies, places))
    tally = service.recorder.record(received)
    service.poster.tell(tally.accounts)
    request.app.state.measures.recorded(tally)
    if is_one and tally.refusals:
        refusal = tally.refusals[0]
        name = "conflict" if refusal.kind == CONFLICT else "invalid-input"
        return problem(name, refusal.error, quarantined=True)
    return Json({**tally.counts(), "results": [_result(refusal) for refusal in tally.refusals]})


def _bodies(headers: Mapping[str, str], body: bytes) -> tuple[Sequence[object], bool]:
    """The events of a body, and whether it is a single one."""
    kind = headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if is_cloudevent(headers):
        return _of_cloudevents(headers, body), kind != BATCH
    if kind in NDJSON:
        return [_line(line) for line in body.split(b"\n") if line.strip()], False
    if kind not in ("application/json", ""):
        raise HTTPException(415, f"Content-Type {kind[:60]!r}: use application/json or {NDJSON[0]}")
    decoded = _decoded(body)
    if isinstance(decoded, dict) and isinstance(decoded.get("events"), list):
        return decoded["events"], False
    return [decoded], True


def _of_cloudevents(headers: Mapping[str, str], body: bytes) -> Sequence[object]:
    try:
        return [one.body for one in read_cloudevents(headers, body)]
    except InputError as error:
        raise HTTPException(400, f"{error}; nothing of this request was kept") from None


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise HTTPException(400, f"the body is no JSON: {error}") from None
    except RecursionError:
        raise HTTPException(400, "the body is nested too deep") from None


def _line(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else str(error)
        return Broken(hashlib.sha256(line).hexdigest(), len(line), said)


@lru_cache(maxsize=64)  # senders have their own sizes of batches
def _places(count: int) -> list[str]:
    return [f"http:{number}" for number in range(count)]


def allowed(grant: Grant, body: object, place: str) -> Received:
    """An event that this key may send; one that names no account or project gets the key's own, if it has one."""
    if not grant.is_limited():
        return Received(body, place)
    if not isinstance(body, dict):
        raise ForbiddenError(f"{place}: {shown(body)} names no account, and {grant.who} is limited to some")
    own = dict(body)
    if grant.accounts is not None:
        own["account"] = _own(grant.account, own.get("account"), place)
    if grant.projects is not None:
        own["project"] = _own(grant.project, own.get("project"), place)
    return Received(own, place)


def _own(meant: Any, asked: object, place: str) -> str:
    try:
        found: str = meant(asked)
    except (ForbiddenError, TypeError) as error:  # a list is no name either
        said = str(error) if isinstance(error, ForbiddenError) else f"{shown(asked)} is no name"
        raise ForbiddenError(f"{place}: {said}; nothing of this request was kept") from None
    return found


def _result(refusal: Refusal) -> dict[str, Any]:
    return {"index": int(refusal.place.rpartition(":")[2]), "kind": refusal.kind, "error": refusal.error}


@router.get(
    "",
    operation_id="list_events",
    summary="List calls",
    responses={200: {"model": models.Page[models.Call]}, **models.problems(401, 403, 404, 422, 503)},
)
def listed(
    service: Serving,
    grant: Reader,
    *,
    account: str | None = None,
    project: str | None = None,
    status: Annotated[str | None, Query(description=", ".join(STATES))] = None,
    month: Annotated[str | None, Query(description="calls that something was booked of in this month")] = None,
    start: Annotated[str | None, Query(alias="from")] = None,
    end: Annotated[str | None, Query(alias="to")] = None,
    where: Where = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> Json:
    """The calls of an account, the last that came first, each with its charge in force."""
    name = grant.account(account) or DEFAULT_ACCOUNT
    asked = [*(where or ()), *([] if project is None else [f"project={project}"])]
    bounds = [None if text is None else parse_instant(text, field) for text, field in ((start, "from"), (end, "to"))]
    with service.reading() as connection:
        found = list_calls(
            connection,
            name,
            status=status,
            month=month,
            start=bounds[0],
            end=bounds[1],
            where=read_filters(projects_within(grant, asked)),
            before=key_cursor(cursor),
            limit=limit + 1,
        )
    return page(found, limit, call_shape, lambda call: call.event_key.hex())


@router.get(
    "/{event_id}",
    operation_id="get_event",
    summary="Show a call and how its cost came about",
    responses={200: {"model": models.CallDetail}, **models.problems(401, 403, 404, 422, 503)},
)
def shown_event(event_id: str, service: Serving, grant: Reader, account: str | None = None) -> Json:
    """One call: its event, its charge line by line with the tariff and its source, and which credits paid it."""
    name = grant.account(account) or DEFAULT_ACCOUNT
    with service.reading() as connection:
        call = describe_call(connection, name, event_id, service.book)
    if grant.projects is not None and call["project"] not in grant.projects:
        raise ForbiddenError(f"project {call['project']!r} is not among those of this key")
    return Json(call)
