"""The months of an account's books: the state of each, what it began and ended with, and what stands against closing.

A closed month says what its statement says; of an open one the figures are those of now, from the rollups.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from costmeter.core.errors import DetachedError, NotFoundError
from costmeter.core.money import format_amount, parse_total
from costmeter.core.periods import check_month, format_instant, month_after, month_before, month_of, month_period
from costmeter.core.statements import Pair
from costmeter.reports.statements import closing_shape
from costmeter.store import closings, journal
from costmeter.store.accounts import Account
from costmeter.store.blockers import CHECKS, Blocker, blockers
from costmeter.store.closings import Closing
from costmeter.store.scope import Scope
from costmeter.store.statements import moved_by_month
from costmeter.store.sums import read_sums

LISTED = 12  # months that are told at once
CLOSED, OPEN, FOLLOWS, WAITING, BLOCKED, READY = "closed", "open", "follows", "waiting", "blocked", "ready"


class Books(NamedTuple):
    """How far an account's books are: their first month, the one to close next, the one that goes on now, and how long
    after its end a month waits for late calls."""

    account: Account
    first: str
    due: str
    last: str
    grace: timedelta
    now: datetime


def list_months(
    connection: Connection, account: Account, *, grace: timedelta, now: datetime, before: str | None = None
) -> dict[str, Any]:
    """The LISTED newest months of an account, or those before another; `next` is what to ask for those before them.

    `state` is one of: `closed`; `open`, not over; `follows`, an earlier month is to be closed first; `waiting` for late
    calls until `waits_until`; `blocked` by what `blockers` say; `ready` to be closed. Of an open month `cost` and
    `adjustments` are null where calls that it needs are detached.
    """
    if before is not None:
        check_month(before, "before")
    books = _books(connection, account, grace, now)
    months: list[str] = [] if books is None else _listed(books, before)
    rows = [] if books is None or not months else _rows(connection, books, months)
    more = bool(months) and books is not None and months[-1] > books.first
    return {
        "account": account.account,
        "currency": account.currency,
        "timezone": account.timezone,
        "due": None if books is None else books.due,
        "months": rows,
        "next": months[-1] if more else None,
    }


def month_to_close(
    connection: Connection, account: Account, month: str, *, grace: timedelta, now: datetime
) -> dict[str, Any]:
    """A month as the list has it, with each of the `checks` before it is closed and the blocker that it found, or null.

    `is_final` says that something cannot be overridden. NotFoundError where the books have no such month.
    """
    books = _books(connection, account, grace, now)
    if books is None or not books.first <= check_month(month) <= books.last:
        raise NotFoundError(f"the books of account {account.account!r} have no month {month}")
    (row,) = _rows(connection, books, [month])
    found = [] if row["state"] == CLOSED else blockers(connection, account, month, grace=grace, now=now)
    by_check = {one.check: _blocker_shape(one) for one in found}
    return {
        "account": account.account,
        "currency": account.currency,
        "timezone": account.timezone,
        **row,
        "checks": [{"check": check, "blocker": by_check.get(check)} for check in CHECKS],
        "blockers": [one.text for one in found],
        "is_final": any(one.is_final for one in found),
    }


def _blocker_shape(blocker: Blocker) -> dict[str, Any]:
    return {"text": blocker.text, "is_final": blocker.is_final, "month": blocker.month}


def _books(connection: Connection, account: Account, grace: timedelta, now: datetime) -> Books | None:
    """None while nothing is booked."""
    first = journal.first_month(connection, account.account)
    if first is None:
        return None
    closed = journal.closed_months(connection, [account.account]).get(account.account)
    due = first if closed is None else month_after(closed)
    return Books(account, first, due, max(first, month_of(now, account.timezone)), grace, now)


def _listed(books: Books, before: str | None) -> list[str]:
    """The newest first."""
    month = books.last if before is None or before > books.last else month_before(before)
    found: list[str] = []
    while month >= books.first and len(found) < LISTED:
        found.append(month)
        month = month_before(month)
    return found


def _rows(connection: Connection, books: Books, months: list[str]) -> list[dict[str, Any]]:
    closed = closings.between(connection, books.account.account, min(months), max(months))
    balances = _balances(connection, books) if len(closed) < len(months) else {}
    return [
        _closed(closed[month]) if month in closed else _open(connection, books, month, balances[month])
        for month in months
    ]


def _closed(closing: Closing) -> dict[str, Any]:
    statement = json.loads(closing.statement)
    return {
        "month": closing.month,
        "state": CLOSED,
        "waits_until": None,
        "blockers": [],
        "opening": statement["opening"],
        "closing_balance": statement["closing_balance"],
        "cost": statement["deductions"]["cost"],
        "adjustments": format_amount(sum(parse_total(one["cost"]) for one in statement["adjustments"])),
        "closing": closing_shape(closing),
    }


def _open(connection: Connection, books: Books, month: str, balances: tuple[Pair, Pair]) -> dict[str, Any]:
    opening, ending = balances
    found: list[Blocker] = []
    state, end = _time_state(books, month)
    if state == READY:
        found = blockers(connection, books.account, month, grace=books.grace, now=books.now)
        state = BLOCKED if found else READY
    cost, adjustments = _costs(connection, books.account, month)
    return {
        "month": month,
        "state": state,
        "waits_until": format_instant(end + books.grace) if state == WAITING else None,
        "blockers": [one.text for one in found],
        "opening": opening.as_dict(),
        "closing_balance": ending.as_dict(),
        "cost": cost,
        "adjustments": adjustments,
        "closing": None,
    }


def _time_state(books: Books, month: str) -> tuple[str, datetime]:
    """What the calendar says of a month, and its end."""
    _, end = month_period(month, books.account.timezone)
    assert end is not None
    if books.now < end:
        return OPEN, end
    if month > books.due:
        return FOLLOWS, end
    return (WAITING if books.now < end + books.grace else READY), end


def _balances(connection: Connection, books: Books) -> Mapping[str, tuple[Pair, Pair]]:
    """What each open month began with and has come to: what the last closed one left, and what was booked since."""
    newest = closings.newest(connection, books.account.account)
    balance = Pair(0, 0)
    if newest is not None:
        left = json.loads(newest.statement)["closing_balance"]
        balance = Pair(parse_total(left["granted"]), parse_total(left["topped_up"]))
    moved = moved_by_month(connection, books.account.account, books.due)
    found, month = {}, books.due
    while month <= books.last:
        opening, balance = balance, balance.plus(moved.get(month, Pair(0, 0)))
        found[month] = (opening, balance)
        month = month_after(month)
    return found


def _costs(connection: Connection, account: Account, month: str) -> tuple[str | None, str | None]:
    """What a month's own calls cost, and what adjusts closed ones: it completed in a month before."""
    scope = Scope.checked(month=month, account=account.account)
    try:
        in_scope = scope.accounts(connection)
    except DetachedError:
        return None, None
    own = later = 0
    for record in read_sums(connection, scope, in_scope, ("day",), account.timezone):
        if record["day"].startswith(month):
            own += record["cost"]
        else:
            later += record["cost"]
    return format_amount(own), format_amount(later)
