"""The schema: made and brought up to date by the migrations alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from costmeter.core.errors import SetupError
from costmeter.store.engine import reading

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0015"  # the head of migrations/, pinned by a test: reading it there would cost every command half a second
_PACKAGE = Path(__file__).resolve().parent.parent


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest schema; does nothing where it is there already."""
    from alembic import command

    if (revision(engine) or "") > NEWEST:
        check(engine)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Two processes that start at once must not both migrate.
            connection.execute(text("SELECT pg_advisory_xact_lock(7165038222)"))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def revision(engine: Engine) -> str | None:
    """The database's revision; None where it has no schema."""
    with reading(engine) as connection:
        return revision_of(connection)


def is_empty(engine: Engine) -> bool:
    """Whether there is nothing in the database: new, or left so by a process that died before it made the schema."""
    with reading(engine) as connection:
        return not inspect(connection).get_table_names()


def check(engine: Engine) -> None:
    """Raises SetupError, naming the command to run, unless the schema is the newest."""
    current = revision(engine)
    if current == NEWEST:
        return
    if current is None:
        raise SetupError("the database has no costmeter schema; run: costmeter db upgrade")
    if current > NEWEST:  # revisions are numbered
        raise SetupError(f"the database's schema {current} is newer than this costmeter ({NEWEST}); upgrade costmeter")
    raise SetupError(f"the database's schema is {current}, this costmeter needs {NEWEST}; run: costmeter db upgrade")


def revision_of(connection: Connection) -> str | None:
    """The revision of the database of a connection; None where it has no schema."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    installed = _PACKAGE / "_migrations"  # in a wheel; a checkout has the folder at its top
    folder = installed if installed.is_dir() else _PACKAGE.parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config
