"""Many rows as CSV that the database itself writes, since making each cell in Python takes several times as long.

A money column is an exact decimal string as `format_amount` makes it, an instant RFC 3339 as `format_instant` does, an
empty cell is NULL: the same bytes on both databases, which a test holds equal to those of Python.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Text, func, literal_column
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from costmeter.core.money import UNITS
from costmeter.store.bulk import statement_of
from costmeter.store.engine import CACHE_KILOBYTES
from costmeter.store.types import ExactMoney, UtcInstant

ROWS = 200  # of a block: few enough for the cache of a core
SORT_KILOBYTES = 16_384
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a text cell that begins so
_CENT = UNITS // 100


class Block(NamedTuple):
    """Lines of CSV (RFC 4180, UTF-8, CR LF, no header), and how many rows they are."""

    text: bytes
    rows: int


def csv_blocks(connection: Connection, query: Select[*tuple[Any, ...]]) -> Generator[Block, None, None]:
    """The rows of a query in its order, some hundred in a block; its columns are texts, integers, money and instants.

    It is to be closed before the connection is. Raises DBAPIError where the database breaks off.
    """
    texts = as_texts(query)
    if connection.dialect.name == "postgresql":
        return _copied(connection, texts)
    return _selected(connection, texts)


def as_texts(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """The query with each column as the text of its cell."""
    return query.with_only_columns(*map(_text, query.selected_columns), maintain_column_froms=True)


def lines(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows of cells as lines of CSV."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def cells(text: bytes) -> Iterator[list[str]]:
    """The rows of cells that lines of CSV hold."""
    return csv.reader(io.StringIO(text.decode(), newline=""))


def guarded(text: str) -> str:
    """A text as a cell for spreadsheets: with an apostrophe before it where one would run it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _copied(connection: Connection, query: Select[*tuple[Any, ...]]) -> Generator[Block, None, None]:
    statement, parameters = statement_of(connection, query)
    driver = connection.dialect.loaded_dbapi
    cursor = connection.connection.cursor()
    try:
        with cursor, cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT csv)", parameters) as copy:  # type: ignore[attr-defined]  # psycopg's
            rows = iter(copy)
            while part := list(islice(rows, ROWS)):  # one row each
                text = b"".join(part)
                if text.count(b"\n") == len(part):
                    yield Block(text.replace(b"\n", b"\r\n"), len(part))
                else:  # a text has line breaks of its own
                    yield Block(b"".join(bytes(row)[:-1] + b"\r\n" for row in part), len(part))
    except driver.Error as error:
        raise DBAPIError.instance(statement, None, error, driver.Error, dialect=connection.dialect) from error


def _selected(connection: Connection, query: Select[*tuple[Any, ...]]) -> Generator[Block, None, None]:
    """Each row as one text, its cells parted by NUL, which no text of ours has: 26 values a row take twice as long."""
    nul: ColumnElement[str] = func.char(literal_column("0"), type_=Text)
    row = reduce(lambda left, right: left.op("||")(nul).op("||")(right), query.selected_columns)
    _hold(connection, SORT_KILOBYTES)
    try:
        yield from _joined(connection, query.with_only_columns(row, maintain_column_froms=True))
    finally:
        _hold(connection, CACHE_KILOBYTES)


def _hold(connection: Connection, kilobytes: int) -> None:
    """What SQLite's cache may hold, and so what a sort does before it goes to the disk."""
    connection.exec_driver_sql(f"PRAGMA cache_size = -{kilobytes}")


def _joined(connection: Connection, query: Select[Any]) -> Iterator[Block]:
    result = connection.execute(query, execution_options={"yield_per": ROWS})
    for part in result.partitions(ROWS):
        found = list(map(itemgetter(0), part))
        text = "\r\n".join(found)
        if text.count("\n") == text.count("\r") == len(found) - 1 and "," not in text and '"' not in text:
            yield Block(text.replace("\0", ",").encode() + b"\r\n", len(found))
        else:
            yield Block(lines(row.split("\0") for row in found), len(found))


def _text(column: Any) -> ColumnElement[str]:
    """The cell that a column's value is written as."""
    if isinstance(column.type, ExactMoney):
        return _Amount(column).label(f"{column.key}_text")
    if isinstance(column.type, UtcInstant):
        return _Instant(column).label(f"{column.key}_text")
    return _Plain(column).label(f"{column.key}_text")


class _Amount(FunctionElement[str]):
    """`format_amount` of money."""

    inherit_cache = True
    type = Text()


class _Instant(FunctionElement[str]):
    """`format_instant` of an instant."""

    inherit_cache = True
    type = Text()


class _Plain(FunctionElement[str]):
    """A text or a whole number as it is, NULL as an empty text."""

    inherit_cache = True
    type = Text()


@compiles(_Amount)
def _compile_amount(element: _Amount, compiler: SQLCompiler, **options: Any) -> str:
    amount = compiler.process(element.clauses, **options)
    if compiler.dialect.name == "postgresql":
        # A numeric of twelve decimals: its last ten go where they are zeros, and else the zeros at its end.
        decimal = f"({amount} * 0.000000000001)"
        short = f"round({decimal}, 2)::text"
        return (
            f"CASE {amount} WHEN 0 THEN '0.00' ELSE CASE mod({amount}, {_CENT}) WHEN 0 THEN {short} "
            f"ELSE rtrim({decimal}::text, '0') END END"
        )
    return (
        f"CASE WHEN {amount} > 0 THEN {_decimals(amount)} WHEN {amount} = 0 THEN '0.00' "
        f"WHEN {amount} < 0 THEN '-' || {_decimals(f'-{amount}')} ELSE '' END"
    )


def _decimals(amount: str) -> str:
    """SQLite's text of an amount above 0."""
    return (
        f"CASE ({amount}) % {_CENT} WHEN 0 THEN printf('%d.%02d', ({amount}) / {UNITS}, ({amount}) % {UNITS} / {_CENT})"
        f" ELSE rtrim(printf('%d.%012d', ({amount}) / {UNITS}, ({amount}) % {UNITS}), '0') END"
    )


@compiles(_Instant)
def _compile_instant(element: _Instant, compiler: SQLCompiler, **options: Any) -> str:
    at = compiler.process(element.clauses, **options)
    if compiler.dialect.name == "postgresql":
        shown = f"""to_char({at} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        return f"replace({shown}, '.000000Z', 'Z')"
    micros = f"(({at} % 1000000 + 1000000) % 1000000)"
    seconds = f"strftime('%Y-%m-%dT%H:%M:%S', ({at} - {micros}) / 1000000, 'unixepoch')"
    return f"coalesce({seconds} || CASE {micros} WHEN 0 THEN 'Z' ELSE printf('.%06dZ', {micros}) END, '')"


@compiles(_Plain)
def _compile_plain(element: _Plain, compiler: SQLCompiler, **options: Any) -> str:
    value = compiler.process(element.clauses, **options)
    # PostgreSQL's COPY writes an empty text in quotes, and NULL as nothing.
    return f"nullif({value}::text, '')" if compiler.dialect.name == "postgresql" else f"coalesce({value}, '')"
