"""How one budget burns: its present period step by step, by what mostly, and the periods before it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from costmeter.core.budgets import format_limit
from costmeter.core.burn import even_pace, periods_before
from costmeter.core.errors import DetachedError
from costmeter.core.lessons import percent
from costmeter.core.periods import QUARTER_MICROS, Period, format_instant, from_micros, quarter_of
from costmeter.core.steps import grain, steps
from costmeter.reports.budgets import Standing, key_of, period_shape, standing_budgets, state_shape, used_percent
from costmeter.reports.outlook import outlook
from costmeter.store import accounts, budget_periods, budgets
from costmeter.store.accounts import Account
from costmeter.store.days import measure
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums

MOST_STEPS = 366  # that are told one by one, the last of them
LARGEST = 5  # of what costs the most
PERIODS = 12  # of the past, at once
BY = ("project", "api_key", "model")  # the first that is named and that the budget does not fix


def budget_report(
    connection: Connection, account: str, name: str, now: datetime, *, before: datetime | None = None
) -> dict[str, Any]:
    """A budget in force as `GET /v1/reports/budget` tells it; past periods are those before `before`, by default now.

    `steps` and `mostly` are null where the budget has no present period, or calls of it are detached.
    """
    own = accounts.get(connection, account)
    budgets.get(connection, own.account, name)
    (standing,) = standing_budgets(connection, [own.account], now, name)
    shape = {**state_shape(standing), "number": standing.kept.budget.number}
    shape |= {"outlook": outlook(connection, standing, now), "steps": None, "mostly": None}
    if standing.period is not None:
        shape |= _of_period(connection, own, standing, standing.period, now)
    return shape | _periods(connection, standing, min(before or now, now))


def _of_period(
    connection: Connection, account: Account, standing: Standing, period: Period, now: datetime
) -> dict[str, Any]:
    budget = standing.kept.budget
    assert period.start is not None
    # Some quarter hours ahead of now: a call may be recorded that its vendor's clock completed in minutes to come.
    ahead = from_micros((quarter_of(now + timedelta(minutes=15)) + 1) * QUARTER_MICROS)
    until = ahead if period.end is None else min(period.end, ahead)
    scope = Scope(period=Period(period.start, until), account=account.account, where=budget.filters)
    try:
        in_scope = scope.accounts(connection)
        told = _steps(connection, scope, in_scope, standing, period)
        return {"steps": told, "mostly": _mostly(connection, scope, in_scope, standing)}
    except DetachedError:
        return {}


def _steps(
    connection: Connection, scope: Scope, in_scope: Sequence[Account], standing: Standing, period: Period
) -> dict[str, Any]:
    """What was spent on each day or hour, and altogether by its end, beside the even pace."""
    budget = standing.kept.budget
    assert scope.period is not None
    start, until = scope.period
    assert start is not None
    assert until is not None
    per = grain(start, period.end or until)
    sums = _sums(connection, scope, in_scope, standing, per)
    so_far, rows = 0, []
    for step in steps(per, start, until, budget.timezone):
        so_far += sums.get(step.key, 0)
        even = even_pace(budget, period, step.end)
        rows.append({
            "step": step.key,
            "label": step.label,
            "spent": format_limit(sums.get(step.key, 0), budget.unit),
            "so_far": format_limit(so_far, budget.unit),
            "even": None if even is None else format_limit(even, budget.unit),
        })  # fmt: skip
    shown = {"per": per, "to": format_instant(until), "left_out": max(0, len(rows) - MOST_STEPS)}
    return shown | {"rows": rows[-MOST_STEPS:]}


def _mostly(
    connection: Connection, scope: Scope, in_scope: Sequence[Account], standing: Standing
) -> dict[str, Any] | None:
    """What took the most: the largest projects, or API keys, or models, and what the others come to."""
    budget = standing.kept.budget
    for by in BY:
        if by in budget.filters:
            continue
        sums = _sums(connection, scope, in_scope, standing, by)
        if any(sums):
            ordered = sorted(((key, amount) for key, amount in sums.items() if amount), key=_largest_first)
            total, others = sum(sums.values()), ordered[LARGEST:]
            rows = [
                {"name": key, "spent": format_limit(amount, budget.unit), "percent": percent(amount, total)}
                for key, amount in ordered[:LARGEST]
            ]
            rest = format_limit(sum(amount for _, amount in others), budget.unit)
            return {"by": by, "rows": rows, "others": {"count": len(others), "spent": rest}}
    return None


def _largest_first(item: tuple[str | None, int]) -> tuple[int, str]:
    return -item[1], item[0] or ""


def _sums(
    connection: Connection, scope: Scope, in_scope: Sequence[Account], standing: Standing, by: str
) -> dict[str | None, int]:
    budget = standing.kept.budget
    found: dict[str | None, int] = {}
    for record in read_sums(connection, scope, in_scope, [by], budget.timezone):
        found[record[by]] = found.get(record[by], 0) + measure(record, budget.unit)
    return found


def _periods(connection: Connection, standing: Standing, before: datetime) -> dict[str, Any]:
    """The periods that are over, the newest first, and from where to look further back (null: there are no more)."""
    kept, budget = standing.kept, standing.kept.budget
    found = [*islice(periods_before(budget, before), PERIODS + 1)]
    shown = found[:PERIODS]
    spent = budget_periods.periods(connection, [key_of(kept, period) for period in shown])
    rows = []
    for period in shown:
        of_period = spent.get(key_of(kept, period))
        amount = of_period.spent if of_period else 0
        rows.append({
            **period_shape(period),
            "spent": format_limit(amount, budget.unit),
            "used_percent": used_percent(budget, amount),
        })  # fmt: skip
    return {"periods": rows, "periods_before": rows[-1]["from"] if len(found) > PERIODS else None}
