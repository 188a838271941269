"""Reservations: what somebody may spend until it expires, and of which budgets and periods it is held back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from costmeter.core.budgets import TOKENS, Budget
from costmeter.core.errors import InputError
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import Period

OPEN, SETTLED, RELEASED, EXPIRED = "open", "settled", "released", "expired"
STATES = (OPEN, SETTLED, RELEASED, EXPIRED)
# DeepSeek ends a call after 30 minutes (api-docs.deepseek.com, quick_start/rate_limit); its charge comes a bit later.
LIFETIME = timedelta(minutes=35)
LONGEST = timedelta(days=1)


class Part(NamedTuple):
    """What a reservation holds back of a budget's period, in the budget's unit."""

    number: int
    starts_at: datetime
    amount: int


class Reservation(NamedTuple):
    """What somebody may spend, `cost` in units of 10^-12 of the account's currency, until it expires.

    Where no budget stops the scope there is nothing to hold back: it has no parts, no id, and is kept nowhere.
    `identity` stands for the call that it is for.
    """

    account: str
    reservation_id: bytes | None
    identity: bytes | None
    owner: str
    cost: int
    tokens: int
    parts: Sequence[Part]
    state: str
    reserved_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class Hold(NamedTuple):
    """A part that is asked for, with its budget and period."""

    budget: Budget
    period: Period
    amount: int

    @property
    def part(self) -> Part:
        assert self.period.start is not None
        return Part(self.budget.number, self.period.start, self.amount)


class Refusal(NamedTuple):
    """That a budget does not cover what was asked for: how it stood, in its unit, when it was asked."""

    account: str
    budget: Budget
    period: Period
    spent: int
    reserved: int
    asked: int

    @property
    def left(self) -> int:
        """What could have been reserved; negative where more is spent than the budget has."""
        return self.budget.amount - self.spent - self.reserved


def holds(budgets: Iterable[Budget], cost: int, tokens: int, during: Period) -> list[Hold]:
    """What is held back of budgets, by number and period, while a call may still be charged to them.

    A call is charged to the period that it completes in, which may be any that begins before the reservation expires.
    """
    found = [
        Hold(budget, period, tokens if budget.unit == TOKENS else cost)
        for budget in budgets
        for period in _periods(budget, during)
    ]
    return sorted(found, key=lambda hold: hold.part)


def _periods(budget: Budget, during: Period) -> Iterator[Period]:
    """The periods of a budget that have an instant in common with a stretch of time."""
    assert during.start is not None
    assert during.end is not None
    instant: datetime | None = max(during.start, budget.starts_at)
    while instant is not None and instant < during.end:
        period = budget.period_of(instant)
        if period is None:
            return
        yield period
        instant = period.end


def check_count(value: object, field: str) -> int:
    """An amount to reserve: a whole number from 0 on, within 64 bits."""
    if type(value) is not int or not 0 <= value <= MAX_AMOUNT:
        raise InputError(field, value, f"must be from 0 to {MAX_AMOUNT}")
    return value


def check_lifetime(lifetime: timedelta) -> timedelta:
    """How long a reservation lasts: from a second to a day."""
    if not timedelta(seconds=1) <= lifetime <= LONGEST:
        raise InputError("seconds", int(lifetime.total_seconds()), "a reservation lasts from a second to a day, 86400")
    return lifetime


def check_state(value: object) -> str:
    """One of the states of a reservation."""
    if value not in STATES:
        raise InputError("state", value, f"use one of {', '.join(STATES)}")
    return str(value)
