"""`costmeter db`: an SQLite file makes itself; any other database waits to be told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import delete, text

from costmeter.services.make_partitions import AHEAD
from costmeter.store import rollups, schema
from costmeter.store.engine import open_engine
from tests.cli.running import Run, write
from tests.make import an_event

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

    first, *made = run("db", "upgrade").done.splitlines()
    assert first == f"schema {NEWEST}: upgraded from nothing"
    assert len(made) == 3 * (AHEAD + 1)
    assert all(line.startswith("made ") for line in made)
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


@pytest.fixture
def postgres(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", postgres_url)
    return postgres_url


def test_months_are_made_detached_and_attached(run: Run, postgres: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event("a"), an_event("b", "2025-04-01T00:00:00Z")))
    made = run("db", "partitions", "--since", "2025-03", "--ahead", "1").done.splitlines()
    assert {"made usage_event_2025_03", "made charge_2025_04"} <= set(made)
    assert run("db", "partitions", "--ahead", "1").done == "every partition was there already\n"

    unverified = "2025-03 is not detached, as a ledger is not verified beyond it (costmeter verify), that of account"
    assert run("db", "detach", "--before", "2025-04").refused == f"{unverified}: default"
    run("verify")
    assert run("db", "detach", "--before", "2025-04", "--dry-run").done == "would detach 2025-03\n"
    assert run("db", "detach", "--before", "2025-04").done == "detached 2025-03\n"
    assert run("db", "detach", "--before", "2025-04").done == "no month before 2025-04 is attached\n"
    assert run("db", "status", "--json").json["months_detached"] == ["2025-03"]
    assert "costmeter db attach 2025-03" in run("report", "--month", "2025-03").refused
    assert run("report", "--month", "2025-04", "--json").json["totals"]["cost"] == "0.55"

    assert run("db", "attach", "2025-03").done == "attached 2025-03; check what came back: costmeter verify --full\n"
    assert run("report", "--month", "2025-03", "--json").json["totals"]["cost"] == "1.10"
    assert run("verify", "--full").code == 0


def test_the_status_says_what_is_there(run: Run, postgres: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event("a")))
    run("db", "upgrade")
    found = run("db", "status", "--json").json
    assert (found["schema"], found["engine"], found["citus"]) == (NEWEST, "postgresql", None)
    assert (found["months_ahead"], found["months_detached"]) == (AHEAD, [])
    tables = {table["table"]: table for table in found["tables"]}
    assert tables["charge"]["bytes"] > tables["pending"]["bytes"] > 0
    assert {"name": "charge_by_seq", "serves": "verify of what is new"} in tables["charge"]["indexes"]
    assert len(found["partitions"]) == 3 * (AHEAD + 2)
    assert sum(part["bytes"] for part in found["partitions"] if part["table"] == "charge") == tables["charge"]["bytes"]

    shown = run("db", "status").done
    assert f"months made ahead: {AHEAD}; rows that no month holds: " in shown
    assert "Citus: not installed" in shown
    assert "charge_default" in shown


def test_the_status_of_an_sqlite_file(run: Run, sqlite: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event("a")))
    found = run("db", "status", "--json").json
    assert (found["engine"], found["months_ahead"], found["partitions"]) == ("sqlite", None, [])
    tables = {table["table"]: table for table in found["tables"]}
    assert (tables["usage_event"]["rows"], tables["usage_event"]["bytes"], found["bytes"] > 0) == (1, None, True)
    assert run("db", "status").code == 0


@pytest.mark.parametrize("command", ["partitions", "detach --before 2025-04", "attach 2025-03"])
def test_partitions_are_postgresqls(run: Run, sqlite: str, command: str) -> None:
    says = "partitions are PostgreSQL's; an SQLite file keeps each table in one piece"
    assert run("db", *command.split()).refused == says


def test_a_file_is_not_distributed(run: Run, sqlite: str) -> None:
    says = "Citus distributes PostgreSQL databases; an SQLite file stays on one machine"
    assert run("db", "distribute").refused == says


def test_without_citus_nothing_is_distributed(run: Run, postgres: str) -> None:
    assert run("db", "distribute").refused.startswith("the Citus extension is not in this database; install Citus on ")


def test_projections_are_rebuilt_from_the_facts(run: Run, missing_file: Path, tmp_path: Path) -> None:
    run("credit", "add", "--kind", "topped_up", "--amount", "5.00", "--effective-at", "2025-03-01T00:00:00Z")
    assert run("record", str(write(tmp_path / "calls.ndjson", an_event("a")))).code == 0
    before = run("balance", "--json").json, run("report", "--month", "2025-03", "--json").json
    engine = open_engine(f"sqlite:///{missing_file}")
    with engine.begin() as connection:
        for table in rollups.TABLES:
            connection.execute(delete(table))
        connection.execute(text("UPDATE credit_balance SET remaining = 7"))
    engine.dispose()
    assert run("db", "rebuild").done == "rebuilt default\n"
    assert (run("balance", "--json").json, run("report", "--month", "2025-03", "--json").json) == before
    assert run("verify", "--full").code == 0


def test_an_upgrade_makes_the_rollups_that_are_missing(run: Run, missing_file: Path, tmp_path: Path) -> None:
    assert run("record", str(write(tmp_path / "calls.ndjson", an_event("a")))).code == 0
    engine = open_engine(f"sqlite:///{missing_file}")
    with engine.begin() as connection:
        for table in rollups.TABLES:
            connection.execute(delete(table))
        connection.execute(text("UPDATE account SET rolled_up = 0"))
    engine.dispose()
    assert "made the rollups of 1 accounts" in run("db", "upgrade").done
    assert run("verify", "--full").code == 0


def test_a_reporting_view_that_is_gone_is_told(run: Run, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", sqlite_url)
    engine = open_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW report_budget"))
    engine.dispose()
    ran = run("db", "check")
    says = "the view report_budget is gone; take it from a backup, of which the schema alone is enough"
    assert (ran.code, ran.out, ran.err) == (1, f"{says}\n", "")
