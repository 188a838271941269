"""Databases of a PostgreSQL server at the newest schema, each with nothing in it.

To copy a template is to copy six hundred files. A test that only wrote rows leaves a database that is emptied for the
next one, which takes a tenth of the time; one that has changed anything else, or is connected still, is dropped.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

TEMPLATE = "costmeter_template"
GROWTH = 2 << 20  # bytes by which a database may have grown that is used again: rows that are deleted leave their room

_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
    "AND NOT relispartition AND relname <> 'alembic_version' ORDER BY relname"
)
# All that a test may change of a database but rows: tables, their columns, options, rights and statistics, and so on.
_STATE = """
SELECT md5(string_agg(one, '|' ORDER BY one)) FROM (
  SELECT format('%s %s %s %s %s %s', oid, relname, relkind, reloptions, reltuples, relacl) FROM pg_class
    WHERE oid >= 16384
  UNION ALL SELECT format('%s %s %s %s %s', attrelid, attname, atttypid, attnotnull, attacl) FROM pg_attribute
    WHERE attrelid >= 16384
  UNION ALL SELECT format('%s %s', oid, tgenabled) FROM pg_trigger
  UNION ALL SELECT format('%s %s', oid, md5(prosrc)) FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT format('%s %s', oid, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
  UNION ALL SELECT oid::text FROM pg_constraint WHERE oid >= 16384
  UNION ALL SELECT oid::text FROM pg_extension
  UNION ALL SELECT format('%s %s', setrole, setconfig) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION ALL SELECT format('%s %s %s', datallowconn, datconnlimit, datacl) FROM pg_database
    WHERE datname = current_database()
  UNION ALL SELECT version_num FROM alembic_version
) AS state (one)
"""


class Databases:
    """Those of one server whose template is made."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._idle: list[str] = []
        self._made = 0
        with self._connected(TEMPLATE) as connection:
            self._state, self._size = self._look(connection)
            self._tables = [sql.Identifier(row[0]) for row in connection.execute(_TABLES)]
        some = sql.SQL("EXISTS (SELECT FROM {})")
        self._filled = sql.SQL("SELECT {}").format(sql.SQL(", ").join(some.format(table) for table in self._tables))

    def take(self) -> str:
        """The name of a database that has nothing in it."""
        if self._idle:
            return self._idle.pop()
        self._made += 1
        name = f"test_{self._made}"
        self._administer("CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE)
        return name

    def give_back(self, name: str) -> None:
        """Take a database back from a test that is over."""
        try:
            is_clean = self._empty(name)
        except psycopg.OperationalError:  # it lets nobody in
            is_clean = False
        if is_clean:
            self._idle.append(name)
        else:
            self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _empty(self, name: str) -> bool:
        """Whether there is nothing in the database any more, and all else is as it was made."""
        with self._connected(name) as connection:
            others = connection.execute(_OTHERS).fetchone()
            if others != (0,):
                return False
            state, size = self._look(connection)
            if state != self._state or size > self._size + GROWTH:
                return False
            (filled,) = connection.execute(self._filled)
            with connection.transaction():
                connection.execute("SET LOCAL session_replication_role = replica")  # no trigger, no foreign key
                for table, has_rows in zip(self._tables, filled, strict=True):
                    if has_rows:
                        connection.execute(sql.SQL("DELETE FROM {}").format(table))
        return True

    def _look(self, connection: psycopg.Connection[Any]) -> tuple[str, int]:
        (found,) = connection.execute(f"SELECT ({_STATE}), pg_database_size(current_database())")
        return found[0], found[1]

    def _connected(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self._server.format(name), autocommit=True)

    def _administer(self, statement: str, *names: str) -> None:
        with self._connected("postgres") as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
