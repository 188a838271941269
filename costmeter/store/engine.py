"""Engines and transactions, the same for SQLite and PostgreSQL."""

from __future__ import annotations

import math
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from costmeter.core.errors import FullError, InputError, SetupError
from costmeter.store import bulk

T = TypeVar("T")

# Below this SQLite can corrupt a WAL database that several connections write or checkpoint (fixed in 3.51.3).
WAL_IS_SAFE = (3, 51, 3)
BUSY_SECONDS = 30
TRIES = 20
CACHE_KILOBYTES = 65_536  # taken as it is needed: the index of identities is written at random places
CHECKPOINT_PAGES = 4_000  # of a WAL, where there is one: copied back less often, and as durable
# Serialization failure, deadlock, unique violation: the whole transaction is tried again.
_RETRIED = frozenset({"40001", "40P01", "23505"})
_DISK_FULL = "53100"
_READS = "costmeter_reads"


def open_engine(url: str, *, patience: float | None = None) -> Engine:
    """An engine for an SQLite or PostgreSQL URL; raises InputError or SetupError for any other.

    `patience` is the seconds after which a database that does not answer is an error, for who cannot wait.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise InputError("COSTMETER_DATABASE_URL", parsed.render_as_string(), "use an sqlite or postgresql URL")
        is_hurried = patience is not None and parsed.get_backend_name() == "postgresql"
        options: dict[str, Any] = {"connect_args": _hurried(patience)} if is_hurried and patience else {}
        engine = create_engine(parsed, json_serializer=_json, json_deserializer=msgspec.json.decode, **options)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise InputError("COSTMETER_DATABASE_URL", "***", f"is no database URL: {error}") from error
    except ModuleNotFoundError as error:
        raise SetupError(f"{error}; install it with: pip install 'costmeter[postgres]'") from error
    if engine.dialect.name == "sqlite":
        _make_sqlite_exact(engine, BUSY_SECONDS if patience is None else patience)
    elif engine.url.get_driver_name() == "psycopg":
        bulk.enable_copy(engine)
    else:
        raise InputError("COSTMETER_DATABASE_URL", engine.url.drivername, "use postgresql:// (the driver is psycopg)")
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A read-only transaction on one snapshot."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        else:
            connection = connection.execution_options(**{_READS: True})
        with connection.begin():
            yield connection


def in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` in one transaction and commit; run it again, whole, where another writer came in between.

    `work` must take everything that it changes from the connection, since it may run more than once. FullError where
    the database has no room: nothing of it was written.
    """
    for attempt in range(TRIES):
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if _is_full(error):
                where, said = engine.url.render_as_string(), " ".join(str(error.orig).split())
                remedy = "nothing of this was written; make room and do it again, nothing counts twice"
                raise FullError(f"the database {where} is full ({said}): {remedy}") from error
            if not _is_lost_race(error) or attempt == TRIES - 1:
                raise
            time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _is_lost_race(error: DBAPIError) -> bool:
    """A deadlock or serialization failure, or a row that another writer added between our look and our insert."""
    if getattr(error.orig, "sqlstate", None) in _RETRIED:
        return True
    return isinstance(error, IntegrityError) and str(error.orig).startswith("UNIQUE constraint failed")


def _is_full(error: DBAPIError) -> bool:
    """No room on the disk, or not as many pages as SQLite was allowed."""
    code: int = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", None) == _DISK_FULL


def _hurried(patience: float) -> dict[str, Any]:
    """Options of libpq after which a server that hangs or is gone is an error, whatever it hangs in."""
    milliseconds = int(patience * 1000)
    return {
        "connect_timeout": math.ceil(patience),
        "tcp_user_timeout": milliseconds,
        "options": f"-c statement_timeout={milliseconds}",
    }


def _json(value: object) -> str:
    """JSON with characters as they are: SQLite looks names up as they are written, not as they are escaped."""
    return msgspec.json.encode(value).decode()


def journal_mode() -> str:
    """WAL where this SQLite is safe with it, else TRUNCATE."""
    return "WAL" if sqlite3.sqlite_version_info >= WAL_IS_SAFE else "TRUNCATE"


def _make_sqlite_exact(engine: Engine, busy_seconds: float) -> None:
    """Durable commits, enforced foreign keys, and transactions that begin by taking the write lock."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions on its own: "begin" below does
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}")
        cursor.execute(f"PRAGMA journal_mode = {journal_mode()}")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA cache_size = -{CACHE_KILOBYTES}")
        cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
