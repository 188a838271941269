"""Closings: the months of an account's books that never change again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from costmeter.store.tables import ClosingRow, PeriodRow

CLOSED = "closed"


class Closing(NamedTuple):
    """One closed month, with its statement and the manifest that seals it, both as the texts that were written."""

    month: str
    seq: int
    last_seq: int
    closed_at: datetime
    by_whom: str
    reason: str | None
    blockers: list[Any]
    statement: str
    manifest: str
    sha256: str
    previous: str | None


_COLUMNS = tuple(getattr(ClosingRow, name) for name in Closing._fields)


def add(connection: Connection, account: str, closing: Closing) -> None:
    """Keep a closing, and set the month's state."""
    connection.execute(insert(ClosingRow), {"account": account, **closing._asdict()})
    state = {"state": CLOSED, "last_seq": closing.last_seq, "changed_at": closing.closed_at}
    connection.execute(insert(PeriodRow), {"account": account, "month": closing.month, **state})


def of_account(connection: Connection, account: str) -> list[Closing]:
    """An account's closings, by month, which is the order in which they were made."""
    query = select(*_COLUMNS).where(ClosingRow.account == account).order_by(ClosingRow.month)
    return [Closing(*row) for row in connection.execute(query)]


def between(connection: Connection, account: str, first: str, last: str) -> dict[str, Closing]:
    """The closings of the months from one to another, that one too."""
    query = select(*_COLUMNS).where(ClosingRow.account == account, ClosingRow.month.between(first, last))
    return {row.month: Closing(*row) for row in connection.execute(query)}


def get(connection: Connection, account: str, month: str) -> Closing | None:
    """The closing of a month; None while it is open."""
    query = select(*_COLUMNS).where(ClosingRow.account == account, ClosingRow.month == month)
    row = connection.execute(query).one_or_none()
    return Closing(*row) if row else None


def newest(connection: Connection, account: str) -> Closing | None:
    """The closing of the last month that is closed."""
    query = select(*_COLUMNS).where(ClosingRow.account == account).order_by(ClosingRow.month.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Closing(*row) if row else None
