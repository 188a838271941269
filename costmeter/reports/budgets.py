"""Budgets as they stand now, and alerts, as the command line and HTTP show them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from costmeter.core.budgets import Budget, format_limit
from costmeter.core.notices import share
from costmeter.core.periods import format_instant
from costmeter.store import budgets
from costmeter.store.alerts import Alert
from costmeter.store.budgets import KeptBudget, PeriodKey, Spent


def budget_states(
    connection: Connection, accounts: Collection[str] | None, now: datetime, name: str | None = None
) -> list[dict[str, Any]]:
    """The budgets in force of all or of some accounts, each with what is spent of its present period."""
    found = budgets.in_force(connection, accounts, name)
    periods = {(one.account, one.budget.number): one.budget.period_of(now) for one in found}
    keys = [
        PeriodKey(account, number, period.start)
        for (account, number), period in periods.items()
        if period is not None and period.start is not None
    ]
    spent = budgets.periods(connection, keys)
    return [_state(one, now, spent) for one in found]


def _state(kept: KeptBudget, now: datetime, spent: dict[PeriodKey, Spent]) -> dict[str, Any]:
    """A budget; outside its start and end it has no period, and nothing is spent of it."""
    budget, period = kept.budget, kept.budget.period_of(now)
    shape = {
        **budget_shape(kept),
        "period": None,
        "spent": None,
        "reserved": None,
        "left": None,
        "used_percent": None,
        "crossed": [],
    }
    if period is None or period.start is None:
        return shape
    of_period = spent.get(PeriodKey(kept.account, budget.number, period.start), Spent(0, 0))
    return shape | {
        "period": {"from": format_instant(period.start), "to": format_instant(period.end) if period.end else None},
        "spent": format_limit(of_period.spent, budget.unit),
        "reserved": format_limit(of_period.reserved, budget.unit),
        "left": format_limit(budget.amount - of_period.spent, budget.unit),
        "used_percent": share(of_period.spent, budget.amount).removesuffix(" %"),
        "crossed": [one.said for one in budget.thresholds if one.of == "actual" and one.amount <= of_period.spent],
    }


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


def alert_shape(alert: Alert) -> dict[str, Any]:
    """An alert; its account is null where it is of the installation."""
    return {
        "account": alert.account or None,
        "rule": alert.rule,
        "kind": alert.kind,
        "period": alert.period,
        "threshold": alert.threshold,
        "raised_at": format_instant(alert.raised_at),
        "recovered_at": format_instant(alert.recovered_at) if alert.recovered_at else None,
        "facts": alert.facts,
    }
