"""Budgets: those that are in force, and those of an account as its poster wants them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, Engine, delete, exists, func, insert, or_, select, update

from costmeter.core.budgets import BALANCE, Budget, Matcher, balance_limit, parse_threshold
from costmeter.core.errors import NotFoundError
from costmeter.store import accounts
from costmeter.store.accounts import Account
from costmeter.store.budget_tables import BudgetPeriodRow, BudgetRow
from costmeter.store.bulk import among
from costmeter.store.tables import AccountRow, CreditRow

CACHED = 10_000  # accounts whose budgets a process keeps


class KeptBudget(NamedTuple):
    """A budget with whose it is and who made it."""

    account: str
    budget: Budget
    created_at: datetime
    created_by: str


_FIELDS = ("number", "name", "filters", "per", "timezone", "unit", "amount", "thresholds", "stops", "starts_at",
           "ends_at", "channels")  # fmt: skip
_COLUMNS = (
    BudgetRow.account,
    *(getattr(BudgetRow, name) for name in _FIELDS),
    BudgetRow.created_at,
    BudgetRow.created_by,
)
_matchers: WeakKeyDictionary[Engine, dict[str, tuple[int, Matcher]]] = WeakKeyDictionary()


def in_force(
    connection: Connection, accounts: Collection[str] | None = None, name: str | None = None
) -> list[KeptBudget]:
    """The budgets that are not removed, of all or of some accounts, by account and name."""
    query = select(*_COLUMNS).where(BudgetRow.removed_at.is_(None)).order_by(BudgetRow.account, BudgetRow.name)
    if accounts is not None:
        query = query.where(among(connection, BudgetRow.account, accounts))
    if name is not None:
        query = query.where(BudgetRow.name == name)
    return [_kept(row) for row in connection.execute(query)]


def get(connection: Connection, account: str, name: str) -> KeptBudget:
    """The budget of that name that is in force."""
    found = in_force(connection, [account], name)
    if not found:
        raise NotFoundError(f"account {account!r} has no budget {name!r}; see: costmeter budget list -a {account}")
    return found[0]


def stopped_accounts(connection: Connection, *, of_balance: bool) -> list[Account]:
    """The accounts with a budget in force that stops, and, where balances stop too, those with any credit."""
    stops: ColumnElement[bool] = exists().where(
        BudgetRow.account == AccountRow.account, BudgetRow.removed_at.is_(None), BudgetRow.stops
    )
    if of_balance:
        stops = or_(stops, exists().where(CreditRow.account == AccountRow.account))
    return accounts.matching(connection, stops)


def _kept(row: Sequence[Any]) -> KeptBudget:
    account, *fields, created_at, created_by = row
    budget = Budget(*fields)
    read = [parse_threshold(one["at"], one["of"], budget.unit, budget.amount) for one in fields[7]]
    return KeptBudget(account, budget._replace(thresholds=read), created_at, created_by)


def matcher(connection: Connection, account: Account) -> Matcher:
    """The budgets of an account that is locked, as they were last read where they have not changed since."""
    known = _matchers.setdefault(connection.engine, {})
    found = known.get(account.account)
    if found is None or found[0] != account.budgets:
        if len(known) >= CACHED:
            known.clear()
        kept = [one.budget for one in in_force(connection, [account.account])]
        found = account.budgets, Matcher(kept, holds_balance=holds_balance(connection, account.account))
        known[account.account] = found
    return found[1]


def add(connection: Connection, account: str, budget: Budget, *, by: str, now: datetime) -> Budget:
    """Keep a budget of an account that is locked, under its next number."""
    newest = connection.scalar(select(func.max(BudgetRow.number)).where(BudgetRow.account == account))
    budget = budget._replace(number=(newest or 0) + 1)
    row = {**budget._asdict(), "account": account, "created_at": now, "created_by": by}
    row |= {
        "thresholds": [{"of": one.of, "at": one.at} for one in budget.thresholds],
        "filters": dict(budget.filters),
        "channels": None if budget.channels is None else list(budget.channels),
    }
    connection.execute(insert(BudgetRow), row)
    say_changed(connection, account)
    return budget


def remove(connection: Connection, account: str, number: int, *, by: str, now: datetime) -> None:
    """Remove a budget of an account that is locked: it counts no more, and what it had counted is forgotten."""
    of_budget = (BudgetRow.account == account, BudgetRow.number == number)
    connection.execute(update(BudgetRow).where(*of_budget).values(removed_at=now, removed_by=by))
    forgotten = (BudgetPeriodRow.account == account, BudgetPeriodRow.number == number)
    connection.execute(delete(BudgetPeriodRow).where(*forgotten))
    say_changed(connection, account)


def holds_balance(connection: Connection, account: str) -> bool:
    """Whether reservations may hold back of an account's balance."""
    key = (BudgetRow.account == account, BudgetRow.number == BALANCE)
    return connection.scalar(select(BudgetRow.number).where(*key)) is not None


def add_balance(connection: Connection, account: Account, *, by: str, now: datetime) -> None:
    """Let reservations hold back of the balance of an account that is locked, from now on.

    It is a row of a budget that never was in force, so that nothing counts or shows it; its one period has what is
    reserved.
    """
    limit = balance_limit(account.currency)
    row = {**limit._asdict(), "account": account.account, "created_at": now, "created_by": by}
    row |= {"thresholds": [], "removed_at": now, "removed_by": by}
    connection.execute(insert(BudgetRow), row)
    period = {"account": account.account, "starts_at": limit.starts_at, "number": BALANCE, "spent": 0, "room": 0}
    connection.execute(insert(BudgetPeriodRow), period | {"reserved": 0})
    say_changed(connection, account.account)


def say_changed(connection: Connection, account: str) -> None:
    """Let every process read again what it knows of an account's budgets, and of what is spent of them."""
    connection.execute(update(AccountRow).where(AccountRow.account == account).values(budgets=AccountRow.budgets + 1))
