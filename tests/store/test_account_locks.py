"""The accounts of a batch are locked together, each whole, and by whoever posts in the same order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, event, select

from costmeter.core.errors import NotFoundError
from costmeter.store import accounts
from costmeter.store.accounts import Account, Home
from costmeter.store.bulk import Batch
from costmeter.store.engine import in_transaction, open_engine
from costmeter.store.tables import AccountRow
from tests.make import NOW, at

NAMES = [f"account-{number}" for number in range(20)]
WAYS: dict[str, Callable[[Connection, list[str]], list[Account]]] = {
    "together": accounts.lock_all,
    "each": lambda connection, names: accounts._lock_each(connection, sorted(names)),
}


@pytest.fixture
def made(engine: Engine) -> Engine:
    in_transaction(engine, lambda connection: accounts.make_missing(connection, NAMES, Home(), at(NOW)))
    return engine


def names_of(found: list[Account]) -> list[str]:
    return [account.account for account in found]


def test_those_that_are_named_once(made: Engine) -> None:
    found = in_transaction(made, lambda connection: accounts.lock_all(connection, [*reversed(NAMES[:9]), NAMES[0]]))
    assert names_of(found) == NAMES[:9]
    assert names_of(in_transaction(made, lambda connection: accounts.lock_all(connection, NAMES[3:4]))) == NAMES[3:4]


@pytest.mark.parametrize("missing", ["account-x", "a"])  # after others that are there, and before them
def test_one_that_is_not_there(made: Engine, missing: str) -> None:
    with pytest.raises(NotFoundError, match=f"no account '{missing}'"):
        in_transaction(made, lambda connection: accounts.lock_all(connection, [*NAMES, missing]))


@pytest.mark.parametrize("way", [*WAYS])
def test_who_changes_them_meanwhile_waits(made: Engine, way: str) -> None:
    """Eight threads raise the versions of overlapping accounts, each by what it read: none is lost, none hangs."""
    others = [open_engine(made.url.render_as_string(hide_password=False)) for _ in range(8)]
    begin = threading.Barrier(len(others))

    def work(number: int) -> None:
        begin.wait()
        for turn in range(5):
            in_transaction(others[number], lambda connection: raise_all(connection, NAMES[turn : turn + 9 + number]))  # noqa: B023

    def raise_all(connection: Connection, names: list[str]) -> None:
        batch = Batch(connection)
        for account in WAYS[way](connection, [*reversed(names)]):
            accounts.save(batch, account._replace(version=account.version + 1))
        batch.write()

    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(work, range(len(others))))
    for other in others:
        other.dispose()
    with made.connect() as connection:
        versions = {
            row.account: row.version for row in connection.execute(select(AccountRow.account, AccountRow.version))
        }
    expected = [
        sum(turn <= place < turn + 9 + number for number in range(len(others)) for turn in range(5))
        for place in range(len(NAMES))
    ]
    assert [versions[name] for name in NAMES] == expected


def test_no_row_is_written_for_the_lock_on_postgresql(postgres_url: str) -> None:
    engine, asked = open_engine(postgres_url), []
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    in_transaction(engine, lambda connection: accounts.make_missing(connection, NAMES, Home(), at(NOW)))
    asked.clear()
    in_transaction(engine, lambda connection: accounts.lock_all(connection, NAMES))
    engine.dispose()
    assert [statement for statement in asked if statement.startswith("UPDATE")] == []
    assert [statement.endswith("FOR UPDATE") for statement in asked] == [False, True]
