"""The view of budgets knows the period of now, whenever that is, and what is spent in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text, update

from costmeter.core.budgets import ALL, CALENDAR
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.store import budgets
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction, reading
from costmeter.store.tables import BudgetPeriodRow
from tests.make import an_event, at, record_and_post

ZONES = ("UTC", "Asia/Kolkata", "America/Havana", "America/New_York", "Pacific/Apia")
# Havana puts its clocks back from 01:00 to 00:00 on this first of November: the month's midnight comes twice.
TWICE = (datetime(2026, 11, 1, 4, 30, tzinfo=UTC), datetime(2026, 11, 1, 5, 30, tzinfo=UTC))
INSTANTS = st.datetimes(datetime(2023, 12, 1), datetime(2031, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def definition(connection: Connection) -> str:
    """The query of the view, with :now where it asks for the time."""
    if connection.dialect.name == "postgresql":
        made = str(connection.scalar(text("SELECT pg_get_viewdef('report_budget'::regclass)")))
        assert "now()" in made
        return made.rstrip(";").replace("now()", "CAST(:now AS timestamptz)")
    made = str(connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = 'report_budget'")))
    assert "'now'" in made
    return made.partition(" AS ")[2].replace("'now'", ":now")


def read(connection: Connection, query: str, now: datetime) -> dict[str, Any]:
    """The beginning of each budget's period at an instant, by its name."""
    asked: Any = now if connection.dialect.name == "postgresql" else f"{now:%Y-%m-%d %H:%M:%S}"
    found = {row["budget"]: row["period_start"] for row in connection.execute(text(query), {"now": asked}).mappings()}
    return {name: at(start) if isinstance(start, str) else start for name, start in found.items()}


@pytest.fixture
def limited(engine: Engine) -> Engine:
    """A budget of each kind of period and some zones; some have an end."""
    now = at("2025-01-01T00:00:00Z")
    for zone in ZONES:
        for per in (*CALENDAR, ALL, "14d", "3d", "5h", "1h"):
            name = f"{per} {zone.replace('/', ' ')}"
            ends = at("2028-05-05T05:15:00Z") if per in ("week", "3d") else None
            new = NewBudget(
                "default", name, per, "1.00", timezone=zone, starts_at=at("2024-01-17T12:15:00Z"), ends_at=ends
            )
            add_budget(engine, new, by="finance", home=Home(), now=now)
    return engine


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(instants=st.lists(INSTANTS, min_size=5, max_size=10))
def test_the_period_is_the_one_that_budgets_count(limited: Engine, instants: list[datetime]) -> None:
    is_postgres = limited.dialect.name == "postgresql"
    with reading(limited) as connection:
        query = definition(connection)
        kept = [one.budget for one in budgets.in_force(connection)]
        for now in (*instants, *TWICE, *(one.replace(minute=0, second=0, microsecond=0) for one in instants)):
            found = read(connection, query, now)
            expected = {}
            for budget in kept:
                period = budget.period_of(now)
                if period is not None:
                    tells = is_postgres or budget.timezone == "UTC" or budget.per in (ALL, "5h", "1h")
                    expected[budget.name] = period.start if tells else None
            assert found == expected, now


def test_what_is_spent_and_reserved_is_of_now(engine: Engine) -> None:
    now = datetime.now(UTC)
    for name, more in {
        "money": {"amount": "10.00"},
        "tokens": {"tokens": 2_000_000},
        "before": {"amount": "3.00"},
    }.items():
        starts = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
        new = NewBudget("default", name, "1h" if name == "before" else "all", starts_at=starts, **more)  # type: ignore[arg-type]
        add_budget(engine, new, by="finance", home=Home(), now=now)
    before = now.replace(minute=0, second=0, microsecond=0) - timedelta(seconds=1)
    record_and_post(engine, an_event("a", before.isoformat(), model="deepseek-flash"), now=now.isoformat())
    in_transaction(engine, lambda c: c.execute(update(BudgetPeriodRow).values(reserved=250_000_000_000)))
    with reading(engine) as connection:
        rows = {row["budget"]: row for row in connection.execute(text("SELECT * FROM report_budget")).mappings()}
        cost = connection.scalar(text("SELECT cost FROM report_spend_day"))
    assert Decimal(rows["money"]["spent"]) == Decimal(cost) > 0
    assert told(rows["money"], "amount", "reserved") == ["10", "0.25"]
    assert told(rows["tokens"], "amount", "spent") == ["2000000", "1000000"]
    assert told(rows["before"], "spent", "reserved") == ["0", "0"]


def told(row: Any, *names: str) -> list[str]:
    return [f"{Decimal(row[name]).normalize():f}" for name in names]


def test_a_budget_that_is_removed_is_not_told(engine: Engine) -> None:
    now = datetime.now(UTC)
    add_budget(engine, NewBudget("default", "all", "month", "1.00"), by="finance", home=Home(), now=now)
    in_transaction(engine, lambda c: budgets.remove(c, "default", 1, by="finance", now=now))
    with reading(engine) as connection:
        assert connection.execute(text("SELECT * FROM report_budget")).all() == []
