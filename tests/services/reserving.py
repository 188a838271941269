"""Budgets that stop, what is asked of them, and how their periods stand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from costmeter.core.budgets import Budget
from costmeter.core.periods import format_instant
from costmeter.core.reservations import Refusal, Reservation
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.reserve import Ask, reserve
from costmeter.store import accounts, budget_periods, budgets, reservations
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from tests.make import NOW, at, usd


def a_budget(engine: Engine, name: str = "all", *, now: str = NOW, account: str = "default", **more: Any) -> Budget:
    """A budget of 10.00 a month that stops, unless told otherwise."""
    asked: dict[str, Any] = {"per": "month", "amount": "10.00", "stops": True} | more
    if "tokens" in asked:
        del asked["amount"]
    return add_budget(engine, NewBudget(account, name, **asked), by="root", home=Home(), now=at(now))[0].budget


def ask(cost: str = "1.00", tokens: int = 0, *, account: str = "default", owner: str = "gateway", **more: Any) -> Ask:
    return Ask(account, usd(cost), tokens, owner, **more)


def reserved(engine: Engine, asked: Ask, now: str = NOW) -> Reservation:
    """A reservation that is given."""
    found = reserve(engine, asked, now=at(now))
    assert isinstance(found, Reservation), found
    return found


def refused(engine: Engine, asked: Ask, now: str = NOW) -> Refusal:
    """Why a reservation is not given."""
    found = reserve(engine, asked, now=at(now))
    assert isinstance(found, Refusal), found
    return found


def later(now: str, **passed: float) -> str:
    return format_instant(at(now) + timedelta(**passed))


def standing(engine: Engine, account: str = "default") -> dict[tuple[str, str], tuple[int, int]]:
    """Spent and reserved by budget in force and the day that a period starts."""
    with reading(engine) as connection:
        names = {one.budget.number: one.budget.name for one in budgets.in_force(connection, [account])}
        rows = budget_periods.of_account(connection, account)
    return {
        (names[key.number], f"{key.starts_at:%m-%d}"): (row.spent, row.reserved) for key, row in sorted(rows.items())
    }


def check_reserved(engine: Engine, account: str = "default") -> None:
    """What is reserved is what the open reservations hold, to the digit."""
    with reading(engine) as connection:
        own = accounts.get(connection, account).account
        kept, held = budget_periods.of_account(connection, own), reservations.held_now(connection, own)
    assert {key: row.reserved for key, row in kept.items() if row.reserved} == {k: n for k, n in held.items() if n}
