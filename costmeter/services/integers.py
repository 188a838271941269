"""Promise 2: SQLite keeps any type in any column, yet every amount, count and instant must be an integer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, Table, bindparam, case, func, literal_column, select

from costmeter.store import tables
from costmeter.store.checkpoints import START, Checkpoint
from costmeter.store.types import ExactMoney, UtcInstant

_UNORDERED = {"identity", "quarantine"}  # nothing tells which of their rows are new: a full run looks at all of them
_SMALL = {"pending", "checkpoint"}


class _Look(NamedTuple):
    """How many values of each column of a table are no integers, among an account's rows after a checkpoint."""

    table: str
    columns: list[str]
    query: Select[Any]


def not_integers(connection: Connection, account: str, since: Checkpoint) -> Iterator[str]:
    """What is no integer of the rows that came after a checkpoint; PostgreSQL's columns see to it by themselves."""
    if connection.dialect.name != "sqlite":
        return
    values = {"of_account": account, "after_seq": since.seq, "after_key": since.event_key}
    for look in _looks():
        if look.table not in _UNORDERED or since == START:
            for name, count in zip(look.columns, connection.execute(look.query, values).one(), strict=True):
                if count:
                    yield f"{count} values of {look.table}.{name} are no integers; the ledger was not replayed"


@cache
def _looks() -> list[_Look]:
    return [_look(table) for table in tables.Table.metadata.sorted_tables if "account" in table.columns]


def _look(table: Table) -> _Look:
    names = [column.name for column in table.columns if isinstance(column.type, ExactMoney | UtcInstant | Integer)]
    others = [
        func.sum(case((func.typeof(literal_column(name)).not_in(("integer", "null")), 1), else_=0)) for name in names
    ]
    query = select(*others).select_from(table).where(table.c.account == bindparam("of_account"))
    if table.name not in _SMALL and "seq" in table.columns:
        query = query.where(table.c.seq > bindparam("after_seq"))
    elif table.name not in _SMALL | _UNORDERED and "event_key" in table.columns:
        query = query.where(table.c.event_key > bindparam("after_key"))
    return _Look(table.name, names, query)
