"""Promise 6 for budgets: what is kept of their periods equals what the charges say; and rebuilding it from them.

Periods that begin no later than a call of a detached month cannot be told anew, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection

from costmeter.core.budgets import Budget, by_period, format_limit, room
from costmeter.core.periods import format_instant
from costmeter.store import budget_periods, budget_sums, budgets, detached
from costmeter.store.accounts import Account
from costmeter.store.budget_periods import PeriodKey


def budget_findings(connection: Connection, account: Account) -> Iterator[str]:
    """What of the periods of an account's budgets is not so, by the charges themselves."""
    for budget, had, fresh in _compared(connection, account):
        for start in sorted(had.keys() | fresh.keys()):
            if had.get(start, 0) != fresh.get(start, 0):
                was, told = (format_limit(spent.get(start, 0), budget.unit) for spent in (had, fresh))
                yield (
                    f"budget {budget.name!r} has spent {was} {budget.unit} in its period from {format_instant(start)}, "
                    f"its charges give {told}"
                )


def rebuild_budgets(connection: Connection, account: Account) -> None:
    """Count an account's charges anew for its budgets; the account must be locked. Nothing is told."""
    for budget, had, fresh in _compared(connection, account):
        spent = dict.fromkeys(had, 0) | fresh
        rows = {
            PeriodKey(account.account, budget.number, start): (amount, room(budget, amount))
            for start, amount in spent.items()
        }
        budget_periods.save_spent(connection, rows)
    if account.budgets:
        budgets.say_changed(connection, account.account)  # what posters remember may be what was wrong


_Spent = dict[datetime, int]  # by the start of a period


def _compared(connection: Connection, account: Account) -> Iterator[tuple[Budget, _Spent, _Spent]]:
    """Each budget with what is kept of its periods, and with what the charges give."""
    if not account.budgets:
        return
    kept = budget_periods.of_account(connection, account.account)
    away = detached.last_completion(connection, account.account)
    for one in budgets.in_force(connection, [account.account]):
        budget = one.budget
        had = {key.starts_at: found.spent for key, found in kept.items() if key.number == budget.number}
        sums = by_period(budget, budget_sums.of_charges(connection, account.account, budget))
        fresh = {period.start: amount for period, amount in sums.items() if period.start is not None}
        yield budget, _at_hand(had, away), _at_hand(fresh, away)


def _at_hand(spent: _Spent, away: datetime | None) -> _Spent:
    return spent if away is None else {start: amount for start, amount in spent.items() if start > away}
