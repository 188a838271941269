"""A gateway that stops calls, before a simulator, with a database that its records go to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import Engine

from costmeter.gateway.admission import Admission, Terms
from costmeter.gateway.patience import PATIENCE, Database
from costmeter.recorder.spool import Spool
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.capture import capture
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine
from costmeter.store.tables import BudgetPeriodRow, ReservationRow
from tests.gateway.serving import Served
from tests.make import book, rows

KEY = {"authorization": "Bearer sk-0123456789abcdef"}
MODEL = "deepseek-flash"


def a_limit(engine: Engine, amount: str | None = "1.00", name: str = "all", **more: Any) -> None:
    """A budget of one period that stops, so that no test crosses an edge of one."""
    asked: dict[str, Any] = {"per": "all", "amount": amount, "stops": True} | more
    new = NewBudget("default", name, **asked)
    add_budget(engine, new, by="root", home=Home(), now=datetime.now(UTC))


@contextmanager
def stopping(
    url: str,
    upstream: str,
    mode: Any = "hard",
    *,
    of_balance: bool = False,
    away: Any = "open",
    asks: str = "",
    **options: Any,
) -> Iterator[Served]:
    """The gateway of a database, or one that asks another; what it recorded is posted when it has ended."""
    own = open_engine(url)
    database = Database(
        lambda: open_engine(asks or url, patience=PATIENCE), threads=1 if url.startswith("sqlite") else 4
    )
    admission = Admission(database, book(), Terms(mode, of_balance, away), lambda: datetime.now(UTC))

    def deliver(records: list[dict[str, Any]]) -> None:
        capture(own, records, book=book(), home=Home())

    spool = Spool(deliver)
    try:
        with Served(upstream, spool, admission=admission, **options) as served:
            yield served
    finally:
        own.dispose()


def ask(url: str, text: str = "Hello", *, path: str = "/chat/completions", **more: Any) -> httpx.Response:
    """One call; what is not of httpx is a field of its body."""
    headers = {**KEY, **more.pop("headers", {})}
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 50, **more}
    fields = {name: value for name, value in body.items() if value is not None}
    return httpx.post(f"{url}{path}", content=json.dumps(fields), headers=headers, timeout=60)


def states(engine: Engine) -> list[str]:
    """The states of all reservations, in the order in which they were made."""
    return [row["state"] for row in rows(engine, ReservationRow, ReservationRow.reservation_id)]


def held(engine: Engine) -> int:
    """What is reserved of all budgets together."""
    return sum(row["reserved"] for row in rows(engine, BudgetPeriodRow))


def spent(engine: Engine) -> int:
    return sum(row["spent"] for row in rows(engine, BudgetPeriodRow))
