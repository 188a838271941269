"""Reserve: whether somebody may spend an estimated cost now, held back of the budgets that stop until it is settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.budgets import BALANCE, Budget, Matcher, balance_limit
from costmeter.core.errors import ConflictError, InputError, NotFoundError
from costmeter.core.events import check_account, read_attribution, read_event_id
from costmeter.core.money import MAX_AMOUNT
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
from costmeter.core.texts import check_said
from costmeter.store import accounts, balances, budgets, reservations
from costmeter.store.accounts import Account
from costmeter.store.engine import in_transaction, reading
from costmeter.store.keys import identity_key, new_key


class Ask(NamedTuple):
    """What somebody would spend, and who: at most `cost`, in units of 10^-12 of the account's currency, and `tokens`.

    The scope is told as the usage event of the call will tell it; `model` is what the response will name. A budget that
    filters by what is left out does not count. With the call's `event_id` its charge ends the reservation. `currency`,
    where it is said, must be the account's. `of_balance`: the account's balance has to cover it, too, where it has one.
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
    of_balance: bool = False


class Stops(NamedTuple):
    """What stops an account's calls, as it was when somebody looked."""

    currency: str
    matcher: Matcher

    def matching(self, scope: Mapping[str, str | None]) -> list[Budget]:
        """The budgets that stop calls of a scope."""
        found = self.matcher.matching(tuple(scope.get(key) for key in self.matcher.keys))
        return [budget for budget in found if budget.stops]


NO_BUDGETS = Matcher(())


class _RefusedError(Exception):
    """Takes back what was held before a budget refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


def reserve(engine: Engine, ask: Ask, *, now: datetime, stops: Stops | None = None) -> Reservation | Refusal:
    """A reservation of every budget that stops the scope, all of them or none; else which of them refuses.

    Asked again for the same event id it is the same reservation, while that is open or after it was settled; of another
    cost or other tokens it is a ConflictError. Where no budget stops the scope nothing is written. What has expired
    holds nothing back: it is ended before anybody is refused. Who knows what `stops` the account saves its
    reading. Raises InputError for what cannot be used.
    """
    asked, scope = _checked(ask, now), read_attribution(ask._asdict())
    stops = stops or _stops(engine, asked.account)
    if stops is None:
        return asked  # the account is made at its first mention, and has neither budgets nor a balance
    if ask.currency not in (None, stops.currency):
        raise InputError("currency", ask.currency, f"account {asked.account!r} is in {stops.currency}")
    found = stops.matching(scope)
    if ask.of_balance:
        if not stops.matcher.holds_balance:
            hold_balance(engine, asked.account, by=asked.owner, now=now)
        found = [balance_limit(stops.currency), *found]
    stopping = holds(found, asked.cost, asked.tokens, Period(now, asked.expires_at))
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


def _stops(engine: Engine, name: str) -> Stops | None:
    """What stops an account: one indexed read, and its budgets where they are not known yet."""
    with reading(engine) as connection:
        try:
            account = accounts.get(connection, name)
        except NotFoundError:
            return None
        return stops_of(connection, account)


def stops_of(connection: Connection, account: Account) -> Stops:
    """What stops an account as it is."""
    return Stops(account.currency, budgets.matcher(connection, account) if account.budgets else NO_BUDGETS)


def hold_balance(engine: Engine, name: str, *, by: str, now: datetime) -> None:
    """Let reservations hold back of an account's balance from now on, if they do not yet."""

    def add(connection: Connection) -> None:
        account = accounts.lock(connection, name)
        if not budgets.holds_balance(connection, name):
            budgets.add_balance(connection, account, by=by, now=now)

    in_transaction(engine, add)


def _hold(connection: Connection, asked: Reservation, stopping: Sequence[Hold]) -> Reservation:
    """Keep the reservation and hold back its parts, one after the other; raises where one of them does not fit."""
    while not reservations.add(connection, asked):
        assert asked.identity is not None
        first = reservations.of_call(connection, asked.account, asked.identity)
        if first is not None:  # else it was given back in between
            return _same(first, asked)
    for hold in stopping:
        if hold.budget.number == BALANCE:
            _hold_of_balance(connection, asked, hold)
            continue
        standing = reservations.hold(connection, asked.account, hold)
        if standing is not None:
            raise _RefusedError(Refusal(asked.account, hold.budget, hold.period, *standing, hold.amount))
    return asked


def _hold_of_balance(connection: Connection, asked: Reservation, hold: Hold) -> None:
    """Hold back of what the account has for as long as the reservation lasts; raises where that is not enough.

    The balance is read after its row is locked, by a statement of its own: whoever posts a call that has a reservation
    gives that back under the same lock, so that what it took and what it held are either both seen or both not.
    """
    reserved = reservations.hold_anyway(connection, asked.account, hold.part)
    balance = balances.available(connection, asked.account, Period(asked.reserved_at, asked.expires_at))
    most = MAX_AMOUNT if balance is None else balance
    if reserved > most:
        limit = hold.budget._replace(amount=most)
        raise _RefusedError(Refusal(asked.account, limit, hold.period, 0, reserved - hold.amount, hold.amount))


def _same(first: Reservation, asked: Reservation) -> Reservation:
    if (first.cost, first.tokens) != (asked.cost, asked.tokens):
        remedy = "its call has a reservation of another cost or other tokens; release that one first"
        raise ConflictError("event_id", None, remedy)
    return first
