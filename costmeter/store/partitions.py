"""The month partitions of events, charges and deductions on PostgreSQL; SQLite keeps each table in one piece.

A month is one of UTC. Its three partitions are named `usage_event_2026_11` and so on; what no month holds is in the
default partitions. A detached partition keeps its name and stands as a table of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from time import sleep
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from costmeter.core.errors import SetupError
from costmeter.core.periods import Period, check_month, month_of, month_period
from costmeter.store.engine import in_transaction
from costmeter.store.tables import PARTITIONED

LOCK_SECONDS = 0.8  # whoever waits behind us waits no longer; below deadlock_timeout, or a reader could be its victim
TRIES = 10
LOCK = 7165038223  # of whoever makes, detaches or attaches partitions
_LOCK_NOT_AVAILABLE = "55P03"
_NAME = re.compile(rf"({'|'.join(PARTITIONED)})_(\d{{4}})_(\d{{2}})")
_LISTED = text(
    "SELECT c.relname, pg_total_relation_size(c.oid), greatest(c.reltuples, pg_stat_get_live_tuples(c.oid))::bigint, "
    "i.inhparent IS NOT NULL FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid "
    "WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname"
)

T = TypeVar("T")


class Partition(NamedTuple):
    """One table that holds a month of a larger one, or, without a month, what no month holds; rows are an estimate."""

    name: str
    table: str
    month: str | None
    is_attached: bool
    rows: int
    bytes: int

    @property
    def period(self) -> Period:
        """The completions that it holds."""
        return Period(None, None) if self.month is None else month_period(self.month, "UTC")


def listed(connection: Connection) -> list[Partition]:
    """Every partition by table and month, detached ones included; none on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    found = []
    for name, size, rows, is_attached in connection.execute(_LISTED):
        month = _NAME.fullmatch(name)
        if month is not None:
            found.append(Partition(name, month[1], f"{month[2]}-{month[3]}", is_attached, rows, size))
        elif name in {f"{table}_default" for table in PARTITIONED} and is_attached:
            found.append(Partition(name, name.removesuffix("_default"), None, True, rows, size))
    return sorted(found, key=lambda one: (PARTITIONED.index(one.table), one.month or ""))


def partition_name(table: str, month: str) -> str:
    """The name of a month's partition of a table."""
    return f"{table}_{check_month(month).replace('-', '_')}"


def following(month: str) -> str:
    """The month after a month."""
    end = month_period(month, "UTC").end
    assert end is not None
    return month_of(end, "UTC")


def in_short_lock(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction that waits for no lock for long, and alone among those that change partitions.

    It is run again where the tables are in use; SetupError, and nothing is changed, where they stay so.
    """

    def alone(connection: Connection) -> T:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        return work(connection)

    for attempt in range(TRIES):
        try:
            return in_transaction(engine, alone)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            sleep(0.2 * attempt)
    raise SetupError("the tables are in use by transactions that take long; run it again when they have ended")


def make(connection: Connection, table: str, month: str) -> bool:
    """Make a month's partition of a table, if it is not there; what the default partition holds of it moves into it."""
    name = partition_name(table, month)
    if _exists(connection, name):
        return False
    connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
    attach(connection, table, month)
    return True


def attach(connection: Connection, table: str, month: str) -> None:
    """Attach a month's table as a partition; what the default partition holds of the month moves into it.

    Writers to the default partition wait meanwhile, all others go on. The trigger that refuses DELETE is off for this
    one statement, which loses no row: what is deleted here is inserted there.
    """
    name, default = partition_name(table, month), f"{table}_default"
    start, end = _bounds(month)
    within = f"completed_at >= '{start}' AND completed_at < '{end}'"
    connection.execute(text(f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE"))
    if connection.scalar(text(f"SELECT 1 FROM {default} WHERE {within} LIMIT 1")):  # noqa: S608  names of our own
        connection.execute(text(f"ALTER TABLE {default} DISABLE TRIGGER {table}_only_added"))
        rows = f"DELETE FROM {default} WHERE {within} RETURNING *"  # noqa: S608  likewise
        connection.execute(text(f"WITH moved AS ({rows}) INSERT INTO {name} SELECT * FROM moved"))  # noqa: S608  likewise
        connection.execute(text(f"ALTER TABLE {default} ENABLE TRIGGER {table}_only_added"))
    connection.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')"))


def detach(connection: Connection, table: str, month: str) -> None:
    """Make a month's partition a table of its own.

    Not CONCURRENTLY: PostgreSQL has that only where there is no default partition. The lock is for the catalog alone.
    """
    connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {partition_name(table, month)}"))


def missing_tables(connection: Connection, month: str) -> list[str]:
    """The tables of a detached month that are not there (any more)."""
    names = [partition_name(table, month) for table in PARTITIONED]
    return [name for name in names if not _exists(connection, name)]


def _exists(connection: Connection, name: str) -> bool:
    return connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None


def _bounds(month: str) -> tuple[datetime, datetime]:
    """The first instant of a month, and that of the next one, as the text that PostgreSQL reads."""
    start, end = month_period(month, "UTC")
    assert start is not None
    assert end is not None
    return start.astimezone(UTC), end.astimezone(UTC)
