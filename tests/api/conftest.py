"""A service on each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.serving import Api, served
from tests.cli.running import run

__all__ = ["api", "run", "sqlite_api"]


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    """The service on a database at the newest schema, once SQLite and once PostgreSQL, asked by an admin."""
    with served(database_url) as client:
        yield client


@pytest.fixture
def sqlite_api(sqlite_url: str) -> Iterator[Api]:
    """The same, SQLite only: for what does not depend on the database."""
    with served(sqlite_url) as client:
        yield client
