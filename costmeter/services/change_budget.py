"""Change a budget: the one in force is removed and another one of its name is added, both or neither."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.events import check_account
from costmeter.core.texts import check_said
from costmeter.services.add_budget import NewBudget, budget_change, check_new, put_budget
from costmeter.services.remove_budget import take_budget
from costmeter.store import accounts, budgets
from costmeter.store.budgets import KeptBudget
from costmeter.store.engine import in_transaction


def change_budget(engine: Engine, new: NewBudget, *, by: str, now: datetime) -> tuple[KeptBudget, bool]:
    """The budget as it is kept now, and whether it was changed; NotFoundError where none of the name is in force.

    A start that is left out is that of the one before. Calls that are posted already count, and what the present period
    has crossed by them is told again, since it is another budget; what was reserved of the one before is not held back
    of this one.
    """
    account, by = check_account(new.account), check_said(by, "by")

    def change(connection: Connection) -> tuple[KeptBudget, bool]:
        locked = accounts.lock(connection, accounts.get(connection, account).account)
        before = budgets.get(connection, locked.account, new.name)
        budget = check_new(new, locked, now, before.budget)
        if budget_change(before.budget) == budget_change(budget):
            return before, False
        take_budget(connection, before, by=by, now=now)
        return put_budget(connection, locked, budget, by=by, now=now), True

    return in_transaction(engine, change)
