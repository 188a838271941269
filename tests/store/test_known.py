"""What is recorded under identities: each is found, however many are asked for, and looked up in the index."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select

from costmeter.store import bulk, events
from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import IdentityRow
from tests.make import an_event, record

COLUMNS = [IdentityRow.__table__.columns[name] for name in ("account", "provider", "identity")]
NAMES = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
KEYS = st.binary(min_size=16, max_size=16)


@given(st.lists(st.tuples(NAMES, NAMES, KEYS), min_size=1, max_size=9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_listed_as_they_are_given(engine: Engine, rows: list[tuple[str, str, bytes]]) -> None:
    with reading(engine) as connection:
        given_rows = bulk.listed(connection, COLUMNS, rows)
        assert sorted(map(tuple, connection.execute(select(*given_rows.c)))) == sorted(rows)


def test_a_key_of_another_size_is_refused(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with reading(engine) as connection, pytest.raises(ValueError, match="16 bytes"):
        bulk.listed(connection, COLUMNS, [("a", "deepseek", bytes(15)), ("a", "deepseek", bytes(17))])
    engine.dispose()


def test_a_call_is_found_by_each_of_its_identities(engine: Engine) -> None:
    record(
        engine, *(an_event(str(number), account=f'"{number % 3}"\\', response_id=f"r{number}") for number in range(9))
    )
    with reading(engine) as connection:
        named = [tuple(row) for row in connection.execute(select(*COLUMNS))]
        found = events.known(connection, [*named, ("other", "deepseek", b"0" * 16)])

    assert found.keys() == set(named)
    assert len(named) == 18
    assert len({stored.event_key for stored in found.values()}) == 9
    assert {account for account, _, _ in named} == {stored.event.account for stored in found.values()}


def test_any_number_is_one_statement_that_asks_the_index(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    record(engine, *(an_event(str(number)) for number in range(50)))
    told: list[tuple[str, Any]] = []
    with reading(engine) as connection:
        named = [tuple(row) for row in connection.execute(select(*COLUMNS))]
        event.listen(connection, "before_cursor_execute", lambda *said: told.append(said[2:4]))
        for count in (1, 7, 50):
            assert len(events.known(connection, named[:count])) == count
        (statement,) = {statement for statement, _ in told}
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", told[0][1])]
    engine.dispose()

    assert [step.split(" USING ")[0] for step in plan if "VIRTUAL TABLE" not in step] == [
        "SEARCH identity",
        "SEARCH usage_event",
    ]
