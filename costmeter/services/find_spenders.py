"""Find out who caused what a notice tells of, and when: from the cheapest table that answers exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from costmeter.core.errors import CostmeterError
from costmeter.core.notices import Notice, Spend
from costmeter.core.periods import parse_instant
from costmeter.core.steps import grain, steps
from costmeter.store.accounts import Account
from costmeter.store.days import measure
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums

BY = ("project", "user", "api_key")  # the first that is named and that the budget does not fix
LEADERS = 3
MOST_DAYS = 92  # that a chart shows, the last of them
QUARTER = timedelta(minutes=15)


def find_spenders(connection: Connection, notice: Notice) -> Spend | None:
    """By whom mostly the spend of a budget's notice came about, and how over time.

    None for what has no spend, and where that cannot be told any more: a notice is told without it.
    """
    facts = notice.facts
    try:
        start, end = parse_instant(facts["from"]), _until(notice)
        where = [f"{name}={value}" for name, value in facts["filters"].items()]
        scope = Scope.checked(start=start, end=end, account=notice.account, where=where)
        return _spend(connection, scope, scope.accounts(connection), facts)
    except (CostmeterError, KeyError):
        return None


def _until(notice: Notice) -> datetime:
    """The end of the period, or of the quarter hour in which it was noticed: whichever is earlier is exact enough."""
    noticed = notice.created_at - (notice.created_at - datetime.min.replace(tzinfo=notice.created_at.tzinfo)) % QUARTER
    ended = notice.facts["to"]
    return noticed + QUARTER if ended is None else min(parse_instant(ended), noticed + QUARTER)


def _spend(connection: Connection, scope: Scope, in_scope: Sequence[Account], facts: Mapping[str, Any]) -> Spend:
    timezone = facts["timezone"]
    assert scope.period is not None
    assert scope.period.start is not None
    assert scope.period.end is not None
    start, end = scope.period.start, scope.period.end
    per = grain(start, end)
    sums = _sums(connection, scope, in_scope, per, facts)
    over_time = [(step.label, sums.get(step.key, 0)) for step in steps(per, start, end, timezone)]
    by, leaders = _leaders(connection, scope, in_scope, facts)
    return Spend(by, leaders, sum(sums.values()), per, over_time[-MOST_DAYS:])


def _leaders(
    connection: Connection, scope: Scope, in_scope: Sequence[Account], facts: Mapping[str, Any]
) -> tuple[str, list[tuple[str, int]]]:
    for by in BY:
        if by in facts["filters"]:
            continue
        sums = _sums(connection, scope, in_scope, by, facts)
        if any(sums.keys()):
            largest = sorted(sums.items(), key=lambda item: (-item[1], item[0] or ""))[:LEADERS]
            return by, [(name or f"no {by.replace('_', ' ')}", amount) for name, amount in largest if amount > 0]
    return BY[0], []


def _sums(
    connection: Connection, scope: Scope, in_scope: Sequence[Account], by: str, facts: Mapping[str, Any]
) -> dict[str | None, int]:
    found: dict[str | None, int] = {}
    for record in read_sums(connection, scope, in_scope, [by], facts["timezone"]):
        found[record[by]] = found.get(record[by], 0) + measure(record, facts["unit"])
    return found
