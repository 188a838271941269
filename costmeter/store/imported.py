"""Usage and costs that were imported from the console: history from before costmeter, and no single calls."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, select, union

from costmeter.core.console_export import CostRow, Interval, UsageRow
from costmeter.core.events import UNMETERED
from costmeter.core.periods import month_period
from costmeter.store import bulk
from costmeter.store.accounts import Account
from costmeter.store.events import CHUNK
from costmeter.store.rows import first_of, is_any
from costmeter.store.tables import (
    ChargeRow,
    EventRow,
    ImportedCostRow,
    ImportedUsageRow,
    ImportRow,
    ImportVoidRow,
    PendingRow,
)
from costmeter.store.types import join_halves, sum_halves

Imported = type[ImportedUsageRow] | type[ImportedCostRow]


class ImportVoid(NamedTuple):
    """That an import was taken back: when, by whom and why."""

    voided_at: datetime
    by_whom: str
    reason: str


class ImportedFile(NamedTuple):
    """A file that rows were taken from, who took them and when, and whether that was taken back."""

    import_id: bytes
    name: str
    sha256: str
    imported_at: datetime
    imported_by: str
    void: ImportVoid | None = None


class ImportedUsage(NamedTuple):
    """How much of a meter a model used at a price of one token, in units of 10^-12; requests have no price."""

    model: str
    meter: str
    price: int | None
    amount: int


class ImportedCost(NamedTuple):
    """What a model cost from a wallet (granted or topped_up), in units of 10^-12."""

    model: str
    wallet: str
    currency: str
    cost: int


def add_file(connection: Connection, account: str, file: ImportedFile) -> None:
    row = file._asdict()
    del row["void"]
    connection.execute(insert(ImportRow), {"account": account, **row})


def add_void(connection: Connection, account: str, import_id: bytes, void: ImportVoid) -> None:
    connection.execute(insert(ImportVoidRow), {"account": account, "import_id": import_id, **void._asdict()})


def files(connection: Connection, account: str) -> list[ImportedFile]:
    """The files that rows of an account were taken from, in that order, voided ones included."""
    columns = [getattr(ImportRow, name) for name in ImportedFile._fields[:5]]
    voids = [getattr(ImportVoidRow, name) for name in ImportVoid._fields]
    query = select(*columns, *voids).outerjoin(ImportVoidRow, _of_one_import(ImportRow, ImportVoidRow))
    query = query.where(ImportRow.account == account).order_by(ImportRow.import_id)
    found = []
    for row in connection.execute(query):
        void = None if row.voided_at is None else ImportVoid(*row[5:])
        found.append(ImportedFile(*row[:5])._replace(void=void))
    return found


def add_usage(connection: Connection, account: str, import_id: bytes, rows: Iterable[UsageRow]) -> None:
    found = [
        {
            **_of_row(account, import_id, row),
            "api_key": row.api_key,
            "key_fingerprint": row.key,
            "meter": row.meter,
            "price": row.price,
            "amount": row.amount,
        }
        for row in rows
    ]
    bulk.add(connection, ImportedUsageRow, found)


def add_costs(connection: Connection, account: str, import_id: bytes, rows: Iterable[CostRow]) -> None:
    found = [
        {**_of_row(account, import_id, row), "wallet": row.wallet, "currency": row.currency, "cost": row.cost}
        for row in rows
    ]
    bulk.add(connection, ImportedCostRow, found)


def _of_row(account: str, import_id: bytes, row: UsageRow | CostRow) -> dict[str, Any]:
    start, end = row.interval
    shared = {"account": account, "slot": row.slot, "import_id": import_id, "model": row.model}
    return {**shared, "starts_at": start, "ends_at": end}


def amounts(connection: Connection, account: str, slots: Collection[bytes], table: Imported) -> dict[bytes, int]:
    """The amount or cost that is kept for each of these slots, where there is one."""
    column = ImportedUsageRow.amount if table is ImportedUsageRow else ImportedCostRow.cost
    found: dict[bytes, int] = {}
    ordered = sorted(slots)
    for start in range(0, len(ordered), CHUNK):
        asked = ordered[start : start + CHUNK]
        query = select(table.slot, column).where(table.account == account, table.slot.in_(asked), _counts(table))
        found |= {row[0]: row[1] for row in connection.execute(query)}
    return found


def intervals(connection: Connection, account: str) -> list[Interval]:
    """The intervals of all that was imported; no two share an instant."""
    both = [
        select(table.starts_at.label("start"), table.ends_at.label("end")).where(
            table.account == account, _counts(table)
        )
        for table in (ImportedUsageRow, ImportedCostRow)
    ]
    query = union(*both).subquery()
    found = connection.execute(select(query.c.start, query.c.end).order_by(query.c.start))
    return [Interval(*row) for row in found]


def with_calls(connection: Connection, account: str, asked: Iterable[Interval]) -> list[Interval]:
    """Those of the intervals in which calls were recorded that have used something, measured or not."""
    unmeasured = (EventRow.cache_hit_tokens.is_(None), EventRow.status == UNMETERED)
    found = []
    for interval in asked:
        calls = [
            first_of(
                table.completed_at,
                table.account == account,
                table.completed_at >= interval.start,
                table.completed_at < interval.end,
                *more,
            )
            for table, more in ((ChargeRow, ()), (PendingRow, ()), (EventRow, unmeasured))
        ]
        if is_any(connection, *calls):
            found.append(interval)
    return found


def usage_of_month(connection: Connection, account: Account, month: str) -> list[ImportedUsage]:
    """The imported usage of a billing month by model, meter and price.

    An interval belongs to the month, in the account's zone, that it starts in.
    """
    return usage_between(connection, account.account, _month(account, month))


def costs_of_month(connection: Connection, account: Account, month: str) -> list[ImportedCost]:
    """The imported costs of a billing month by model and wallet; an interval belongs to the month it starts in."""
    return costs_between(connection, account.account, _month(account, month))


def usage_between(connection: Connection, account: str, asked: Interval) -> list[ImportedUsage]:
    """The imported usage of the intervals that begin in this one."""
    row = ImportedUsageRow
    group = (row.model, row.meter, row.price)
    query = select(*group, func.sum(row.amount)).where(*_begins_in(row, account, asked)).group_by(*group)
    found = [ImportedUsage(*used[:3], int(used[3])) for used in connection.execute(query)]
    return sorted(found, key=lambda used: (used.model, used.meter, used.price or 0))


def costs_between(connection: Connection, account: str, asked: Interval) -> list[ImportedCost]:
    """The imported costs of the intervals that begin in this one."""
    row = ImportedCostRow
    group = (row.model, row.wallet, row.currency)
    query = select(*group, *sum_halves(row.cost)).where(*_begins_in(row, account, asked)).group_by(*group)
    return sorted(ImportedCost(*cost[:3], join_halves(*cost[3:])) for cost in connection.execute(query))


def _begins_in(table: Any, account: str, asked: Interval) -> Sequence[Any]:
    return table.account == account, table.starts_at >= asked.start, table.starts_at < asked.end, _counts(table)


def _counts(table: Any) -> ColumnElement[bool]:
    """The condition that a row's import was not taken back."""
    return ~exists().where(_of_one_import(table, ImportVoidRow))


def _of_one_import(left: Any, right: Any) -> ColumnElement[bool]:
    return and_(left.account == right.account, left.import_id == right.import_id)


def _month(account: Account, month: str) -> Interval:
    start, end = month_period(month, account.timezone)
    assert start is not None
    assert end is not None
    return Interval(start, end)
