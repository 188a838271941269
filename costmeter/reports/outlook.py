"""What the present period of a budget will come to, and on which day it will be used up."""

from __future__ import annotations

from datetime import datetime, timedelta
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
    it `is_used_up` already, where it lasts through `looked_ahead_to`, and where nothing tells, which has neither.
    """
    return outlook_at(standing, pace_of_budget(connection, standing, now), now)


def pace_of_budget(connection: Connection, standing: Standing, now: datetime) -> Pace | Unknown:
    """What the calls that a budget counts take on a day to come; budgets that count the same have the same."""
    account, budget = accounts.get(connection, standing.kept.account), standing.kept.budget
    return pace_of_calls(connection, account, budget.filters, budget.unit, timezone=budget.timezone, now=now)


def outlook_at(standing: Standing, pace: Pace | Unknown, now: datetime) -> dict[str, Any]:
    """What is to come of a budget at a pace."""
    budget, period = standing.kept.budget, standing.period
    if period is None:
        return unasked(NO_PERIOD, standing)
    found: Forecast | Unknown = Unknown(NO_END)
    if period.end is not None:
        found = forecast_of_period(standing.spent.spent, period, pace, now, budget.timezone)
    told = {**unasked("", standing), **_shape(found, pace, budget.unit)}
    if isinstance(pace, Unknown):
        return told
    ahead = Period(now, now + timedelta(days=HORIZON) if period.end is None else period.end)
    rest = still_to_come(ahead, now, budget.timezone)
    ends = None if told["is_used_up"] else used_up_on(budget.amount - standing.spent.spent, rest, pace)
    return told | {
        "used_up_on": None if ends is None else ends.isoformat(),
        "looked_ahead_to": rest[-1].day.isoformat(),
    }


def unasked(reason: str, standing: Standing) -> dict[str, Any]:
    """The same where nothing tells, or where it was not looked for: what is to come is null."""
    is_used_up = standing.spent.spent >= standing.kept.budget.amount
    return {
        "forecast": None,
        "reason": reason,
        "is_used_up": is_used_up,
        "used_up_on": None,
        "looked_ahead_to": None,
    }


def _shape(found: Forecast | Unknown, pace: Pace | Unknown, unit: str) -> dict[str, Any]:
    if isinstance(found, Unknown):
        return {"forecast": None, "reason": found.reason}
    amounts = {name: format_limit(getattr(found, name), unit) for name in ("amount", "low", "high")}
    since = None if isinstance(pace, Unknown) else (pace.today - timedelta(days=pace.days)).isoformat()
    basis = {"days": found.days, "since": since}
    return {"forecast": {**amounts, "coverage_percent": COVERAGE, "basis": basis}, "reason": None}
