"""What the present period of a budget will come to, and on which day it will be used up."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from costmeter.core.budgets import format_limit
from costmeter.core.burn import used_up_on
from costmeter.core.forecast import COVERAGE, Forecast, Pace, Unknown, still_to_come
from costmeter.core.periods import Period
from costmeter.core.runway import HORIZON
from costmeter.reports.budgets import Standing
from costmeter.reports.forecast import forecast_of_period, pace_of_calls
from costmeter.store import accounts

NO_PERIOD = "now is not within the budget's start and end"
NO_END = "the period has no end"


def outlook(connection: Connection, standing: Standing, now: datetime) -> dict[str, Any]:
    """What is to come of a budget, at the pace of the whole days before today: docs/budgets.md has the method.

    `forecast` is null where `reason` says why. `used_up_on` is the first day on which what is left is spent; null where
    it is used up already, where it lasts through `looked_ahead_to`, and where nothing tells, which has neither.
    """
    budget, period = standing.kept.budget, standing.period
    if period is None:
        return _told(Unknown(NO_PERIOD), None, None, budget.unit)
    account = accounts.get(connection, standing.kept.account)
    pace = pace_of_calls(connection, account, budget.filters, budget.unit, timezone=budget.timezone, now=now)
    found: Forecast | Unknown = Unknown(NO_END)
    if period.end is not None:
        found = forecast_of_period(standing.spent.spent, period, pace, now, budget.timezone)
    if isinstance(pace, Unknown):
        return _told(found, None, None, budget.unit)
    ahead = Period(now, now + timedelta(days=HORIZON) if period.end is None else period.end)
    rest = still_to_come(ahead, now, budget.timezone)
    left = budget.amount - standing.spent.spent
    ends = used_up_on(left, rest, pace) if left > 0 else None
    return _told(found, ends, rest[-1].day, budget.unit, pace)


def unasked(reason: str, unit: str) -> dict[str, Any]:
    """The same where it was not looked for."""
    return _told(Unknown(reason), None, None, unit)


def _told(
    found: Forecast | Unknown, ends: date | None, ahead: date | None, unit: str, pace: Pace | None = None
) -> dict[str, Any]:
    used_up_on, looked_ahead_to = (None if day is None else day.isoformat() for day in (ends, ahead))
    shape: dict[str, Any] = {"forecast": None, "reason": None}
    shape |= {"used_up_on": used_up_on, "looked_ahead_to": looked_ahead_to}
    if isinstance(found, Unknown):
        return shape | {"reason": found.reason}
    amounts = {name: format_limit(getattr(found, name), unit) for name in ("amount", "low", "high")}
    since = None if pace is None else (pace.today - timedelta(days=pace.days)).isoformat()
    basis = {"days": found.days, "since": since}
    return shape | {"forecast": {**amounts, "coverage_percent": COVERAGE, "basis": basis}}
