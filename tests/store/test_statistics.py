"""A table that was loaded at once is looked at before all of it is read."""

from __future__ import annotations

from sqlalchemy import Engine, text

from costmeter.store.engine import open_engine
from costmeter.store.statistics import learn_new_tables

LOAD = (
    "CREATE TABLE loaded AS SELECT n, repeat('x', 100) AS filling FROM generate_series(1, 20000) n",
    "CREATE TABLE small AS SELECT 1 AS n",
)


def known_rows(engine: Engine, table: str) -> float:
    with engine.connect() as connection:
        query = text("SELECT reltuples FROM pg_class WHERE relname = :table")
        return float(connection.execute(query, {"table": table}).scalar_one())


def test_a_large_table_that_is_new(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with engine.begin() as connection:
        for statement in LOAD:
            connection.execute(text(statement))
    assert known_rows(engine, "loaded") == -1
    learn_new_tables(engine)
    assert known_rows(engine, "loaded") == 20_000
    assert known_rows(engine, "small") == -1
    engine.dispose()


def test_sqlite_needs_none(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    learn_new_tables(engine)
    engine.dispose()
