"""What stands against closing a month is counted among the few charges in doubt, and not among all of the month."""

from __future__ import annotations

from sqlalchemy import Engine, text

from benchmarks.growth.fill import ACCOUNT, fill
from benchmarks.posting import give_credits
from costmeter.store import charges
from costmeter.store.engine import open_engine, reading
from tests.make import an_event, record_and_post

CALLS = 20_000
FEW = 500


def test_they_are_counted(engine: Engine) -> None:
    record_and_post(engine, an_event("a"), an_event("b", model="of-tomorrow"), an_event("c", model="of-tomorrow"))
    with reading(engine) as connection:
        assert charges.doubts_in_force(connection, "default", "2025-03") == {"unpriced": 2}
        assert charges.doubts_in_force(connection, "default", "2025-04") == {}


def test_postgresql_reads_few_rows(postgres_url: str) -> None:
    give_credits(postgres_url, 1)
    fill(postgres_url, CALLS, projects=5)
    engine = open_engine(postgres_url)
    before = rows_read(engine)
    with reading(engine) as connection:
        for _ in range(12):  # from the sixth time on the plan is made without the values
            assert charges.doubts_in_force(connection, ACCOUNT, "2025-03") == {}
    assert rows_read(engine) - before < FEW
    engine.dispose()


def rows_read(engine: Engine) -> int:
    """Of all charges, by index or one after the other."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        query = (
            "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname LIKE 'charge_%'"
        )
        by_index = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname LIKE 'charge_%'"
        found = [*connection.execute(text(query)).scalars(), connection.scalar(text(by_index))]
        return sum(int(one or 0) for one in found)


def test_sqlite_asks_the_index(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    asked: list[str] = []
    with reading(engine) as connection:
        connection.connection.driver_connection.set_trace_callback(asked.append)  # type: ignore[union-attr]  # it is connected
        charges.doubts_in_force(connection, "default", "2025-03")
        connection.connection.driver_connection.set_trace_callback(None)  # type: ignore[union-attr]  # likewise
        (query,) = (one for one in asked if one.startswith("SELECT"))
        plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    assert any("charge_in_doubt" in step for step in plan), plan
    engine.dispose()
