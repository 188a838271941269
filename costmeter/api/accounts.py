"""Accounts over HTTP: their balance, their credits, and their ledger."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from costmeter.api import models
from costmeter.api.access import Finance, Reader, Serving
from costmeter.api.answers import MOST, Json, page, read_cursor
from costmeter.core.errors import ForbiddenError, InputError
from costmeter.core.periods import parse_instant, parse_known_at
from costmeter.reports.shapes import account_detail, account_shape, entry_shape, freeze_shape
from costmeter.services.add_account import add_account
from costmeter.services.post_charges import post_charges
from costmeter.services.release_account import release_account
from costmeter.store import accounts, journal
from costmeter.store.balances import balance_at

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])
_EXAMPLE: dict[str, Any] = {"account": "asia", "currency": "CNY", "timezone": "Asia/Shanghai"}
_RELEASE: dict[str, Any] = {"reason": "restored from the backup and checked"}
Limit = Annotated[int, Query(ge=1, le=MOST)]


class NewAccount(BaseModel):
    """An account; what is left out is taken from the server's settings."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"example": {"account": "asia", "currency": "CNY", "timezone": "Asia/Shanghai"}},
    )

    account: str
    currency: str | None = None
    timezone: str | None = None


class Release(BaseModel):
    """Why posting may go on."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"reason": "restored and checked"}}
    )

    reason: str


@router.post(
    "",
    operation_id="add_account",
    summary="Add an account",
    status_code=201,
    responses={
        200: {"model": models.AddedAccount},
        201: {"model": models.AddedAccount},
        **models.problems(400, 401, 403, 408, 409, 413, 422, 503),
    },
)
def add(service: Serving, grant: Finance, new: NewAccount) -> Json:
    """Add an account: 201, or 200 where it was there already. Currency and zone are fixed by its first entry."""
    name = grant.whole_account(new.account)
    account, made = add_account(
        service.engine,
        name,
        currency=new.currency,
        timezone=new.timezone,
        by=grant.who,
        home=service.home,
        now=service.now(),
    )
    return Json({**account_shape(account), "created": made}, 201 if made else 200)


@router.get(
    "",
    operation_id="list_accounts",
    summary="List accounts",
    responses={200: {"model": models.Page[models.Account]}, **models.problems(401, 403, 422, 503)},
)
def listed(service: Serving, grant: Reader, cursor: str | None = None, limit: Limit = 100) -> Json:
    """The accounts that the key may see, by name."""
    if grant.projects is not None:
        raise ForbiddenError(f"{grant.who} sees some projects only, not whole accounts")
    with service.reading() as connection:
        found = accounts.listed(connection, grant.accounts, after=read_cursor(cursor), limit=limit + 1)
    return page(found, limit, account_shape, lambda account: account.account)


@router.get(
    "/{account}",
    operation_id="get_account",
    summary="Show an account",
    responses={200: {"model": models.AccountDetail}, **models.problems(401, 403, 404, 422, 503)},
)
def show(account: str, service: Serving, grant: Reader) -> Json:
    """An account: since when it is tracked, what it owes, what waits, and why it was frozen or released."""
    with service.reading() as connection:
        return Json(account_detail(connection, accounts.get(connection, grant.whole_account(account))))


@router.post(
    "/{account}/release",
    operation_id="release_account",
    summary="Release a frozen account",
    responses={200: {"model": dict[str, object]}, **models.problems(400, 401, 403, 404, 408, 409, 413, 422, 503)},
)
def release(account: str, service: Serving, grant: Finance, said: Release) -> Json:
    """Answer for the ledger of a frozen account as it stands: what waits is posted, and posting goes on."""
    name = grant.whole_account(account)
    made = release_account(service.engine, name, by=grant.who, reason=said.reason, now=service.now())
    posted = post_charges(service.engine, name, book=service.book, now=service.now())
    return Json({"account": name, **freeze_shape(made), "posted": posted})


@router.get(
    "/{account}/balance",
    operation_id="get_balance",
    summary="The balance of an account",
    responses={200: {"model": models.Balance}, **models.problems(401, 403, 404, 409, 422, 503)},
)
def balance(account: str, service: Serving, grant: Reader, at: str | None = None, known_at: str | None = None) -> Json:
    """What an account has, in DeepSeek's own shape but exact; `at` asks for another instant, `known_at` for what was
    known then."""
    now, name = service.now(), grant.whole_account(account)
    known = None if known_at is None else parse_known_at(known_at, now)
    instant = parse_instant(at, "at") if at is not None else known or now
    with service.reading() as connection:
        found = accounts.get(connection, name, known)
        return Json(balance_at(connection, found, instant, known).as_dict())


@router.get(
    "/{account}/ledger",
    operation_id="list_entries",
    summary="The journal of an account",
    responses={200: {"model": models.Page[models.Entry]}, **models.problems(401, 403, 404, 422, 503)},
)
def ledger(account: str, service: Serving, grant: Reader, cursor: str | None = None, limit: Limit = 100) -> Json:
    """The balanced entries of an account's journal, from the first on."""
    after = _seq(read_cursor(cursor))
    with service.reading() as connection:
        name = accounts.get(connection, grant.whole_account(account)).account
        found = journal.listed(connection, name, after=after, limit=limit + 1)
    return page(found, limit, entry_shape, lambda entry: str(entry.seq))


def _seq(place: str | None) -> int:
    if place is not None and not (place.isdecimal() and len(place) < 19):
        raise InputError("cursor", place, "use the next_cursor of the page before")
    return int(place or 0)
