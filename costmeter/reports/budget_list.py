"""Many budgets at a glance: how each stands, and what is to come of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from costmeter.core.forecast import Pace, Unknown
from costmeter.reports.budgets import Standing, standing_budgets, state_shape
from costmeter.reports.outlook import NO_PERIOD, outlook_at, pace_of_budget, unasked
from costmeter.store.budget_sums import ROLLED_UP

Counted = tuple[str, tuple[tuple[str, str], ...], str, str]  # account, filters, unit and time zone
BY_CALLS = "it counts by user or tag, which takes longer: its own page tells"


def budget_list(
    connection: Connection, accounts: Collection[str] | None, now: datetime, *, first: int, limit: int
) -> dict[str, Any]:
    """Budgets in force from the `first` (0) on, at most `limit`; and how many there are, are used up, or past a part.

    What is to come is told of those whose calls rollups tell apart, which is quick; of others the budget's own report
    has it.
    """
    found = standing_budgets(connection, accounts, now)
    used_up = sum(one.spent.spent >= one.kept.budget.amount for one in found)
    crossed = sum(bool(state_shape(one)["crossed"]) for one in found)
    shown, paces = found[first : first + limit], dict[Counted, Pace | Unknown]()
    return {
        "count": len(found),
        "used_up": used_up,
        "crossed": crossed - used_up,
        "budgets": [{**state_shape(one), "outlook": _outlook(connection, one, now, paces)} for one in shown],
        "has_more": len(found) > first + limit,
    }


def _outlook(
    connection: Connection, standing: Standing, now: datetime, paces: dict[Counted, Pace | Unknown]
) -> dict[str, Any]:
    """What is to come of one of them; the pace of calls that several count is looked for once."""
    budget = standing.kept.budget
    if standing.period is None:
        return unasked(NO_PERIOD, standing)
    if not budget.filters.keys() <= ROLLED_UP:
        return unasked(BY_CALLS, standing)
    counted = (standing.kept.account, tuple(sorted(budget.filters.items())), budget.unit, budget.timezone)
    if counted not in paces:
        paces[counted] = pace_of_budget(connection, standing, now)
    return outlook_at(standing, paces[counted], now)
