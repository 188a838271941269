"""Corrections: what a balance was put right by, by whom and why."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, insert, select

from costmeter.store.tables import CorrectionRow


class Correction(NamedTuple):
    """One correction; `amount` is negative where the balance was too high, and `kind` is topped_up then."""

    seq: int
    kind: str
    amount: int
    effective_at: datetime
    reason: str
    by_whom: str
    booked_at: datetime


_COLUMNS = tuple(getattr(CorrectionRow, name) for name in Correction._fields)


def add(connection: Connection, account: str, correction: Correction) -> None:
    connection.execute(insert(CorrectionRow), {"account": account, **correction._asdict()})


def of_account(connection: Connection, account: str, *where: ColumnElement[bool]) -> list[Correction]:
    """An account's corrections in the order in which they were booked."""
    query = select(*_COLUMNS).where(CorrectionRow.account == account, *where).order_by(CorrectionRow.seq)
    return [Correction(*row) for row in connection.execute(query)]


def owed(connection: Connection, account: str, *where: ColumnElement[bool]) -> int:
    """What corrections downwards made the account owe, all in all; repayments are not taken off."""
    return -sum(one.amount for one in of_account(connection, account, CorrectionRow.amount < 0, *where))
