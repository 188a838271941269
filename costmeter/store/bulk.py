"""Many rows at once, by what each driver is fastest at: binary COPY on PostgreSQL, prepared tuples on SQLite.

Rows are mappings of every column's name to a value as the model has it; what a model's type refuses is refused here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Select,
    Text,
    any_,
    bindparam,
    event,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy import column as sql_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import KeyedColumnElement

from costmeter.store.sent import made, sent, sent_in_array
from costmeter.store.tables import Table

_COPY = "costmeter_copy"  # the execution option that hands types and rows to the driver
_TOLD = "costmeter_told"  # the one that takes a statement as the driver would be told it


def add(connection: Connection, table: type[Table], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; one that is there already raises IntegrityError, as it does in any other insert."""
    names = table.__table__.columns.keys()
    add_values(connection, table, names, list(map(itemgetter(*names), rows)))


def add_values(
    connection: Connection, table: type[Table], names: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows as `add` does, each as its values of the named columns: where there are many, a mapping is dear."""
    if not rows:
        return
    columns = table.__table__.columns
    is_postgresql = connection.dialect.name == "postgresql"
    kinds = [sent(columns[name].type, is_postgresql=is_postgresql) for name in names]
    values = zip(*made(kinds, rows), strict=True)
    if is_postgresql:
        options = {_COPY: ([column.kind for column in kinds], values)}
        copy = f"COPY {table.__tablename__} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
        connection.exec_driver_sql(copy, execution_options=options)
    else:
        connection.exec_driver_sql(_insert(table.__tablename__, names), list(values))


def inserting(connection: Connection, table: type[Table]) -> Any:
    """The INSERT of the connection's dialect, which alone can say what is to be done where a row is there already."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


def add_new(connection: Connection, table: type[Table], row: Mapping[str, Any]) -> bool:
    """Insert a row unless one with its key, or another unique value of it, is there; whether it was inserted.

    The database says so by RETURNING: how many rows such an INSERT added is not known with every driver.
    """
    key = next(iter(table.__table__.primary_key))
    added = inserting(connection, table).values(row).on_conflict_do_nothing().returning(key)
    return connection.execute(added).first() is not None


def change(connection: Connection, table: type[Table], by: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Set columns of the rows that `by` names to what is given for each."""
    if not rows:
        return
    columns = table.__table__.columns
    if connection.dialect.name == "postgresql":
        given = _given([columns[name] for name in rows[0]], map(itemgetter(*rows[0]), rows))
        changes = ", ".join(f"{name} = given.{name}" for name in rows[0] if name not in by)
        changed = f"UPDATE {table.__tablename__} SET {changes} FROM {given.table} WHERE {_named(table, by)}"  # noqa: S608
        connection.exec_driver_sql(changed, given.arrays)
    else:
        found = update(table).where(*(columns[name] == bindparam(f"_{name}") for name in by))
        values = found.values({name: bindparam(name) for name in rows[0] if name not in by})
        connection.execute(values, [{f"_{name}" if name in by else name: row[name] for name in row} for row in rows])


def remove(connection: Connection, table: type[Table], by: tuple[str, str], keys: Sequence[tuple[str, bytes]]) -> None:
    """Delete the rows that these keys, each a text and bytes, name.

    PostgreSQL looks each row between the first and the last of them up among the keys. Were it left to join the two, it
    would compare each key with each row wherever its statistics say that there are hardly any rows, as they do of a
    table that is emptied again and again: 2,000 keys among 50,000 rows took 14 s so, and take 5 ms.
    """
    if not keys:
        return
    columns = [table.__table__.columns[name] for name in by]
    if connection.dialect.name == "postgresql":
        given, (texts, ids) = _given(columns, keys), zip(*keys, strict=True)
        between = "{} = ANY(%b::text[]) AND {} BETWEEN %b::bytea AND %b::bytea".format(*by)
        named = f"(({', '.join(by)}) IN (SELECT * FROM {given.table})) IS TRUE"  # noqa: S608  or it becomes a join
        removed = f"DELETE FROM {table.__tablename__} WHERE {between} AND {named}"  # noqa: S608
        connection.exec_driver_sql(removed, (sorted(set(texts)), min(ids), max(ids), *given.arrays))
    else:
        named = " AND ".join(f"{name} = ?" for name in by)
        values = made([sent(column.type, is_postgresql=False) for column in columns], keys)
        removed = f"DELETE FROM {table.__tablename__} WHERE {named}"  # noqa: S608  our own names
        connection.exec_driver_sql(removed, list(zip(*values, strict=True)))


def listed(
    connection: Connection, columns: Sequence[KeyedColumnElement[Any]], rows: Sequence[tuple[Any, ...]]
) -> FromClause:
    """Rows as a table to join with, so that one statement looks up, changes or deletes what each of them names.

    For SQLite they are texts, and last a key of 16 bytes. It is told the texts as JSON and the keys as one piece: the
    statement stays the same however many there are, where one with a list of values is made anew for each list.
    """
    if connection.dialect.name == "postgresql":
        arrays = [
            literal(list(values), ARRAY(column.type))
            for column, values in zip(columns, zip(*rows, strict=True), strict=True)
        ]
        given = func.unnest(*arrays).table_valued(*(sql_column(column.key, column.type) for column in columns))
        return given.render_derived("given")
    each = func.json_each(json.dumps([row[:-1] for row in rows])).table_valued("key", "value")
    values = [func.json_extract(each.c.value, f"$[{at}]") for at in range(len(columns) - 1)]
    keys = b"".join(row[-1] for row in rows)
    if any(len(row[-1]) != 16 for row in rows):  # the others would be read from the wrong places
        raise ValueError("a key that is listed has 16 bytes")
    values.append(func.substr(literal(keys), each.c.key * 16 + 1, 16))
    return select(*(value.label(column.key) for value, column in zip(values, columns, strict=True))).subquery("given")


def among(connection: Connection, column: Any, texts: Collection[str]) -> ColumnElement[bool]:
    """That a column has one of these texts: one parameter, where IN has to be written anew for every number of them."""
    if connection.dialect.name == "postgresql":
        found: ColumnElement[bool] = column == any_(literal(list(texts), ARRAY(Text())))
        return found
    return column.in_(texts)  # type: ignore[no-any-return]  # of a column of whatever table


def probed(
    connection: Connection, query: Select[*tuple[Any, ...]], column: Any, values: Collection[Any]
) -> Select[*tuple[Any, ...]]:
    """The query of a table, for the rows whose column has one of many values: each value is looked up by itself.

    Left to choose, PostgreSQL reads all rows of an account instead where its statistics are old or not there yet.
    """
    if connection.dialect.name != "postgresql":
        return query.where(column.in_(values))
    given = func.unnest(literal(list(values), ARRAY(column.type))).table_valued(sql_column("value", column.type))
    given = given.render_derived("given")
    found = query.where(column == given.c.value).offset(0).lateral("found")  # OFFSET keeps it from being rewritten
    return select(*found.c).select_from(given).join(found, true())


def add_up(connection: Connection, table: type[Table], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows of sums, or add them to the rows that are there already; no two of these rows may have one key."""
    columns = table.__table__.columns
    key = {column.name for column in table.__table__.primary_key}
    sums = [column.name for column in columns if isinstance(column.type, BigInteger) and column.name not in key]
    _upsert(connection, table, list(map(itemgetter(*columns.keys()), rows)), sums, is_added=True)


def put(connection: Connection, table: type[Table], moved: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows of every column, or set the columns `moved` of those that are there already; no key comes twice."""
    _upsert(connection, table, rows, moved, is_added=False)


def _upsert(
    connection: Connection, table: type[Table], rows: Sequence[tuple[Any, ...]], moved: Sequence[str], *, is_added: bool
) -> None:
    """Insert rows, or move columns of those that are there already: to the new values, or by them."""
    if not rows:
        return
    columns = table.__table__.columns
    names, key = columns.keys(), [column.name for column in table.__table__.primary_key]
    before = f"{table.__tablename__}.{{0}} + " if is_added else ""
    changes = ", ".join(f"{name} = {before.format(name)}excluded.{name}" for name in moved)
    upsert = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    if connection.dialect.name == "postgresql":
        given = _given(list(columns), rows)
        added = f"INSERT INTO {table.__tablename__} ({', '.join(names)}) SELECT * FROM {given.table}"  # noqa: S608
        connection.exec_driver_sql(f"{added} {upsert}", given.arrays)
    else:
        values = made([sent(column.type, is_postgresql=False) for column in columns], rows)
        connection.exec_driver_sql(f"{_insert(table.__tablename__, names)} {upsert}", list(zip(*values, strict=True)))


class _Given(NamedTuple):
    """Rows as a table of PostgreSQL's: an array for each column, sent in binary."""

    table: str
    arrays: tuple[list[Any], ...]


def _given(columns: Sequence[KeyedColumnElement[Any]], rows: Iterable[tuple[Any, ...]]) -> _Given:
    """The table `given` of rows, for a statement that is made as text: SQLAlchemy's own sends each value as text, which
    takes the driver three times as long."""
    kinds = [sent_in_array(column.type) for column in columns]
    unnested = ", ".join(f"%b::{kind.kind}[]" for kind in kinds)
    arrays = tuple(list(values) for values in made(kinds, rows))
    return _Given(f"unnest({unnested}) AS given ({', '.join(column.key for column in columns)})", arrays)


def _named(table: type[Table], by: Sequence[str]) -> str:
    """The condition that a row of the table is one of `given`."""
    return " AND ".join(f"{table.__tablename__}.{name} = given.{name}" for name in by)


@dataclass
class Batch:
    """What the ledgers of any number of accounts wrote, collected so that few statements write it."""

    connection: Connection
    added: dict[type[Table], list[Mapping[str, Any]]] = field(default_factory=dict)
    changed: dict[tuple[type[Table], tuple[str, ...]], list[Mapping[str, Any]]] = field(default_factory=dict)
    added_up: dict[type[Table], list[Mapping[str, Any]]] = field(default_factory=dict)

    def add(self, table: type[Table], rows: Iterable[Mapping[str, Any]]) -> None:
        self.added.setdefault(table, []).extend(rows)

    def change(self, table: type[Table], by: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> None:
        self.changed.setdefault((table, by), []).extend(rows)

    def add_up(self, table: type[Table], rows: Iterable[Mapping[str, Any]]) -> None:
        self.added_up.setdefault(table, []).extend(rows)

    def write(self) -> None:
        """Write what was collected: rows in the order in which their tables were first named, then changes and sums."""
        for table, rows in self.added.items():
            add(self.connection, table, rows)
        for (table, by), rows in self.changed.items():
            change(self.connection, table, by, rows)
        for table, rows in self.added_up.items():
            add_up(self.connection, table, rows)
        self.added, self.changed, self.added_up = {}, {}, {}


def enable_copy(engine: Engine) -> None:
    """Let `add` reach the driver's COPY, seen by SQLAlchemy's events and errors like any other statement."""
    from psycopg.types.string import BytesBinaryDumper  # the package is optional, and here it is in use

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        # The newest dumper of a type is the one that COPY takes: else one in Python, made for the DBAPI's Binary.
        connection.adapters.register_dumper(bytes, BytesBinaryDumper)

    @event.listens_for(engine, "do_execute")
    def _on_execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        if _TOLD in context.execution_options:
            context.execution_options[_TOLD].append((statement, parameters))
            return True
        if _COPY not in context.execution_options:
            return False
        kinds, rows = context.execution_options[_COPY]
        with cursor.copy(statement) as copy:
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(row)
        return True


def statement_of(connection: Connection, query: Select[*tuple[Any, ...]]) -> tuple[str, Any]:
    """A query and its parameters as PostgreSQL's driver is told them; it is not run."""
    told: list[tuple[str, Any]] = []
    connection.execute(query, execution_options={_TOLD: told})
    return told[0]


def _insert(table: str, names: Sequence[str]) -> str:
    """SQLite's statement for one row."""
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608  our own
