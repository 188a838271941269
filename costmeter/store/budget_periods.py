"""What is spent and reserved of budgets in their periods."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Text, cast, select

from costmeter.core.periods import to_micros
from costmeter.store import bulk
from costmeter.store.accounts import Account
from costmeter.store.budget_tables import BudgetPeriodRow
from costmeter.store.bulk import among
from costmeter.store.types import as_micros

REMEMBERED = 100  # accounts of whose periods a process remembers what is spent


class Spent(NamedTuple):
    """What is spent and reserved of a budget in a period, in the budget's unit."""

    spent: int
    reserved: int


class PeriodKey(NamedTuple):
    """One period of one budget."""

    account: str
    number: int
    starts_at: datetime


class Spending(NamedTuple):
    """What is spent of all periods of an account's budgets that begin at some instants, by number and beginning."""

    begin: frozenset[datetime]
    amounts: dict[tuple[int, datetime], int]


_PERIOD = tuple(getattr(BudgetPeriodRow, name) for name in (*PeriodKey._fields, *Spent._fields))
# By account, with its count of changes to budgets and the end of its journal: nothing else moves what is spent.
_remembered: WeakKeyDictionary[Engine, dict[str, tuple[int, bytes, Spending]]] = WeakKeyDictionary()


def periods(connection: Connection, keys: Collection[PeriodKey]) -> dict[PeriodKey, Spent]:
    """What is spent and reserved in these periods; one that has no row is left out."""
    if not keys:
        return {}
    # Of all these accounts what begins at any of these instants: few more rows, and a statement that is made once.
    query = select(*_PERIOD).where(
        among(connection, BudgetPeriodRow.account, {key.account for key in keys}),
        BudgetPeriodRow.starts_at.in_({key.starts_at for key in keys}),
    )
    wanted, found = set(keys), {}
    for account, number, starts_at, spent, reserved in connection.execute(query):
        key = PeriodKey(account, number, starts_at)
        if key in wanted:
            found[key] = Spent(spent, reserved)
    return found


def of_account(connection: Connection, account: str) -> dict[PeriodKey, Spent]:
    """Every period of an account's budgets that has a row."""
    query = select(*_PERIOD).where(BudgetPeriodRow.account == account)
    return {PeriodKey(*row[:3]): Spent(row[3], row[4]) for row in connection.execute(query)}


def spending_of(connection: Connection, asked: Mapping[Account, Collection[datetime]]) -> dict[str, Spending]:
    """What is spent of the periods of accounts that begin at these instants, for the poster, which has the accounts
    locked: as it was remembered where that is still true, else as it stands in the database."""
    remembered, told, unknown = _remembered.setdefault(connection.engine, {}), {}, {}
    for account, begin in asked.items():
        found = remembered.pop(account.account, None)
        if found is not None and found[:2] == (account.budgets, account.chain) and found[2].begin.issuperset(begin):
            told[account.account] = found[2]
        else:
            unknown[account.account] = frozenset(begin)
    return told | _read(connection, unknown) if unknown else told


def _read(connection: Connection, asked: Mapping[str, frozenset[datetime]]) -> dict[str, Spending]:
    begin = {to_micros(instant): instant for some in asked.values() for instant in some}
    at, spent = as_micros(connection, BudgetPeriodRow.starts_at), cast(BudgetPeriodRow.spent, Text)  # text: read fast
    query = select(BudgetPeriodRow.account, BudgetPeriodRow.number, at, spent).where(
        among(connection, BudgetPeriodRow.account, asked.keys()), BudgetPeriodRow.starts_at.in_(begin.values())
    )
    told = {account: Spending(own, {}) for account, own in asked.items()}
    for name, number, micros, amount in connection.execute(query).all():
        told[name].amounts[number, begin[micros]] = int(amount)
    return told


def remember(connection: Connection, account: Account, spending: Spending) -> None:
    """Remember what is spent of periods of an account as it stands after a posting.

    Should the posting be taken back, no account ever stands so, and what is remembered is never told.
    """
    remembered = _remembered.setdefault(connection.engine, {})
    if len(remembered) >= REMEMBERED:
        remembered.clear()
    remembered[account.account] = account.budgets, account.chain, spending


def save_spent(connection: Connection, rows: Mapping[PeriodKey, tuple[int, int]]) -> None:
    """Write what is spent in periods, and the room that leaves; what is reserved is left as it is."""
    values = [(key.account, key.starts_at, key.number, *moved, 0) for key, moved in rows.items()]
    bulk.put(connection, BudgetPeriodRow, ("spent", "room"), values)
