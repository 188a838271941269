"""Engines: the database of the settings, or of a URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from costmeter.core.errors import SetupError
from costmeter.wiring.given import home, settings

if TYPE_CHECKING:
    from sqlalchemy import Engine


def open_database(url: str | None = None, *, patience: float | None = None) -> Engine:
    """The database (of the settings) at the newest schema: a missing SQLite file is made, any other must be there.

    With `patience` one that does not answer in so many seconds is an error.
    """
    from costmeter.store import schema

    engine = open_bare_database(url, patience=patience)
    try:
        if engine.dialect.name == "sqlite" and schema.is_empty(engine):
            schema.upgrade(engine)
        schema.check(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_bare_database(url: str | None = None, *, patience: float | None = None) -> Engine:
    """The database of the settings, whatever its schema."""
    from costmeter.store.engine import open_engine

    engine = open_engine(url or settings().database_url, patience=patience)
    if engine.dialect.name == "sqlite" and engine.url.database:
        _make_folder(Path(engine.url.database).parent)
    return engine


def currency_of_account(name: str) -> str:
    """The currency of an account; one that is not there yet will have that of the settings."""
    from costmeter.store import accounts
    from costmeter.store.engine import reading

    engine = open_database()
    try:
        with reading(engine) as connection:
            found = accounts.listed(connection, [name])
        return found[0].currency if found else home().currency
    finally:
        engine.dispose()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"the folder of the database, {folder}, cannot be made: {error.strerror}") from error
