"""What is asked each second is answered from a small index of what waits, however much was told before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from costmeter.store import notices
from costmeter.store.engine import open_engine, reading
from tests.make import at

NOW = at("2025-03-19T07:30:00Z")
LOOKS: dict[str, Callable[[Connection], object]] = {
    "notice_unrouted": lambda connection: notices.unrouted(connection, 100),
    "notice_delivery_due": lambda connection: notices.due(connection, NOW, 1_000),
}


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    return open_engine(sqlite_url)


@pytest.mark.parametrize("index", LOOKS)
def test_a_look_at_what_waits_reads_its_own_index(engine: Engine, index: str) -> None:
    asked: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))
    with reading(engine) as connection:
        LOOKS[index](connection)
        sql, values = next(one for one in asked if one[0].startswith("SELECT"))
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
    engine.dispose()
    assert any(f"USING INDEX {index}" in step for step in plan), plan
