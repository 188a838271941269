"""The database as the command line and pages show it: which it is, its schema, its size and its month partitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from costmeter.core.periods import format_instant, month_of
from costmeter.store import detached, partitions, schema, sizes
from costmeter.store.engine import journal_mode
from costmeter.store.partitions import Partition
from costmeter.store.tables import PARTITIONED


def database_report(connection: Connection, now: datetime) -> dict[str, Any]:
    """What the database is, without its tables one by one, which on SQLite are counted.

    `schema` is its revision and `newest` the one that this version needs; `journal` is SQLite's. `months_ahead` is how
    many months after this one are made, null where nothing is partitioned.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    listed = partitions.listed(connection)
    attached = [part for part in listed if part.is_attached]
    return {
        "schema": schema.revision_of(connection),
        "newest": schema.NEWEST,
        "engine": connection.dialect.name,
        "version": sizes.version(connection),
        "journal": journal_mode() if is_sqlite else None,
        "bytes": sizes.database_bytes(connection),
        "citus": sizes.citus_version(connection),
        "rows_in_default": sum(part.rows for part in attached if part.month is None),
        "months_ahead": _ahead(attached, month_of(now, "UTC")),
        "months_detached": detached.detached_months(connection),
        "partitions": [_partition(part) for part in listed],
    }


def _ahead(attached: Sequence[Partition], this: str) -> int | None:
    """How many months after this one all three tables have in a row; None where nothing is partitioned."""
    if not attached:
        return None
    months = {(part.table, part.month) for part in attached}
    ahead, month = 0, partitions.following(this)
    while all((table, month) in months for table in PARTITIONED):
        ahead, month = ahead + 1, partitions.following(month)
    return ahead


def _partition(part: Partition) -> dict[str, Any]:
    start, end = part.period
    ranges = {"from": format_instant(start) if start else None, "to": format_instant(end) if end else None}
    return {**part._asdict(), **ranges}
