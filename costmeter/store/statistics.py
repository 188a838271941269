"""What PostgreSQL knows of its tables, by which it plans."""

from __future__ import annotations

from sqlalchemy import Engine, text

_LARGE = 1 << 20  # bytes; a smaller table is read at once, however it is planned
_UNKNOWN = text(
    "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace "
    "AND reltuples < 0 AND pg_relation_size(oid) >= :large AND NOT pg_is_in_recovery() ORDER BY relname"
)


def learn_new_tables(engine: Engine) -> None:
    """Let PostgreSQL look at large tables that it has never looked at, before an account's whole history is read.

    It does so by itself within minutes. Until then it joins a month that was loaded at once as if it were a few rows,
    which takes time by the square of them.
    """
    if engine.dialect.name != "postgresql":
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in connection.scalars(_UNKNOWN, {"large": _LARGE}).all():
            connection.execute(text(f"ANALYZE {name}"))
