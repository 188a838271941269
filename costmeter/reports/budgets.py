"""Budgets as they stand now, as the command line, HTTP and the pages show them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from costmeter.core.budgets import ACTUAL, Budget, format_limit
from costmeter.core.notices import share
from costmeter.core.periods import Period, format_instant
from costmeter.store import budget_periods, budgets
from costmeter.store.budget_periods import PeriodKey, Spent
from costmeter.store.budgets import KeptBudget


class Standing(NamedTuple):
    """A budget with its present period, and what is spent and reserved of that; it has none outside start and end."""

    kept: KeptBudget
    period: Period | None
    spent: Spent


def budget_states(
    connection: Connection, accounts: Collection[str] | None, now: datetime, name: str | None = None
) -> list[dict[str, Any]]:
    """The budgets in force of all or of some accounts, each with what is spent of its present period."""
    return [state_shape(one) for one in standing_budgets(connection, accounts, now, name)]


def standing_budgets(
    connection: Connection, accounts: Collection[str] | None, now: datetime, name: str | None = None
) -> list[Standing]:
    """The budgets in force of all or of some accounts, by account and name."""
    found = [(one, one.budget.period_of(now)) for one in budgets.in_force(connection, accounts, name)]
    spent = budget_periods.periods(connection, [key_of(one, period) for one, period in found if period is not None])
    nothing = Spent(0, 0)
    return [
        Standing(one, period, nothing if period is None else spent.get(key_of(one, period), nothing))
        for one, period in found
    ]


def key_of(kept: KeptBudget, period: Period) -> PeriodKey:
    """Where a period's sums are kept."""
    assert period.start is not None
    return PeriodKey(kept.account, kept.budget.number, period.start)


def state_shape(standing: Standing) -> dict[str, Any]:
    """A budget and how it stands; outside its start and end it has no period, and nothing is spent of it."""
    kept, period, (spent, reserved) = standing
    budget = kept.budget
    shape = {
        **budget_shape(kept),
        "period": None,
        "spent": None,
        "reserved": None,
        "left": None,
        "used_percent": None,
        "crossed": [],
    }
    if period is None:
        return shape
    return shape | {
        "period": period_shape(period),
        "spent": format_limit(spent, budget.unit),
        "reserved": format_limit(reserved, budget.unit),
        "left": format_limit(budget.amount - spent, budget.unit),
        "used_percent": used_percent(budget, spent),
        "crossed": [one.said for one in budget.thresholds if one.of == ACTUAL and one.amount <= spent],
    }


def period_shape(period: Period) -> dict[str, str | None]:
    """A period as JSON has it; its end is null where there is none."""
    start, end = (None if edge is None else format_instant(edge) for edge in period)
    return {"from": start, "to": end}


def used_percent(budget: Budget, spent: int) -> str:
    """How much of a budget is spent, in percent, rounded down."""
    return share(spent, budget.amount).removesuffix(" %")


def budget_shape(kept: KeptBudget) -> dict[str, Any]:
    """A budget as it was made."""
    budget: Budget = kept.budget
    return {
        "account": kept.account,
        "budget": budget.name,
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
        "created_at": format_instant(kept.created_at),
        "created_by": kept.created_by,
    }
