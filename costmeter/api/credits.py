"""Credits over HTTP: balance that was granted or topped up."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict

from costmeter.api import models
from costmeter.api.access import Finance, Reader, Serving
from costmeter.api.answers import MOST, Json, page, read_cursor
from costmeter.core.errors import InputError
from costmeter.core.money import parse_amount
from costmeter.core.periods import parse_instant
from costmeter.reports.shapes import credit_shape
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.void_credit import void_credit
from costmeter.store import accounts, credits

router = APIRouter(prefix="/v1/accounts/{account}/credits", tags=["credits"])
_VOID: dict[str, Any] = {"reference": "invoice-17", "reason": "entered twice"}
_EXAMPLE: dict[str, Any] = {"kind": "topped_up", "amount": "100.00", "reference": "invoice-17"}


class Credit(BaseModel):
    """A credit; `amount` is a decimal string, `effective_at` is now where it is left out."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": _EXAMPLE})

    kind: str
    amount: str
    currency: str | None = None
    effective_at: str | None = None
    expires_at: str | None = None
    reference: str | None = None


class Void(BaseModel):
    """Which credit is taken back, and why."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"example": _VOID},
    )

    reference: str
    reason: str


@router.post(
    "",
    operation_id="add_credit",
    summary="Add a credit",
    status_code=201,
    responses={
        200: {"model": models.AddedCredit},
        201: {"model": models.AddedCredit},
        **models.problems(400, 401, 403, 408, 409, 413, 422, 503),
    },
)
def add(
    account: str,
    service: Serving,
    grant: Finance,
    new: Credit,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> Json:
    """Add a credit: 201; with a reference once, then 200, and 409 where its content is another.

    Without a reference an Idempotency-Key takes its place, so that a request sent again adds nothing.
    """
    name = grant.whole_account(account)
    effective_at = None if new.effective_at is None else parse_instant(new.effective_at, "effective_at")
    expires_at = None if new.expires_at is None else parse_instant(new.expires_at, "expires_at")
    reference = new.reference
    if reference is None and idempotency_key is not None:
        reference = f"idempotency-key {idempotency_key}"
    asked = NewCredit(name, new.kind, parse_amount(new.amount), new.currency, effective_at, expires_at, reference)
    booked, made = add_credit(service.engine, asked, by=grant.who, home=service.home, now=service.now())
    return Json({**credit_shape(booked), "account": name, "created": made}, 201 if made else 200)


@router.get(
    "",
    operation_id="list_credits",
    summary="List credits",
    responses={200: {"model": models.Page[models.Credit]}, **models.problems(401, 403, 404, 422, 503)},
)
def listed(
    account: str,
    service: Serving,
    grant: Reader,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> Json:
    """An account's credits in the order in which they were booked, and what each has left."""
    after = read_cursor(cursor) or "0"
    if not after.isdecimal():
        raise InputError("cursor", cursor, "use the next_cursor of the page before")
    with service.reading() as connection:
        name = accounts.get(connection, grant.whole_account(account)).account
        left = credits.balances(connection, name)
        booked = [one for one in credits.of_account(connection, name) if one.credit.credit_id > int(after)]
    return page(
        booked[: limit + 1],
        limit,
        lambda one: credit_shape(one, left[one.credit.credit_id]),
        lambda one: str(one.credit.credit_id),
    )


@router.post(
    "/void",
    operation_id="void_credit",
    summary="Take a credit back",
    responses={200: {"model": models.Credit}, **models.problems(400, 401, 403, 404, 408, 409, 413, 422, 503)},
)
def void(account: str, service: Serving, grant: Finance, said: Void) -> Json:
    """Take a credit back as if it had never been given; what it paid is paid by others or owed. Once."""
    name = grant.whole_account(account)
    booked = void_credit(service.engine, name, said.reference, reason=said.reason, by=grant.who, now=service.now())
    return Json({**credit_shape(booked), "account": name})
