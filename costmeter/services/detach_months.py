"""Detach months: old calls leave the large tables, while everything that the books need of them stays.

Identities, journal, credits, what moved out of them and accounts are not touched. For each account of a month one row
is kept: when its calls completed, what they took, and the checkpoint that covers them.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

from sqlalchemy import Connection, Engine, text

from costmeter.core.errors import InputError, SetupError
from costmeter.core.periods import check_month, month_of
from costmeter.store import detached, partitions
from costmeter.store.engine import reading
from costmeter.store.tables import PARTITIONED

MOST_NAMES = 20  # of accounts, in one line of an error


def detach_months(engine: Engine, *, before: str, now: datetime, dry_run: bool = False) -> list[str]:
    """The months before `before` that were (or, in a dry run, would be) detached, each in a transaction of its own.

    A month is detached only where verify has seen all of it: nothing waits or is open in quarantine there, and each
    account with calls in it was found whole beyond them, with no credit, void or fold since. Otherwise SetupError names
    the accounts and what to do, and nothing of that month is changed. This month and later ones are an InputError.
    """
    check_month(before, "before")
    if before > month_of(now, "UTC"):
        raise InputError("before", before, f"the month of now, {month_of(now, 'UTC')}, and later ones stay attached")
    refuse_sqlite(engine)
    with reading(engine) as connection:
        found = sorted({p.month for p in partitions.listed(connection) if p.month and p.is_attached})
    months = [month for month in found if month < before]
    for month in months:
        if dry_run:
            with reading(engine) as connection:
                _refuse_unverified(connection, month)
        else:
            partitions.in_short_lock(engine, partial(_detach, month, now))
    return months


def attach_month(engine: Engine, month: str) -> None:
    """Attach a detached month again, with its three tables; late calls of it that came meanwhile join it.

    SetupError where it is not detached or a table of it is not there: restore it from where it was dumped to.
    """
    check_month(month)
    refuse_sqlite(engine)
    partitions.in_short_lock(engine, partial(_attach, month))


def refuse_sqlite(engine: Engine) -> None:
    """Raises SetupError on SQLite, which has no partitions."""
    if engine.dialect.name != "postgresql":
        raise SetupError("partitions are PostgreSQL's; an SQLite file keeps each table in one piece")


def _detach(month: str, now: datetime, connection: Connection) -> None:
    detached.alone(connection)  # a credit that is on its way was judged by the month's calls
    for table in PARTITIONED:  # a month may have been made of one table when the other two were in use
        partitions.make(connection, table, month)
    for table in PARTITIONED:  # nobody writes to the month from here on; readers go on until the last moment
        connection.execute(text(f"LOCK TABLE {partitions.partition_name(table, month)} IN SHARE MODE"))
    _refuse_unverified(connection, month)
    detached.keep(connection, month, now)
    for table in PARTITIONED:
        partitions.detach(connection, table, month)


def _attach(month: str, connection: Connection) -> None:
    missing = partitions.missing_tables(connection, month)
    if missing:
        raise SetupError(f"{', '.join(missing)} of {month} is not there; restore it from its dump, then attach it")
    if any(p.is_attached for p in partitions.listed(connection) if p.month == month):
        raise SetupError(f"{month} is attached already")
    for table in PARTITIONED:
        partitions.attach(connection, table, month)
    detached.forget(connection, month)


def _refuse_unverified(connection: Connection, month: str) -> None:
    for reason, names in detached.unready(connection, month).items():
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            shown = f"{', '.join(names[:MOST_NAMES])}{more}"
            raise SetupError(f"{month} is not detached, as {reason}: {shown}")
