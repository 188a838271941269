"""Tell a forecast: raise or recover the alerts of a budget's thresholds of forecast spend."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.budgets import FORECAST, Budget, format_limit
from costmeter.core.forecast import Forecast
from costmeter.core.periods import Period
from costmeter.services.count_budgets import budget_facts, crossing_of
from costmeter.store import accounts, alerts, budgets
from costmeter.store.engine import in_transaction

KIND = "forecast"
RECOVERS = 95  # percent of a threshold that a forecast must fall below: it wavers from hour to hour


class Foreseen(NamedTuple):
    """What a period of a budget will come to."""

    account: str
    budget: Budget
    period: Period
    forecast: Forecast


def tell_forecast(engine: Engine, foreseen: Foreseen, *, now: datetime) -> int:
    """How many alerts were raised or recovered, each once in a period; none where the budget was removed meanwhile."""
    account, budget = foreseen.account, foreseen.budget

    def tell(connection: Connection) -> int:
        accounts.lock(connection, account)
        in_force = budgets.in_force(connection, [account], budget.name)
        if not in_force or in_force[0].budget.number != budget.number:
            return 0
        return sum(_tell(connection, foreseen, at, now) for at in range(len(budget.thresholds)))

    return in_transaction(engine, tell)


def _tell(connection: Connection, foreseen: Foreseen, at: int, now: datetime) -> int:
    account, budget, period, found = foreseen
    threshold = budget.thresholds[at]
    if threshold.of != FORECAST:
        return 0
    amounts = {"forecast": found.amount, "low": found.low, "high": found.high}
    facts = budget_facts(budget, period, threshold, found.spent, now)
    facts |= {name: format_limit(amount, budget.unit) for name, amount in amounts.items()}
    crossing = crossing_of(account, budget, period, threshold)
    if found.amount >= threshold.amount:
        return alerts.raise_once(connection, crossing, KIND, facts, now=now, channels=budget.channels)
    if found.amount * 100 < threshold.amount * RECOVERS:
        return alerts.recover(connection, crossing, KIND, facts, now=now, channels=budget.channels)
    return 0
