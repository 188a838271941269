"""Runs the migrations on the connection that costmeter passes, or on COSTMETER_DATABASE_URL."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from costmeter.store.tables import Table


def migrate() -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        from costmeter.wiring import open_bare_database

        with open_bare_database().begin() as own:
            _run(own)
    else:
        _run(connection)


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Table.metadata, transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()


migrate()
