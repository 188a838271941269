"""Empty databases, as nobody has migrated them yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from costmeter.store.engine import open_engine


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite file, and an empty database of a real PostgreSQL."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    else:
        server: str = request.getfixturevalue("postgres_server")
        name = f"empty_{uuid4().hex}"
        administrator = open_engine(server.format("postgres"))
        with administrator.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        administrator.dispose()
        url = server.format(name)
    engine = open_engine(url)
    yield engine
    engine.dispose()
