"""Add a budget: a limit on what an account's calls may cost, or on their tokens, in each period."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.budgets import (
    ACTUAL,
    DEFAULT_THRESHOLDS,
    FORECAST,
    TOKENS,
    Budget,
    by_period,
    check_edge,
    check_filters,
    check_name,
    check_per,
    first_start,
    format_limit,
    parse_limit,
    parse_threshold,
    room,
)
from costmeter.core.errors import ConflictError, InputError
from costmeter.core.events import check_account
from costmeter.core.periods import Period, format_instant, zone
from costmeter.core.secrets import without_secrets
from costmeter.core.texts import check_said
from costmeter.services.count_budgets import Movement, tell_crossings
from costmeter.store import accounts, audit, budget_periods, budget_sums, budgets, detached
from costmeter.store.accounts import Account, Home
from costmeter.store.budget_periods import PeriodKey
from costmeter.store.budgets import KeptBudget
from costmeter.store.engine import in_transaction


class NewBudget(NamedTuple):
    """A budget as it is asked for: either an amount of the account's currency, or tokens.

    `thresholds` and `forecasts` are percentages ("80%") or amounts; None is 80% and 100%, and no forecast. `timezone`
    None is the account's, `starts_at` None the beginning of the present period.
    """

    account: str
    name: str
    per: str
    amount: str | None = None
    tokens: int | str | None = None
    where: Sequence[str] = ()
    timezone: str | None = None
    thresholds: Sequence[str] | None = None
    forecasts: Sequence[str] = ()
    stops: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    channels: Sequence[str] | None = None


def add_budget(engine: Engine, new: NewBudget, *, by: str, home: Home, now: datetime) -> tuple[KeptBudget, bool]:
    """The budget as it is kept, and whether it was added now (False: one of the name says the same).

    Calls that are posted already count at once, and what the present period has crossed by them is raised. Another
    budget of the name is a ConflictError.
    """
    account, by = check_account(new.account), check_said(by, "by")
    check_name(new.name)

    def add(connection: Connection) -> tuple[KeptBudget, bool]:
        accounts.make_missing(connection, [account], home, now)
        locked = accounts.lock(connection, account)
        first = budgets.in_force(connection, [account], new.name)
        budget = check_new(new, locked, now, first[0].budget if first else None)
        if first:
            return _same(first[0], budget), False
        return put_budget(connection, locked, budget, by=by, now=now), True

    return in_transaction(engine, add)


def put_budget(connection: Connection, account: Account, budget: Budget, *, by: str, now: datetime) -> KeptBudget:
    """Keep a checked budget of an account that is locked, and count what is posted already."""
    budget = budgets.add(connection, account.account, budget, by=by, now=now)
    _count(connection, account, budget, now)
    audit.add(connection, "budget.add", budget.name, budget_change(budget), by=by, at=now, account=account.account)
    return KeptBudget(account.account, budget, now, by)


def check_new(new: NewBudget, account: Account, now: datetime, first: Budget | None) -> Budget:
    """The budget with what it says made good, or InputError; a start left out is that of the one kept already."""
    if (new.amount is None) == (new.tokens is None):
        raise InputError("amount", new.amount, "give either an amount or tokens")
    per, timezone = check_per(new.per), new.timezone or account.timezone
    zone(timezone)
    unit = account.currency if new.tokens is None else TOKENS
    field = "amount" if new.tokens is None else "tokens"
    amount = parse_limit(new.amount if new.tokens is None else new.tokens, unit, field)
    wanted = DEFAULT_THRESHOLDS if new.thresholds is None else new.thresholds
    thresholds = [
        parse_threshold(text, of, unit, amount)
        for of, texts in ((ACTUAL, wanted), (FORECAST, new.forecasts))
        for text in texts
    ]
    distinct = {threshold.said: threshold for threshold in thresholds}
    ordered = sorted(distinct.values(), key=lambda one: (one.of, one.amount, one.at))
    starts_at = new.starts_at or (first.starts_at if first else first_start(per, timezone, now))
    check_edge(starts_at, "from")
    if new.ends_at is not None and check_edge(new.ends_at, "to") <= starts_at:
        raise InputError("to", format_instant(new.ends_at), f"must be after the start {format_instant(starts_at)}")
    filters = {key: without_secrets(value) for key, value in check_filters(new.where).items()}
    return Budget(
        first.number if first else 0, new.name, filters, per, timezone, unit, amount, ordered, new.stops,
        starts_at, new.ends_at, None if new.channels is None else sorted(set(new.channels)),
    )  # fmt: skip


def _same(first: KeptBudget, budget: Budget) -> KeptBudget:
    if budget_change(first.budget) != budget_change(budget):
        remedy = "is another budget already; nothing was changed. Remove it first, or choose another name"
        raise ConflictError("budget", budget.name, remedy)
    return first


def _count(connection: Connection, account: Account, budget: Budget, now: datetime) -> None:
    """Count the calls that are posted; only the present period has anything to tell."""
    detached.refuse_period(connection, [account.account], Period(budget.starts_at, budget.ends_at))
    spent = by_period(budget, budget_sums.by_quarter(connection, account, budget))
    rows = {}
    for period, amount in spent.items():
        assert period.start is not None
        rows[PeriodKey(account.account, budget.number, period.start)] = (amount, room(budget, amount))
    budget_periods.save_spent(connection, rows)
    present = budget.period_of(now)
    if present in spent:
        tell_crossings(connection, Movement(account.account, budget, present, 0, spent[present]), now)


def budget_change(budget: Budget) -> dict[str, Any]:
    """What the audit log says of a budget."""
    return {
        "filters": dict(budget.filters),
        "per": budget.per,
        "timezone": budget.timezone,
        "unit": budget.unit,
        "amount": format_limit(budget.amount, budget.unit),
        "thresholds": [one.said for one in budget.thresholds],
        "stops": budget.stops,
        "starts_at": format_instant(budget.starts_at),
        "ends_at": format_instant(budget.ends_at) if budget.ends_at else None,
        "channels": None if budget.channels is None else list(budget.channels),
    }
