"""What is in the database and how large it is: tables, their partitions and indexes, and how they are distributed."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, select, text

from costmeter.store import partitions
from costmeter.store.tables import PARTITIONED, Table

PRIMARY_KEY = "one row by its key"
_SIZES = text(
    "SELECT c.relname, pg_total_relation_size(c.oid), greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0)::bigint "
    "FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace"
)
_DISTRIBUTED = text("SELECT logicalrelid::regclass::text, partmethod::text FROM pg_dist_partition")
_HOW = {"h": "by account", "n": "reference"}  # Citus's letters: hashed, and a copy on each node


class IndexUse(NamedTuple):
    """An index and the query that it serves."""

    name: str
    serves: str


class TableSize(NamedTuple):
    """A table with its attached partitions: rows (an estimate on PostgreSQL) and bytes, indexes included.

    Bytes are not known for each table of an SQLite file.
    """

    table: str
    rows: int
    bytes: int | None
    indexes: tuple[IndexUse, ...]
    distributed: str | None


def of_tables(connection: Connection) -> list[TableSize]:
    """Every table of the ledger, by name."""
    is_postgres = connection.dialect.name == "postgresql"
    found = _on_postgresql(connection) if is_postgres else _on_sqlite(connection)
    how = distributed(connection)
    tables = [(name, *found[name]) for name in sorted(Table.metadata.tables)]
    return [TableSize(name, rows, size, indexes(name), how.get(name)) for name, rows, size in tables]


def indexes(table: str) -> tuple[IndexUse, ...]:
    """The indexes of a table; one that serves no query has no place here, and a test sees to that."""
    made = Table.metadata.tables[table]
    uses = [IndexUse(f"{table}_pkey", PRIMARY_KEY)]
    uses += [IndexUse(str(index.name), index.info["serves"]) for index in made.indexes]
    unique = (constraint for constraint in made.constraints if constraint.info.get("serves"))
    uses += [IndexUse(str(constraint.name), constraint.info["serves"]) for constraint in unique]
    return tuple(sorted(uses))


def database_bytes(connection: Connection) -> int:
    """What the whole database takes on the disk."""
    if connection.dialect.name == "postgresql":
        return int(connection.scalars(text("SELECT pg_database_size(current_database())")).one())
    pages, size = (connection.scalars(text(f"PRAGMA {name}")).one() for name in ("page_count", "page_size"))
    return int(pages) * int(size)


def version(connection: Connection) -> str:
    """The version of the database engine."""
    query = "SHOW server_version" if connection.dialect.name == "postgresql" else "SELECT sqlite_version()"
    return str(connection.scalars(text(query)).one())


def citus_version(connection: Connection) -> str | None:
    """The version of Citus that is installed in this database; None where it is not."""
    if connection.dialect.name != "postgresql":
        return None
    found: str | None = connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'citus'"))
    return found


def distributed(connection: Connection) -> dict[str, str]:
    """How Citus keeps tables, by name: `by account`, or `reference`; nothing where it is not installed."""
    if citus_version(connection) is None:
        return {}
    return {str(table): _HOW.get(kind, str(kind)) for table, kind in connection.execute(_DISTRIBUTED)}


def _on_postgresql(connection: Connection) -> dict[str, tuple[int, int | None]]:
    found: dict[str, tuple[int, int | None]] = {
        str(name): (int(rows), int(size)) for name, size, rows in connection.execute(_SIZES)
    }
    for table in PARTITIONED:
        parts = [one for one in partitions.listed(connection) if one.table == table and one.is_attached]
        found[table] = (sum(one.rows for one in parts), sum(one.bytes for one in parts))
    return found


def _on_sqlite(connection: Connection) -> dict[str, tuple[int, int | None]]:
    tables = Table.metadata.tables.items()
    return {str(name): (connection.scalar(select(func.count()).select_from(made)) or 0, None) for name, made in tables}
