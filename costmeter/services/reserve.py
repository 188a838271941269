"""Reserve: whether somebody may spend an estimated cost now, held back of the budgets that stop until it is settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.budgets import Budget
from costmeter.core.errors import ConflictError, InputError, NotFoundError
from costmeter.core.events import check_account, check_said, read_attribution, read_event_id
from costmeter.core.periods import Period
from costmeter.core.reservations import (
    LIFETIME,
    OPEN,
    Hold,
    Refusal,
    Reservation,
    check_count,
    check_lifetime,
    holds,
)
from costmeter.store import accounts, budgets, reservations
from costmeter.store.engine import in_transaction, reading
from costmeter.store.keys import identity_key, new_key


class Ask(NamedTuple):
    """What somebody would spend, and who: at most `cost`, in units of 10^-12 of the account's currency, and `tokens`.

    The scope is told as the usage event of the call will tell it; `model` is what the response will name. A budget that
    filters by what is left out does not count. With the call's `event_id` its charge ends the reservation. `currency`,
    where it is said, must be the account's.
    """

    account: str
    cost: int
    tokens: int
    owner: str
    project: str | None = None
    user: str | None = None
    api_key: str | None = None
    model: str | None = None
    tags: Mapping[str, str] | None = None
    event_id: str | None = None
    currency: str | None = None
    lifetime: timedelta = LIFETIME


class _RefusedError(Exception):
    """Takes back what was held before a budget refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


def reserve(engine: Engine, ask: Ask, *, now: datetime) -> Reservation | Refusal:
    """A reservation of every budget that stops the scope, all of them or none; else which of them refuses.

    Asked again for the same event id it is the same reservation, while that is open or after it was settled; of another
    cost or other tokens it is a ConflictError. Where no budget stops the scope nothing is written. What has expired
    holds nothing back: it is ended before anybody is refused. Raises InputError for what cannot be used.
    """
    asked = _checked(ask, now)
    stopping = holds(_budgets(engine, asked.account, ask), asked.cost, asked.tokens, Period(now, asked.expires_at))
    if not stopping:
        return asked
    asked = asked._replace(reservation_id=new_key(), parts=[hold.part for hold in stopping])
    try:
        return in_transaction(engine, lambda connection: _hold(connection, asked, stopping))
    except _RefusedError:
        pass  # perhaps for what nobody holds any more

    def after_expiry(connection: Connection) -> Reservation | Refusal:
        reservations.expire(connection, asked.account, now)
        try:
            with connection.begin_nested():
                return _hold(connection, asked, stopping)
        except _RefusedError as refused:
            return refused.refusal

    return in_transaction(engine, after_expiry)


def _checked(ask: Ask, now: datetime) -> Reservation:
    """The reservation that is asked for, before it is known what it has to hold back."""
    event_id = read_event_id(ask.event_id)
    return Reservation(
        account=check_account(ask.account),
        reservation_id=None,
        identity=None if event_id is None else identity_key("event", event_id),
        owner=check_said(ask.owner, "owner"),
        cost=check_count(ask.cost, "cost"),
        tokens=check_count(ask.tokens, "tokens"),
        parts=(),
        state=OPEN,
        reserved_at=now,
        expires_at=now + check_lifetime(ask.lifetime),
        ended_at=None,
    )


def _budgets(engine: Engine, name: str, ask: Ask) -> list[Budget]:
    """The budgets that stop a scope: one indexed read, and those of the account where they are not known yet."""
    scope = read_attribution(ask._asdict())
    with reading(engine) as connection:
        try:
            account = accounts.get(connection, name)
        except NotFoundError:
            return []  # it is made at its first mention, and has no budgets
        if ask.currency not in (None, account.currency):
            raise InputError("currency", ask.currency, f"account {name!r} is in {account.currency}")
        if not account.budgets:
            return []
        matcher = budgets.matcher(connection, account)
    found = matcher.matching(tuple(scope.get(key) for key in matcher.keys))
    return [budget for budget in found if budget.stops]


def _hold(connection: Connection, asked: Reservation, stopping: Sequence[Hold]) -> Reservation:
    """Keep the reservation and hold back its parts, one after the other; raises where one of them does not fit."""
    while not reservations.add(connection, asked):
        assert asked.identity is not None
        first = reservations.of_call(connection, asked.account, asked.identity)
        if first is not None:  # else it was given back in between
            return _same(first, asked)
    for hold in stopping:
        standing = reservations.hold(connection, asked.account, hold)
        if standing is not None:
            raise _RefusedError(Refusal(asked.account, hold.budget, hold.period, *standing, hold.amount))
    return asked


def _same(first: Reservation, asked: Reservation) -> Reservation:
    if (first.cost, first.tokens) != (asked.cost, asked.tokens):
        remedy = "its call has a reservation of another cost or other tokens; release that one first"
        raise ConflictError("event_id", None, remedy)
    return first
