"""What budgets will come to, by the clock: their thresholds of forecast spend."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.budgets import FORECAST
from costmeter.core.errors import DetachedError
from costmeter.core.forecast import Forecast
from costmeter.reports.forecast import period_forecast
from costmeter.services.run_job import Done
from costmeter.services.tell_forecast import Foreseen, tell_forecast
from costmeter.store import accounts, budgets
from costmeter.store.budgets import KeptBudget
from costmeter.store.engine import reading


def tell_forecasts(engine: Engine, now: datetime) -> Done:
    """Reckon what the present period of each budget with such a threshold will come to, and tell what that crosses.

    A period of which nothing can be foreseen yet is passed over.
    """
    with reading(engine) as connection:
        asked = [one for one in budgets.in_force(connection) if any(t.of == FORECAST for t in one.budget.thresholds)]
        foreseen = [found for one in asked if (found := _foresee(connection, one, now)) is not None]
    told = sum(tell_forecast(engine, one, now=now) for one in foreseen)
    return Done(f"foresaw {len(foreseen):,} of {len(asked):,} budgets, and told {told:,} alerts")


def _foresee(connection: Connection, kept: KeptBudget, now: datetime) -> Foreseen | None:
    budget = kept.budget
    period = budget.period_of(now)
    if period is None:
        return None
    account = accounts.get(connection, kept.account)
    try:
        found = period_forecast(
            connection, account, budget.filters, period, budget.unit, timezone=budget.timezone, now=now
        )
    except DetachedError:
        return None  # a period whose calls are away is not spent any more
    return Foreseen(kept.account, budget, period, found) if isinstance(found, Forecast) else None
