"""Many budgets at a glance: how each stands, and what is to come of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from costmeter.reports.budgets import Standing, standing_budgets, state_shape
from costmeter.reports.outlook import outlook, unasked
from costmeter.store.budget_sums import ROLLED_UP

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
    return {
        "count": len(found),
        "used_up": used_up,
        "crossed": crossed - used_up,
        "budgets": [_shape(connection, one, now) for one in found[first : first + limit]],
        "has_more": len(found) > first + limit,
    }


def _shape(connection: Connection, standing: Standing, now: datetime) -> dict[str, Any]:
    budget = standing.kept.budget
    is_quick = budget.filters.keys() <= ROLLED_UP
    told = outlook(connection, standing, now) if is_quick else unasked(BY_CALLS, standing)
    return {**state_shape(standing), "outlook": told}
