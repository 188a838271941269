"""Engines and transactions behave alike on both databases: durable, one writer after another, tried again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError

from costmeter.core.errors import InputError
from costmeter.store import engine as engines
from costmeter.store.accounts import NO_CHAIN
from costmeter.store.engine import in_transaction, journal_mode, open_engine, reading
from costmeter.store.tables import AccountRow
from tests.make import NOW, at, set_up_account


class LostRaceError(Exception):
    """What a driver raises where PostgreSQL gives up a transaction."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def account_row(name: str) -> dict[str, Any]:
    row = {"account": name, "currency": "USD", "timezone": "UTC", "version": 0, "overdraft": 0, "chain": NO_CHAIN}
    return {**row, "created_at": at(NOW)}


def add_account(connection: Connection, name: str) -> None:
    connection.execute(insert(AccountRow), account_row(name))


def count_accounts(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(AccountRow)) or 0


@pytest.fixture
def few_tries(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(engines, "TRIES", 3)
    return 3


class TestOpening:
    @pytest.mark.parametrize("url", ["mysql://root:pw@h/db", "sqlite", "nonsense://x", ""])
    def test_another_database_is_refused_and_its_password_not_shown(self, url: str) -> None:
        with pytest.raises(InputError, match="COSTMETER_DATABASE_URL") as caught:
            open_engine(url)
        assert "pw" not in str(caught.value)

    def test_another_driver_is_refused(self) -> None:
        with pytest.raises(
            InputError, match=r"postgresql\+psycopg_async': use postgresql:// \(the driver is psycopg\)"
        ):
            open_engine("postgresql+psycopg_async://h/db")

    def test_sqlite_commits_are_durable_and_foreign_keys_enforced(self, sqlite_url: str) -> None:
        engine = open_engine(sqlite_url)
        with engine.connect() as connection:
            found = {
                name: connection.scalar(text(f"PRAGMA {name}"))
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        assert found == {
            "journal_mode": journal_mode().lower(), "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000
        }  # fmt: skip
        engine.dispose()

    @pytest.mark.parametrize(
        ("version", "mode"),
        [((3, 40, 1), "TRUNCATE"), ((3, 51, 2), "TRUNCATE"), ((3, 51, 3), "WAL"), ((3, 52, 0), "WAL")],
    )
    def test_the_journal_is_wal_only_where_sqlite_is_safe_with_it(
        self, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], mode: str
    ) -> None:
        monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
        assert journal_mode() == mode


class TestReading:
    def test_it_cannot_write_on_postgresql(self, postgres_url: str) -> None:
        engine = open_engine(postgres_url)
        with pytest.raises(InternalError, match="read-only transaction"), reading(engine) as connection:
            add_account(connection, "a")
        assert count_accounts(engine) == 0
        engine.dispose()

    def test_it_sees_one_snapshot(self, engine: Engine, database_url: str) -> None:
        if engine.dialect.name == "sqlite" and journal_mode() != "WAL":
            return  # here a reader holds writers off, which is a snapshot as well
        with reading(engine) as connection:
            before = connection.scalar(select(func.count()).select_from(AccountRow))
            other = open_engine(database_url)
            in_transaction(other, lambda c: add_account(c, "a"))
            other.dispose()
            assert connection.scalar(select(func.count()).select_from(AccountRow)) == before


class TestInTransaction:
    def test_it_commits_and_returns_what_the_work_returns(self, engine: Engine) -> None:
        def work(connection: Connection) -> int:
            add_account(connection, "a")
            return 7

        assert in_transaction(engine, work) == 7
        assert count_accounts(engine) == 1

    def test_an_error_takes_everything_back_and_is_not_tried_again(self, engine: Engine) -> None:
        tries = []

        def work(connection: Connection) -> None:
            tries.append(1)
            add_account(connection, "a")
            raise InputError("x", 1, "no")

        with pytest.raises(InputError):
            in_transaction(engine, work)
        assert (len(tries), count_accounts(engine)) == (1, 0)

    def test_a_row_that_another_writer_added_meanwhile_is_found_by_the_second_try(self, engine: Engine) -> None:
        set_up_account(engine, "a")
        tries = []

        def work(connection: Connection) -> str:
            tries.append(1)
            if len(tries) == 1:
                add_account(connection, "b")  # must be undone before the next try
                add_account(connection, "a")
            return "found"

        assert in_transaction(engine, work) == "found"
        assert (len(tries), count_accounts(engine)) == (2, 1)

    @pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
    def test_a_lost_race_is_run_again_whole(self, engine: Engine, sqlstate: str) -> None:
        tries = []

        def work(connection: Connection) -> int:
            tries.append(1)
            add_account(connection, "a")
            if len(tries) < 3:
                raise DBAPIError("UPDATE", {}, LostRaceError(sqlstate))
            return len(tries)

        assert in_transaction(engine, work) == 3
        assert count_accounts(engine) == 1

    def test_it_gives_up_after_some_tries(self, engine: Engine, few_tries: int) -> None:
        set_up_account(engine, "a")
        tries = []

        def work(connection: Connection) -> None:
            tries.append(1)
            add_account(connection, "a")

        with pytest.raises(IntegrityError):
            in_transaction(engine, work)
        assert len(tries) == few_tries

    def test_any_other_error_of_the_database_is_raised_at_once(self, engine: Engine) -> None:
        tries = []

        def work(connection: Connection) -> None:
            tries.append(1)
            raise DBAPIError("UPDATE", {}, LostRaceError("53200"))

        with pytest.raises(DBAPIError):
            in_transaction(engine, work)
        assert len(tries) == 1

    def test_a_real_deadlock_is_resolved(self, postgres_url: str) -> None:
        engine = open_engine(postgres_url)
        for name in ("a", "b"):
            set_up_account(engine, name)
        both_have_one = [False, False]

        def take(order: tuple[str, str], me: int) -> Callable[[Connection], None]:
            def work(connection: Connection) -> None:
                for position, name in enumerate(order):
                    raised = {"version": AccountRow.version + 1}
                    connection.execute(update(AccountRow).where(AccountRow.account == name).values(raised))
                    both_have_one[me] = True
                    while position == 0 and not all(both_have_one):
                        connection.execute(text("SELECT pg_sleep(0.01)"))

            return work

        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(in_transaction, engine, take(o, n)) for n, o in enumerate((("a", "b"), ("b", "a")))]
            assert [future.result(timeout=30) for future in done] == [None, None]
        with reading(engine) as connection:
            assert set(connection.scalars(select(AccountRow.version))) == {2}
        engine.dispose()

    def test_writers_of_one_row_wait_for_each_other_and_lose_nothing(self, engine: Engine, database_url: str) -> None:
        set_up_account(engine, "a")

        def raise_version(_: int) -> None:
            own = open_engine(database_url)

            def work(connection: Connection) -> None:
                version = connection.scalar(select(AccountRow.version).with_for_update())
                connection.execute(update(AccountRow).values(version=(version or 0) + 1))

            for _attempt in range(10):
                in_transaction(own, work)
            own.dispose()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(raise_version, range(4)))
        with reading(engine) as connection:
            assert connection.scalar(select(AccountRow.version)) == 40


def test_a_file_in_a_missing_folder_is_an_error_of_the_database(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'missing' / 'x.sqlite3'}")
    with pytest.raises(DBAPIError, match="unable to open database file"), engine.connect():
        pass
