"""Make partitions: months of the three large tables, ahead of the calls that will fill them."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from sqlalchemy import Connection, Engine

from costmeter.core.errors import InputError
from costmeter.core.periods import month_of
from costmeter.store import detached, partitions
from costmeter.store.engine import reading
from costmeter.store.tables import PARTITIONED

AHEAD = 3
MOST_MONTHS = 240


def make_partitions(engine: Engine, *, now: datetime, ahead: int = AHEAD, since: str | None = None) -> list[str]:
    """The names of the partitions that were made: of the months from `since` (by default this one) to `ahead` more.

    What is there already is left alone, so that it may run as often as one likes, and by several at once. Rows of a
    month that stand in the default partition move into it in the same transaction. Detached months are left out. On
    SQLite there is nothing to make.
    """
    this = month_of(now, "UTC")
    if not 0 <= ahead <= MOST_MONTHS:
        raise InputError("ahead", ahead, f"give a number of months from 0 to {MOST_MONTHS}")
    if since is not None and since > this:
        raise InputError("since", since, f"is later than this month, {this}")
    if engine.dialect.name != "postgresql":
        return []
    with reading(engine) as connection:
        away = {*detached.detached_months(connection)}
        there = {one.name for one in partitions.listed(connection)}
    wanted = [(table, month) for month in _months(since or this, this, ahead) for table in PARTITIONED]
    made = []
    for table, month in wanted:
        name = partitions.partition_name(table, month)
        if name not in there and month not in away and partitions.in_short_lock(engine, partial(_make, table, month)):
            made.append(name)
    return made


def _make(table: str, month: str, connection: Connection) -> bool:
    return partitions.make(connection, table, month)


def _months(first: str, this: str, ahead: int) -> list[str]:
    """The months from one to this one, and some more."""
    months = [first]
    while months[-1] < this and len(months) <= MOST_MONTHS:
        months.append(partitions.following(months[-1]))
    if months[-1] < this:
        raise InputError("since", first, f"at most {MOST_MONTHS} months are made at once")
    for _ in range(ahead):
        months.append(partitions.following(months[-1]))
    return months
