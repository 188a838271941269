"""Remove a budget: it counts no more. What it has told stands."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.events import check_account
from costmeter.core.texts import check_said
from costmeter.services.add_budget import budget_change
from costmeter.store import accounts, audit, budgets
from costmeter.store.budgets import KeptBudget
from costmeter.store.engine import in_transaction


def remove_budget(engine: Engine, account: str, name: str, *, by: str, now: datetime) -> KeptBudget:
    """The budget that was removed; NotFoundError where none of the name is in force."""
    account, by = check_account(account), check_said(by, "by")

    def remove(connection: Connection) -> KeptBudget:
        locked = accounts.get(connection, account)
        accounts.lock(connection, locked.account)
        found = budgets.get(connection, locked.account, name)
        take_budget(connection, found, by=by, now=now)
        return found

    return in_transaction(engine, remove)


def take_budget(connection: Connection, found: KeptBudget, *, by: str, now: datetime) -> None:
    """Take a budget of an account that is locked out of force."""
    account, budget = found.account, found.budget
    budgets.remove(connection, account, budget.number, by=by, now=now)
    audit.add(connection, "budget.remove", budget.name, budget_change(budget), by=by, at=now, account=account)
