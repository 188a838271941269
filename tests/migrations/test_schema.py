"""The migrations are the only way to the schema, and the schema they make is the one that the models describe."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, inspect, text
from sqlalchemy.engine.reflection import Inspector

from costmeter import wiring
from costmeter.core.errors import SetupError
from costmeter.store import engine as engines
from costmeter.store import schema
from costmeter.store.engine import open_engine
from costmeter.store.tables import ADDED_ONLY, PARTITIONED, Table
from costmeter.store.views import VIEWS
from tests.make import an_event, balance, downgrade, record_and_post, splits, top_up

TABLES = set(Table.metadata.tables)
OWN = {"alembic_version"}
SHARED = {"price_edition", "api_key", "scheduler_lease", "scheduler_run"}  # by all accounts


def tables_of(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {f"{name}_default" for name in PARTITIONED}


def described(inspector: Inspector, table: str) -> dict[str, Any]:
    """What a database says of a table, in a form that can be compared."""
    return {
        "columns": {c["name"]: (str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)},
        "primary": inspector.get_pk_constraint(table)["constrained_columns"],
        "unique": sorted((u["name"] or "", u["column_names"]) for u in inspector.get_unique_constraints(table)),
        "checks": sorted((c["name"] or "", c["sqltext"]) for c in inspector.get_check_constraints(table)),
        "indexes": sorted((i["name"] or "", i["column_names"]) for i in inspector.get_indexes(table)),
        "foreign": sorted(
            (f["constrained_columns"], f["referred_table"], f["referred_columns"])
            for f in inspector.get_foreign_keys(table)
        ),
    }


class TestUpgrade:
    def test_an_empty_database_gets_every_table(self, empty: Engine) -> None:
        assert schema.revision(empty) is None
        schema.upgrade(empty)
        assert tables_of(empty) == TABLES | OWN
        assert {*inspect(empty).get_view_names()} == {*VIEWS}
        assert schema.revision(empty) == schema.NEWEST
        schema.check(empty)

    def test_the_newest_revision_is_the_head_of_the_migrations(self) -> None:
        assert ScriptDirectory.from_config(schema._config()).get_heads() == [schema.NEWEST]

    def test_it_can_be_used_at_once(self, empty: Engine) -> None:
        schema.upgrade(empty)
        top_up(empty, "5.00", "2025-03-01T00:00:00Z")
        record_and_post(empty, an_event("a"))
        assert balance(empty) == ("0.00", "3.90")

    def test_upgrading_twice_does_nothing(self, empty: Engine) -> None:
        schema.upgrade(empty)
        record_and_post(empty, an_event("a"))
        schema.upgrade(empty)
        assert splits(empty) == {"a": ("0.00", "0.00", "0.00", "1.10")}

    def test_every_table_of_facts_has_its_triggers(self, empty: Engine) -> None:
        schema.upgrade(empty)
        query = (
            "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'"
            if empty.dialect.name == "sqlite"
            else "SELECT event_object_table FROM information_schema.triggers"
        )
        with empty.connect() as connection:
            guarded = {name.removesuffix("_default") for name in connection.scalars(text(query))}
        assert guarded == set(ADDED_ONLY)

    def test_on_postgresql_the_large_tables_are_partitioned(self, postgres_url: str) -> None:
        engine = open_engine(postgres_url)
        query = "SELECT inhparent::regclass::text, inhrelid::regclass::text FROM pg_inherits "
        query += "JOIN pg_class ON pg_class.oid = inhparent WHERE relkind = 'p'"
        with engine.connect() as connection:
            found = {row[0]: row[1] for row in connection.execute(text(query))}
        assert found == {name: f"{name}_default" for name in PARTITIONED}
        engine.dispose()


class TestModels:
    def test_alembic_finds_no_difference(self, engine: Engine) -> None:
        def is_ours(name: str | None, kind: str, _parents: object) -> bool:
            return kind != "table" or not str(name).endswith("_default")

        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_name": is_ours, "compare_type": True})
            assert compare_metadata(context, Table.metadata) == []

    def test_tables_made_from_the_models_are_the_migrated_ones(self, empty: Engine) -> None:
        """Down to the constraints that alembic does not compare."""
        Table.metadata.create_all(empty)
        modelled = {table: described(inspect(empty), table) for table in TABLES}
        Table.metadata.drop_all(empty)
        schema.upgrade(empty)
        assert {table: described(inspect(empty), table) for table in TABLES} == modelled

    @pytest.mark.parametrize("table", sorted(TABLES - SHARED))
    def test_every_key_begins_with_the_account(self, table: str) -> None:
        made = Table.metadata.tables[table]
        keys = [list(made.primary_key.columns), *(list(index.columns) for index in made.indexes)]
        keys += [list(key.columns) for key in made.constraints if hasattr(key, "columns") and list(key.columns)]
        for columns in keys:
            assert columns[0].name == "account"


class TestDowngrade:
    def test_it_leaves_no_tables_and_can_be_upgraded_again(self, empty: Engine) -> None:
        schema.upgrade(empty)
        record_and_post(empty, an_event("a"))
        downgrade(empty)
        assert tables_of(empty) == OWN
        assert set(inspect(empty).get_table_names()) == OWN
        assert inspect(empty).get_view_names() == []
        assert schema.revision(empty) is None
        schema.upgrade(empty)
        assert tables_of(empty) == TABLES | OWN


class TestCheck:
    def set_revision(self, engine: Engine, revision: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})

    def test_an_empty_database_is_told_how_to_get_its_schema(self, empty: Engine) -> None:
        with pytest.raises(SetupError, match="has no costmeter schema; run: costmeter db upgrade"):
            schema.check(empty)

    def test_a_newer_schema_needs_a_newer_costmeter(self, engine: Engine) -> None:
        self.set_revision(engine, "9999")
        with pytest.raises(SetupError, match=f"schema 9999 is newer than this costmeter .{schema.NEWEST}.; upgrade"):
            schema.check(engine)

    def test_an_older_schema_is_to_be_upgraded(self, engine: Engine) -> None:
        self.set_revision(engine, "0000")
        with pytest.raises(SetupError, match=f"is 0000, this costmeter needs {schema.NEWEST}; run: costmeter db upg"):
            schema.check(engine)


class TestOpenDatabase:
    def test_a_missing_file_is_made_with_its_folder(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "folder" / "costmeter.sqlite3"
        for _ in range(2):
            engine = wiring.open_database(f"sqlite:///{path}")
            assert tables_of(engine) == TABLES | OWN
            engine.dispose()

    def test_an_empty_file_is_filled(self, tmp_path: Path) -> None:
        path = tmp_path / "costmeter.sqlite3"
        path.touch()
        engine = wiring.open_database(f"sqlite:///{path}")
        schema.check(engine)
        engine.dispose()

    def test_a_file_that_a_dead_process_left_without_tables_is_filled(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Setting the journal to WAL writes the first page of a file before any table is made."""
        monkeypatch.setattr(engines, "WAL_IS_SAFE", (3, 0, 0))
        path = tmp_path / "costmeter.sqlite3"
        dead = open_engine(f"sqlite:///{path}")
        dead.connect().close()
        dead.dispose()
        engine = wiring.open_database(f"sqlite:///{path}")
        schema.check(engine)
        engine.dispose()

    def test_a_file_of_another_program_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "other.sqlite3"
        other = open_engine(f"sqlite:///{path}")
        MetaData().create_all(other)
        with other.begin() as connection:
            connection.execute(text("CREATE TABLE theirs (x INTEGER)"))
        other.dispose()
        with pytest.raises(SetupError, match="has no costmeter schema"):
            wiring.open_database(f"sqlite:///{path}")

    def test_any_other_database_must_be_upgraded_first(self, empty: Engine) -> None:
        if empty.dialect.name == "postgresql":
            with pytest.raises(SetupError, match="run: costmeter db upgrade"):
                wiring.open_database(empty.url.render_as_string(hide_password=False))
            assert tables_of(empty) == set()

    def test_processes_that_make_a_file_at_once_make_it_once(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'new' / 'costmeter.sqlite3'}"
        with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
            assert list(pool.map(open_and_record, [url] * 3, range(3))) == [True] * 3
        engine = wiring.open_database(url)
        assert sorted(splits(engine)) == ["call-0", "call-1", "call-2"]
        engine.dispose()

    def test_processes_that_upgrade_at_once_upgrade_once(self, empty: Engine) -> None:
        url = empty.url.render_as_string(hide_password=False)
        with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
            assert list(pool.map(upgrade_url, [url] * 3)) == [True] * 3
        schema.check(empty)


def open_and_record(url: str, number: int) -> bool:
    """What a process does that finds no file."""
    engine = wiring.open_database(url)
    record_and_post(engine, an_event(f"call-{number}"))
    engine.dispose()
    return True


def upgrade_url(url: str) -> bool:
    engine = open_engine(url)
    schema.upgrade(engine)
    engine.dispose()
    return True


def test_a_migration_runs_in_one_transaction(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade that fails half way leaves nothing behind."""

    def fail(connection: Connection) -> None:
        raise RuntimeError("the power went out")

    real = command.upgrade

    def upgrade_then_fail(config: Any, revision: str) -> None:
        real(config, revision)
        fail(config.attributes["connection"])

    monkeypatch.setattr(command, "upgrade", upgrade_then_fail)
    with pytest.raises(RuntimeError):
        schema.upgrade(empty)
    assert tables_of(empty) == set()
