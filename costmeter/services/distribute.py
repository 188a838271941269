"""Distribute the ledger: every table by its account over the nodes of a Citus cluster."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, TextClause, text

from costmeter.core.errors import SetupError
from costmeter.store import sizes
from costmeter.store.engine import in_transaction
from costmeter.store.tables import Table

ACCOUNT = "account"  # the table, and the column that all tables are distributed by


def distribute(engine: Engine) -> list[str]:
    """The tables that were distributed now: by account, together; what all accounts share is copied to each node.

    Those that are distributed already are left alone. SetupError where the database has no Citus extension.
    """
    if engine.dialect.name != "postgresql":
        raise SetupError("Citus distributes PostgreSQL databases; an SQLite file stays on one machine")
    return in_transaction(engine, _distribute)


def _distribute(connection: Connection) -> list[str]:
    if sizes.citus_version(connection) is None:
        remedy = (
            "install Citus on the server and run CREATE EXTENSION citus in this database; until then it is one node"
        )
        raise SetupError(f"the Citus extension is not in this database; {remedy}")
    done = sizes.distributed(connection)
    # Citus refuses triggers unless it is told that they keep to their own row. Ours do: they refuse, and look nowhere.
    name = connection.scalars(text("SELECT quote_ident(current_database())")).one()
    connection.execute(text(f"ALTER DATABASE {name} SET citus.enable_unsafe_triggers TO on"))
    connection.execute(text("SET citus.enable_unsafe_triggers TO on"))
    made = [table for table in order() if table not in done]
    for table in made:
        connection.execute(_statement(table), {"table": table})
    return made


def order() -> list[str]:
    """The tables as Citus accepts them: what all accounts share, the accounts, then each after those it refers to."""
    tables = [table.name for table in Table.metadata.sorted_tables]
    shared = [name for name in tables if ACCOUNT not in Table.metadata.tables[name].columns]
    return [*shared, ACCOUNT, *(name for name in tables if name not in {*shared, ACCOUNT})]


def _statement(table: str) -> TextClause:
    if ACCOUNT not in Table.metadata.tables[table].columns:
        return text("SELECT create_reference_table(:table)")
    together = "" if table == ACCOUNT else f", colocate_with => '{ACCOUNT}'"
    return text(f"SELECT create_distributed_table(:table, '{ACCOUNT}'{together})")
