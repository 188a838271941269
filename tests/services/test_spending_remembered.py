"""What a poster remembers of budgets' periods is what stands in the database, whoever else posts, rebuilds or fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, text

from costmeter.core.budgets import format_limit
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.remove_budget import remove_budget
from costmeter.services.verify import verify
from costmeter.store import budget_periods
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from tests.make import NOW, an_event, at, post, record, record_and_post

FEW = "2025-03-03T12:00:00Z"


@pytest.fixture
def other(database_url: str) -> Iterator[Engine]:
    """The same database as another process has it: it remembers other things."""
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def add(engine: Engine, name: str = "all", **more: Any) -> None:
    add_budget(engine, NewBudget("default", name, "month", "10.00", **more), by="root", home=Home(), now=at(NOW))


def spent(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        found = budget_periods.of_account(connection, "default")
    return [format_limit(found[key].spent, "USD") for key in sorted(found)]


def reads(engine: Engine) -> list[str]:
    """The statements that read periods, as they come."""
    seen: list[str] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("SELECT budget_period."):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", look)
    return seen


def test_periods_are_read_once_while_one_process_posts(engine: Engine) -> None:
    add(engine)
    seen = reads(engine)
    for number in range(3):
        record_and_post(engine, an_event(f"{number}", FEW))
    assert len(seen) == 1
    assert spent(engine) == ["3.30"]


def test_a_period_that_begins_is_read(engine: Engine) -> None:
    add(engine, starts_at=at("2025-01-01T00:00:00Z"))
    seen = reads(engine)
    for number, completed_at in enumerate((FEW, "2025-02-03T12:00:00Z", FEW)):  # February was cheaper
        record_and_post(engine, an_event(f"{number}", completed_at))
    assert len(seen) == 3
    assert spent(engine) == ["0.28", "2.20"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=6))
def test_two_processes_that_post_in_turn(engine: Engine, other: Engine, turns: list[tuple[bool, int]]) -> None:
    name = f"{uuid4()}"
    add(engine, name)
    for turn, (is_first, count) in enumerate(turns):
        some = (an_event(f"{name} {turn} {number}", FEW) for number in range(count))
        record_and_post(engine if is_first else other, *some)
    assert verify(engine, now=at(NOW), full=True) == []
    remove_budget(engine, "default", name, by="root", now=at(NOW))


def test_a_posting_that_is_taken_back_is_forgotten(engine: Engine, other: Engine) -> None:
    add(engine)
    record_and_post(engine, an_event("a", FEW))
    record(engine, an_event("b", FEW))

    def fail(connection: Any) -> None:
        raise RuntimeError

    event.listen(engine, "commit", fail)
    with pytest.raises(RuntimeError):
        post(engine)
    event.remove(engine, "commit", fail)
    record_and_post(other, an_event("c", FEW))
    record_and_post(engine, an_event("d", FEW))
    assert spent(engine) == ["4.40"]
    assert verify(engine, now=at(NOW), full=True) == []


def test_what_was_wrong_and_is_rebuilt_is_read_again(engine: Engine, other: Engine) -> None:
    add(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE budget_period SET spent = '7'"))
    record_and_post(engine, an_event("a", FEW))
    rebuild_projections(other, ["default"])
    record_and_post(engine, an_event("b", FEW))
    assert spent(engine) == ["2.20"]


def test_a_budget_that_another_process_adds_is_counted(engine: Engine, other: Engine) -> None:
    add(engine)
    record_and_post(engine, an_event("a", FEW))
    add(other, "another")
    record_and_post(engine, an_event("b", FEW))
    assert spent(engine) == ["2.20", "2.20"]


def test_no_more_accounts_are_remembered_than_there_is_room_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_periods, "REMEMBERED", 1)
    add(engine)
    add_budget(engine, NewBudget("b", "all", "month", "10.00"), by="root", home=Home(), now=at(NOW))
    seen = reads(engine)
    for number, account in enumerate(("default", "b", "default")):
        record(engine, an_event(f"{number}", FEW, account=account))
        post(engine, account)
    assert len(seen) == 3
    assert spent(engine) == ["2.20"]
