"""The database of a command: opened for it, and closed whatever comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from costmeter import wiring
from costmeter.store.engine import reading


@contextmanager
def database() -> Iterator[Engine]:
    """The database of the settings, at the newest schema."""
    engine = wiring.open_database()
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def bare_database() -> Iterator[Engine]:
    """The database of the settings, whatever its schema."""
    engine = wiring.open_bare_database()
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def snapshot() -> Iterator[Connection]:
    """A read-only transaction on the database of the settings."""
    with database() as engine, reading(engine) as connection:
        yield connection
