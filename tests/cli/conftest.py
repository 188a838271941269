"""Running commands in this process, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from costmeter import wiring
from tests.cli.running import run

__all__ = ["database", "run", "sqlite"]


@pytest.fixture(autouse=True)
def _fresh_price_book() -> Iterator[None]:
    """The price book is read once in a process; each test is one as it were."""
    wiring.price_book.cache_clear()
    yield
    wiring.price_book.cache_clear()


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database at the newest schema that the commands use: once SQLite, once PostgreSQL."""
    monkeypatch.setenv("COSTMETER_DATABASE_URL", database_url)
    return database_url


@pytest.fixture
def sqlite(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, SQLite only: for what does not depend on the database."""
    monkeypatch.setenv("COSTMETER_DATABASE_URL", sqlite_url)
    return sqlite_url
