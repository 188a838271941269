"""`costmeter db`: an SQLite file makes itself; any other database waits to be told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from costmeter.store import schema
from costmeter.store.engine import open_engine
from tests.cli.running import Run

NEWEST = schema.NEWEST


@pytest.fixture
def empty_postgres(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A PostgreSQL database without a schema."""
    name = f"empty_{uuid4().hex}"
    server = open_engine(postgres_server.format("postgres"))
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        monkeypatch.setenv("COSTMETER_DATABASE_URL", postgres_server.format(name))
        yield postgres_server.format(name)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "new" / "books.sqlite3"
    monkeypatch.setenv("COSTMETER_DATABASE_URL", f"sqlite:///{path}")
    return path


def test_an_empty_postgresql_database_needs_an_upgrade_first(run: Run, empty_postgres: str) -> None:
    says = "the database has no costmeter schema; run: costmeter db upgrade"
    assert run("balance").refused == says
    ran = run("db", "check")
    assert (ran.code, ran.out, ran.err) == (1, f"{says}\n", "")

    assert run("db", "upgrade").done == f"schema {NEWEST}: upgraded from nothing\n"
    assert run("db", "upgrade").done == f"schema {NEWEST}: was there already\n"
    assert run("db", "check").done == f"schema {NEWEST}: the newest\n"
    assert run("account", "add", "team").done == "added account team: USD, UTC\n"


def test_a_missing_sqlite_file_is_made_at_first_use(run: Run, missing_file: Path) -> None:
    assert run("account", "list", "--json").json == []
    assert run("db", "check").done == f"schema {NEWEST}: the newest\n"


def test_a_missing_sqlite_file_can_be_made_by_an_upgrade(run: Run, missing_file: Path) -> None:
    assert run("db", "check").code == 1
    assert run("db", "upgrade").done == f"schema {NEWEST}: upgraded from nothing\n"
    assert run("db", "check").done == f"schema {NEWEST}: the newest\n"


def test_an_sqlite_file_of_somebody_else_is_left_alone(run: Run, missing_file: Path) -> None:
    missing_file.parent.mkdir()
    engine = open_engine(f"sqlite:///{missing_file}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE recipes (name TEXT)"))
    engine.dispose()

    assert run("balance").refused == "the database has no costmeter schema; run: costmeter db upgrade"


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ("9999", f"the database's schema 9999 is newer than this costmeter ({NEWEST}); upgrade costmeter"),
        ("0000", f"the database's schema is 0000, this costmeter needs {NEWEST}; run: costmeter db upgrade"),
    ],
)
def test_another_schema_is_refused_with_what_to_do(run: Run, database: str, found: str, says: str) -> None:
    engine = open_engine(database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :found"), {"found": found})
    engine.dispose()

    assert run("report", "--month", "2025-03").refused == says
    ran = run("db", "check")
    assert (ran.code, ran.out) == (1, f"{says}\n")
