"""Count budgets: what charges add to the periods of an account's budgets, and the thresholds that they cross."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from costmeter.core.budgets import (
    TOKENS,
    Budget,
    Matcher,
    Threshold,
    crossed,
    format_limit,
    room,
)
from costmeter.core.events import UsageEvent
from costmeter.core.periods import Period, format_instant
from costmeter.services.settle_reservation import settle_posted
from costmeter.store import alerts, budgets, reservations
from costmeter.store.accounts import Account
from costmeter.store.alerts import Crossing
from costmeter.store.budgets import PeriodKey

KIND = "budget"


class Movement(NamedTuple):
    """What was spent of a budget in a period before, and what is after."""

    account: str
    budget: Budget
    period: Period
    before: int
    after: int


class Tally:
    """What charges of one account add to its budgets, summed by quarter hour and, for each group of budgets that filter
    by the same keys, by the values that some of them count."""

    def __init__(self, account: str, matcher: Matcher) -> None:
        self.account, self._matcher = account, matcher
        self._sums: dict[int, list[dict[Any, list[int]]]] = {}  # cost and tokens
        self.posted: list[str] = []  # the calls charged for the first time, where they may have reservations

    @classmethod
    def of(cls, connection: Connection, account: Account) -> Tally | None:
        """That of an account that is locked; None where it never had a budget."""
        return cls(account.account, budgets.matcher(connection, account)) if account.budgets else None

    def add(self, charge: Mapping[str, Any], event: UsageEvent, quarter: int) -> None:
        """Add one charge, a reversal included, of an event that was measured, which completed in a quarter hour."""
        assert event.usage is not None
        if self._matcher.stops and charge["revision"] == 1 and event.event_id is not None:
            self.posted.append(event.event_id)
        hit, miss, output = event.usage[:3]
        cost, tokens = charge["cost"] or 0, charge["sign"] * (hit + miss + output)
        values = self._matcher.values(event)
        of_quarter = self._sums.get(quarter)
        if of_quarter is None:
            of_quarter = self._sums[quarter] = [{} for _ in self._matcher.groups]
        for (pick, counted), of_group in zip(self._matcher.groups, of_quarter, strict=True):
            value = pick(values)
            if (sums := of_group.get(value)) is not None:
                sums[0] += cost
                sums[1] += tokens
            elif value in counted:
                of_group[value] = [cost, tokens]

    def moved(self) -> Iterator[tuple[Budget, Period, int]]:
        """Each period of each budget whose spend it moves, and by how much."""
        found: dict[tuple[int, Period], int] = {}
        for quarter, of_quarter in self._sums.items():
            for (_, counted), of_group in zip(self._matcher.groups, of_quarter, strict=True):
                for value, sums in of_group.items():
                    for budget in counted[value]:
                        period = budget.period_at(quarter)
                        if period is not None:
                            key = budget.number, period
                            found[key] = found.get(key, 0) + sums[budget.unit == TOKENS]
        for (number, period), amount in found.items():
            if amount:
                yield self._matcher.by_number[number], period, amount


def count_budgets(connection: Connection, tallies: Collection[Tally], now: datetime) -> None:
    """Add what was tallied to the budgets' periods, and raise or recover the alerts of thresholds that it crosses.

    In the transaction of the charges and under the locks of their accounts. What the calls had reserved is given back.
    """
    held = settle_posted(connection, {tally.account: tally.posted for tally in tallies if tally.posted}, now)
    moved = [(tally.account, *move) for tally in tallies for move in tally.moved()]
    if not moved and not held:
        return
    keys = [PeriodKey(account, budget.number, period.start) for account, budget, period, _ in moved if period.start]
    if held:  # in one order, as whoever reserves locks these rows too
        reservations.lock_periods(connection, [*(held.keys() | set(keys))])
    found, rows = budgets.spent_of(connection, keys), {}
    for key, (account, budget, period, amount) in sorted(zip(keys, moved, strict=True)):
        before = found.get(key, 0)
        after = before + amount
        rows[key] = (after, room(budget, after))
        if budget.crosses(before, after):
            tell_crossings(connection, Movement(account, budget, period, before, after), now)
    budgets.save_spent(connection, rows)
    reservations.give_back(connection, held)


def tell_crossings(connection: Connection, moved: Movement, now: datetime) -> None:
    """Raise the thresholds of actual spend that were crossed on the way up, recover those on the way down."""
    budget = moved.budget
    up, down = crossed(budget, moved.before, moved.after)
    for thresholds, tell in ((up, alerts.raise_once), (down, alerts.recover)):
        for threshold in thresholds:
            facts = budget_facts(budget, moved.period, threshold, moved.after, now)
            crossing = crossing_of(moved.account, budget, moved.period, threshold)
            tell(connection, crossing, KIND, facts, now=now, channels=budget.channels)


def crossing_of(account: str, budget: Budget, period: Period, threshold: Threshold) -> Crossing:
    """What of a budget is told once: a threshold in a period."""
    assert period.start is not None
    return Crossing(account, f"budget {budget.number}", format_instant(period.start), threshold.said)


def budget_facts(budget: Budget, period: Period, threshold: Threshold, spent: int, now: datetime) -> dict[str, Any]:
    """What an alert says of a budget; it is late where the period was over before its threshold was crossed."""
    return {
        "budget": budget.name,
        "number": budget.number,
        "filters": dict(budget.filters),
        "unit": budget.unit,
        "spent": format_limit(spent, budget.unit),
        "amount": format_limit(budget.amount, budget.unit),
        "threshold": threshold.said,
        "per": budget.per,
        "timezone": budget.timezone,
        "from": format_instant(period.start) if period.start else None,
        "to": format_instant(period.end) if period.end else None,
        "is_late": period.end is not None and period.end <= now,
        "stops": budget.stops,
    }
