"""Quarantine over HTTP: what could not be used, and why; sending it again, or deciding that it is not needed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from costmeter.api import models
from costmeter.api.access import Finance, Reader, Serving
from costmeter.api.answers import MOST, Json, page, read_cursor
from costmeter.core.access import Grant
from costmeter.core.errors import ForbiddenError, InputError
from costmeter.reports.shapes import item_shape
from costmeter.services.discard_items import discard_items
from costmeter.services.replay_items import named_items, refused_items, replay_items
from costmeter.store import quarantine

router = APIRouter(prefix="/v1/quarantine", tags=["quarantine"])


_EXAMPLE: dict[str, Any] = {"items": ["00112233445566778899aabbccddeeff"], "reason": "a test"}


_REPLAY: dict[str, Any] = {"all": True, "account": "default"}


class Replay(BaseModel):
    """Which items are sent again: named ones, or all that were refused (of one account)."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"all": True, "account": "default"}}
    )

    items: list[str] = Field(default=[], max_length=1_000)
    all: bool = False
    account: str | None = None
    event_id: str | None = None


class Discard(BaseModel):
    """Which items are not to be recorded, and why."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"example": {"items": ["00112233445566778899aabbccddeeff"], "reason": "a test"}},
    )

    items: list[str] = Field(min_length=1, max_length=1_000)
    reason: str


@router.get(
    "",
    operation_id="list_items",
    summary="List what could not be used",
    responses={200: {"model": models.Page[models.Item]}, **models.problems(401, 403, 422, 503)},
)
def listed(
    service: Serving,
    grant: Reader,
    *,
    account: str | None = None,
    state: Literal["open", "replayed", "discarded", "all"] = "open",
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> Json:
    """What is in quarantine, newest first."""
    name = _account(grant, account)
    conditions = quarantine.conditions(state=None if state == "all" else state, account=name)
    with service.reading() as connection:
        found = quarantine.listed(connection, *conditions, before=read_cursor(cursor), limit=limit + 1)
    return page(found, limit, item_shape, quarantine.place)


@router.get(
    "/{item}",
    operation_id="get_item",
    summary="Show one item",
    responses={200: {"model": models.Item}, **models.problems(401, 403, 404, 422, 503)},
)
def show(item: str, service: Serving, grant: Reader) -> Json:
    """One item with all that was kept of it, and what was decided about it."""
    with service.reading() as connection:
        _check_items(connection, grant, [item])
        return Json(item_shape(quarantine.get(connection, item)))


@router.post(
    "/replay",
    operation_id="replay_items",
    summary="Send items again",
    responses={200: {"model": models.Replayed}, **models.problems(400, 401, 403, 404, 408, 413, 422, 503)},
)
def replay(service: Serving, grant: Finance, asked: Replay) -> Json:
    """Send items again as they were kept; what is accepted, or there already, is closed as replayed."""
    if bool(asked.items) == asked.all:
        raise InputError("items", asked.items or None, "name the items to send again, or give all")
    if asked.event_id is not None and not asked.items:
        raise InputError("event_id", asked.event_id, "gives one conflict an id of its own; name that item")
    with service.reading() as connection:
        if asked.items:
            _check_items(connection, grant, asked.items)
            chosen = named_items(connection, asked.items, asked.event_id)
        else:
            chosen = refused_items(connection, _account(grant, asked.account))
    replayed = replay_items(
        service.engine,
        chosen,
        book=service.book,
        home=service.home,
        by=grant.who,
        event_id=asked.event_id,
        now=service.now(),
    )
    outcomes = [{"item": item.name, "state": state, "error": error} for item, state, error in replayed.outcomes]
    return Json({**replayed.tally.counts(), "items": outcomes})


@router.post(
    "/discard",
    operation_id="discard_items",
    summary="Decide that items are not to be recorded",
    responses={200: {"model": dict[str, list[str]]}, **models.problems(400, 401, 403, 404, 408, 413, 422, 503)},
)
def discard(service: Serving, grant: Finance, said: Discard) -> Json:
    """Discard items, all or none; they stay to be seen, with the reason, and count no more."""
    with service.reading() as connection:
        _check_items(connection, grant, said.items)
    discarded = discard_items(service.engine, said.items, by=grant.who, reason=said.reason, now=service.now())
    return Json({"discarded": [item.name for item in discarded]})


def _account(grant: Grant, asked: str | None) -> str | None:
    if grant.projects is not None:
        raise ForbiddenError(f"{grant.who} sees some projects only, not what is in quarantine")
    return grant.account(asked)


def _check_items(connection: Connection, grant: Grant, names: list[str]) -> None:
    """Refuse items of accounts that the key has not."""
    if grant.is_limited():
        for name in names:
            grant.whole_account(quarantine.get(connection, name).account)
