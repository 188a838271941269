"""Bulk capture against the same rows written by hand: `python -m benchmarks capture`.

Ours begins with the bodies as they come: it reads and checks them, tells duplicates from conflicts, and prices them
once to say which have no price. The rivals begin with finished rows. All commit batches of 1,000 to databases of one
schema, in turn, with the durability that costmeter has. A ratio is ours to the rival in rows per second.
"""

from __future__ import annotations

import random
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql

from benchmarks import databases, traffic
from costmeter.prices.read import builtin_book
from costmeter.services.record_calls import Received, Tally, record_calls
from costmeter.store.accounts import Home
from costmeter.store.engine import CACHE_KILOBYTES, journal_mode, open_engine
from costmeter.store.sent import BEFORE_2000
from costmeter.store.tables import EventRow, IdentityRow, PendingRow, Table
from costmeter.wiring import collect_seldom

BATCH, BATCHES, ROUNDS = 1_000, 5, 21
TABLES: tuple[type[Table], ...] = (IdentityRow, EventRow, PendingRow)
TYPES = {  # of the columns that are not text, as binary COPY sends them
    "identity": "bytea", "event_key": "bytea", "supersedes": "bytea", "tags": "bytea", "usage": "bytea",
    "detail": "bytea", "completed_at": "int8", "started_at": "int8", "received_at": "int8", "supersedes_at": "int8",
    "cache_hit_tokens": "int8", "cache_miss_tokens": "int8", "output_tokens": "int8", "reasoning_tokens": "int8",
    "http_status": "int2",
}  # fmt: skip

Rows = dict[str, list[tuple[Any, ...]]]  # by table


class Contestant(NamedTuple):
    """One way to write: what it makes of a batch of bodies before the clock runs, and what it then does."""

    name: str
    prepare: Callable[[Sequence[Any]], Any]
    write: Callable[[Any], object]


def lines() -> Iterator[str]:
    collect_seldom()  # as every process does that records
    with databases.sqlite_file() as scratch:
        rows_of = finished_rows(str(scratch))
        with databases.sqlite_file() as path, databases.sqlite_file() as other:
            yield from table("SQLite", open_engine(f"sqlite:///{path}"), [executemany(str(other), rows_of)])
        with databases.postgresql_server() as server:
            by_hand = copy_by_hand(databases.new_database(server), rows_of)
            core = insert_many_values(databases.new_database(server), open_engine(f"sqlite:///{scratch}"))
            yield from table("PostgreSQL", open_engine(databases.new_database(server)), [by_hand, core])
    yield f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB"


def table(database: str, engine: Engine, rivals: Sequence[Contestant]) -> Iterator[str]:
    ours = Contestant("costmeter", lambda bodies: [Received(body) for body in bodies], lambda r: record(engine, r))
    record(engine, ours.prepare(traffic.bodies(random.Random(0), 1)))  # makes the account
    times = in_turn([ours, *rivals])
    yield f"{database}, batches of {BATCH}: {figures(times[ours.name])}"
    for rival in rivals:
        ratios = sorted(theirs / mine for mine, theirs in zip(times[ours.name], times[rival.name], strict=True))
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f} .. {ratios[-1]:.2f})"
        yield f"  against {rival.name}: {figures(times[rival.name])}, ratio {spread}"
    yield f"  the same events again, 0 rows added: {figures(again(engine, ours))}"
    engine.dispose()


def in_turn(contestants: Sequence[Contestant]) -> dict[str, list[float]]:
    """The seconds of each round of each, by name; a round has the same new calls for all, and one is not counted."""
    times: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for number in range(ROUNDS + 1):
        batches = [traffic.bodies(random.Random(number * BATCHES + part), BATCH) for part in range(BATCHES)]
        for contestant in contestants:
            prepared = [contestant.prepare(batch) for batch in batches]
            began = time.perf_counter()
            for batch in prepared:
                contestant.write(batch)
            if number:
                times[contestant.name].append(time.perf_counter() - began)
    return times


def again(engine: Engine, ours: Contestant) -> list[float]:
    """Record a batch and then, timed, the same batch again: nothing may be added."""
    seconds = []
    for _ in range(ROUNDS):
        batch = ours.prepare(traffic.bodies(random.Random(1), BATCH))
        record(engine, batch)
        began = time.perf_counter()
        tally = record(engine, batch)
        seconds.append((time.perf_counter() - began) * BATCHES)
        assert (tally.accepted, tally.duplicates) == (0, BATCH)
    return seconds


def figures(seconds: Sequence[float]) -> str:
    return f"{BATCH * BATCHES / median(seconds):,.0f} calls/s"


def record(engine: Engine, received: Sequence[Received]) -> Tally:
    return record_calls(engine, received, now=traffic.NOW, book=builtin_book(), home=Home())


def finished_rows(scratch: str) -> Callable[[Sequence[Any]], Rows]:
    """What costmeter writes for bodies, column by column as SQLite keeps it."""
    engine = open_engine(f"sqlite:///{scratch}")

    def rows_of(bodies: Sequence[Any]) -> Rows:
        with sqlite3.connect(scratch, isolation_level=None) as connection:
            last = {t.__tablename__: connection.execute(_last(t)).fetchone()[0] or 0 for t in TABLES}
            record(engine, [Received(body) for body in bodies])
            return {name: connection.execute(_since(name), (rowid,)).fetchall() for name, rowid in last.items()}

    return rows_of


def _last(table: type[Table]) -> str:
    return f"SELECT max(rowid) FROM {table.__tablename__}"


def _since(name: str) -> str:
    return f"SELECT * FROM {name} WHERE rowid > ? ORDER BY rowid"


def executemany(path: str, rows_of: Callable[[Sequence[Any]], Rows]) -> Contestant:
    """The bare driver."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in (f"journal_mode = {journal_mode()}", "synchronous = FULL", f"cache_size = -{CACHE_KILOBYTES}"):
        connection.execute(f"PRAGMA {pragma}")

    def write(rows: Rows) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for name, written in rows.items():
            connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(written[0]))})", written)
        connection.execute("COMMIT")

    return Contestant("sqlite3 executemany", rows_of, write)


def copy_by_hand(url: str, rows_of: Callable[[Sequence[Any]], Rows]) -> Contestant:
    """Binary COPY into temporary tables, and from there what is not there yet."""
    connection = psycopg.connect(url)
    connection.adapters.register_dumper(bytes, psycopg.types.string.BytesBinaryDumper)
    names = [t.__tablename__ for t in TABLES]
    kinds = {t.__tablename__: [TYPES.get(c.name, "text") for c in t.__table__.columns] for t in TABLES}
    for name in names:
        connection.execute(f"CREATE TEMPORARY TABLE staged_{name} (LIKE {name})")
    connection.commit()

    def write(rows: Rows) -> None:
        for name in names:
            with connection.cursor().copy(f"COPY staged_{name} FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(kinds[name])
                for row in rows[name]:
                    copy.write_row(row)
            connection.execute(f"INSERT INTO {name} SELECT * FROM staged_{name} ON CONFLICT DO NOTHING")
        connection.execute(f"TRUNCATE {', '.join(f'staged_{name}' for name in names)}")
        connection.commit()

    return Contestant("COPY, stage, ON CONFLICT by hand", lambda bodies: _binary(rows_of(bodies)), write)


def _binary(rows: Rows) -> Rows:
    """Instants counted from 2000 and JSON with its version, as PostgreSQL's binary forms are."""
    made: Rows = {}
    for table in TABLES:
        names = table.__table__.columns.keys()
        made[table.__tablename__] = [
            tuple(_sent(name, value) for name, value in zip(names, row, strict=True))
            for row in rows[table.__tablename__]
        ]
    return made


def _sent(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.endswith("_at"):
        return value - BEFORE_2000
    return b"\x01" + value.encode() if name in ("tags", "usage", "detail") else value


def insert_many_values(url: str, scratch: Engine) -> Contestant:
    """SQLAlchemy's insertmanyvalues, which it uses where an insert of many rows returns something."""
    engine = open_engine(url)

    def prepare(bodies: Sequence[Any]) -> dict[type[Table], list[dict[str, Any]]]:
        record(scratch, [Received(body) for body in bodies])
        wanted = [body["event_id"] for body in bodies]
        with scratch.connect() as connection:
            events = _dicts(connection.execute(select(*_columns(EventRow)).where(EventRow.event_id.in_(wanted))))
            keys = [event["event_key"] for event in events]
            named = select(*_columns(IdentityRow)).where(IdentityRow.event_key.in_(keys))
            waiting = select(*_columns(PendingRow)).where(PendingRow.event_key.in_(keys))
            identities, pending = (_dicts(connection.execute(query)) for query in (named, waiting))
        return {IdentityRow: identities, EventRow: events, PendingRow: pending}

    def write(rows: dict[type[Table], list[dict[str, Any]]]) -> None:
        with engine.begin() as connection:
            for table, written in rows.items():
                key = IdentityRow.identity if table is IdentityRow else table.__table__.columns["event_key"]
                statement = postgresql.insert(table).on_conflict_do_nothing().returning(key)
                assert len(connection.execute(statement, written).all()) == len(written)

    return Contestant("SQLAlchemy insertmanyvalues", prepare, write)


def _columns(table: type[Table]) -> list[Any]:
    return list(table.__table__.columns)


def _dicts(result: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in result.mappings()]
