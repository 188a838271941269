"""Reservations over HTTP: whether a call may be made now, before it is."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from costmeter.api import models
from costmeter.api.access import Reader, Sender, Serving
from costmeter.api.answers import MOST, Json, key_cursor, page
from costmeter.api.problems import problem
from costmeter.api.service import Service
from costmeter.core.access import Grant
from costmeter.core.errors import InputError, NotFoundError
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.money import MAX_AMOUNT, parse_amount
from costmeter.core.reservations import LIFETIME, LONGEST, Refusal, check_state
from costmeter.reports.reservations import refusal_shape, refusal_text, reservation_shape
from costmeter.services.reserve import Ask, reserve
from costmeter.services.settle_reservation import Ended, release_reservation, settle_reservation
from costmeter.store import reservations
from costmeter.store.keys import key_text

router = APIRouter(prefix="/v1/reservations", tags=["budgets"])
_EXAMPLE: dict[str, Any] = {
    "account": "default", "project": "search", "model": "deepseek-chat", "event_id": "call-2", "cost": "0.05",
    "tokens": 4000,
}  # fmt: skip


class AskedReservation(BaseModel):
    """What a call may cost at most, and its scope as its usage event will tell it."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": _EXAMPLE})

    account: str | None = None
    cost: models.Amount = Field(description="in the account's currency")
    tokens: int = Field(ge=0, le=MAX_AMOUNT, description="input and output together")
    currency: str | None = Field(default=None, description="refused where it is not the account's")
    project: str | None = None
    user: str | None = None
    api_key: str | None = None
    model: str | None = Field(default=None, description="the one that the response will name")
    tags: dict[str, str] = {}
    event_id: str | None = Field(default=None, description="of the call: its charge will settle the reservation")
    seconds: int = Field(
        default=int(LIFETIME.total_seconds()), ge=1, le=int(LONGEST.total_seconds()), description="until it expires"
    )


class PeriodOfBudget(BaseModel):
    number: int
    start: str = Field(alias="from")


class Reservation(BaseModel):
    """What somebody may spend until it expires; without an id where no budget stops the scope."""

    reservation_id: str | None
    account: str
    owner: str
    cost: models.Amount
    tokens: int
    state: str = Field(description="open, settled, released or expired")
    budgets: list[PeriodOfBudget] = Field(description="the periods of budgets that it is held back of")
    reserved_at: str
    expires_at: str
    ended_at: str | None


class EndedReservation(Reservation):
    ended_now: bool = Field(description="false where it had ended before")


_CHANGED = models.problems(401, 403, 404, 408, 413, 422, 503)


@router.post(
    "",
    operation_id="reserve",
    summary="Ask whether a call may be made, and reserve its cost",
    status_code=201,
    responses={
        200: {"model": Reservation, "description": "Nothing has to be reserved: no budget stops the scope"},
        201: {"model": Reservation},
        **models.problems(400, 401, 402, 403, 408, 409, 413, 422, 503),
    },
)
def ask(service: Serving, grant: Sender, asked: AskedReservation) -> Json:
    """Reserve of every budget that stops the scope: 201; of none of them, 402, where one has not that much left.

    The problem says which budget, and Retry-After when its period ends. Asked again with the same `event_id` it is the
    same reservation. 200 without an id where no budget stops the scope.
    """
    now = service.now()
    wanted = Ask(
        grant.account(asked.account) or DEFAULT_ACCOUNT, parse_amount(asked.cost, "cost"), asked.tokens, grant.who,
        grant.project(asked.project), asked.user, asked.api_key, asked.model, asked.tags, asked.event_id,
        asked.currency, timedelta(seconds=asked.seconds),
    )  # fmt: skip
    found = reserve(service.engine, wanted, now=now)
    if not isinstance(found, Refusal):
        return Json(reservation_shape(found), 200 if found.reservation_id is None else 201)
    in_full = grant.projects is None or "project" in found.budget.filters  # others have calls of other projects too
    end = found.period.end
    headers = {} if end is None else {"Retry-After": str(max(1, math.ceil((end - now).total_seconds())))}
    return problem(
        "over-budget", refusal_text(found, in_full=in_full), headers=headers,
        refused_by=refusal_shape(found, in_full=in_full),
    )  # fmt: skip


@router.post(
    "/{reservation_id}/settle",
    operation_id="settle_reservation",
    summary="End a reservation whose spending is posted",
    responses={200: {"model": EndedReservation}, **_CHANGED},
)
def settle(reservation_id: str, service: Serving, grant: Sender, account: str | None = None) -> Json:
    """End a reservation once; a second time it says how it had ended. A charge does so by itself, by its event id."""
    own, key = _own(service, grant, account, reservation_id)
    return _ended(settle_reservation(service.engine, own, key, now=service.now()))


@router.post(
    "/{reservation_id}/release",
    operation_id="release_reservation",
    summary="End a reservation of which nothing was spent",
    responses={200: {"model": EndedReservation}, **_CHANGED},
)
def release(reservation_id: str, service: Serving, grant: Sender, account: str | None = None) -> Json:
    """Give a reservation back once: the call was not made, or failed. A second time it says how it had ended."""
    own, key = _own(service, grant, account, reservation_id)
    return _ended(release_reservation(service.engine, own, key, now=service.now()))


@router.get(
    "",
    operation_id="list_reservations",
    summary="List reservations",
    responses={200: {"model": models.Page[Reservation]}, **models.problems(401, 403, 422, 503)},
)
def listed(
    service: Serving,
    grant: Reader,
    *,
    account: str | None = None,
    state: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> Json:
    """The reservations of an account, newest first, those that ended in the last days too; of one state, if asked."""
    own = grant.whole_account(grant.account(account) or DEFAULT_ACCOUNT)
    wanted = None if state is None else check_state(state)
    before = key_cursor(cursor)
    with service.reading() as connection:
        found = reservations.newest(connection, own, wanted, before=before, limit=limit + 1)
    return page(found, limit, reservation_shape, lambda one: (one.reservation_id or b"").hex())


def _own(service: Service, grant: Grant, account: str | None, reservation_id: str) -> tuple[str, bytes]:
    """The account and the key of a reservation; a key limited to projects has only those that it asked for itself."""
    name, key = grant.account(account) or DEFAULT_ACCOUNT, _key(reservation_id)
    if grant.projects is not None:
        with service.reading() as connection:
            found = reservations.get(connection, name, key)
        if found is None or found.owner != grant.who:
            raise NotFoundError(f"{grant.who} has no reservation {key_text(key)} in account {name!r}")
    return name, key


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        key = b""
    if len(key) != 16 or key_text(key) != text:
        raise InputError("reservation_id", text, "is no id of a reservation; write it as the answer had it")
    return key


def _ended(ended: Ended) -> Json:
    return Json({**reservation_shape(ended.reservation), "ended_now": ended.is_new})
