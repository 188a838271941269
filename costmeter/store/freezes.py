"""Freezes and releases of accounts: facts, with who, when and why; the account's row says which is in force."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from costmeter.store import checkpoints
from costmeter.store.checkpoints import START, Checkpoint
from costmeter.store.tables import AccountRow, FreezeRow

FROZEN, RELEASED = "frozen", "released"


class Freeze(NamedTuple):
    """One freeze or release of an account."""

    number: int
    kind: str
    decided_at: datetime
    decided_by: str
    reason: str


def add(connection: Connection, account: str, freeze: Freeze, state: Checkpoint | None = None) -> None:
    """Keep a freeze or a release (with the state that its ledger goes on from), and put it in force."""
    row = {**freeze._asdict(), "account": account, "state": state.as_dict() if state else None}
    connection.execute(insert(FreezeRow), row)
    frozen_at = freeze.decided_at if freeze.kind == FROZEN else None
    connection.execute(update(AccountRow).where(AccountRow.account == account).values(frozen_at=frozen_at))


def next_number(connection: Connection, account: str) -> int:
    newest = connection.scalar(select(func.max(FreezeRow.number)).where(FreezeRow.account == account))
    return (newest or 0) + 1


def of_account(connection: Connection, account: str) -> list[Freeze]:
    """An account's freezes and releases, in order."""
    columns = (getattr(FreezeRow, name) for name in Freeze._fields)
    query = select(*columns).where(FreezeRow.account == account).order_by(FreezeRow.number)
    return [Freeze(*row) for row in connection.execute(query)]


def released_state(connection: Connection, account: str) -> Checkpoint:
    """Where an account's ledger begins for good: at its newest release, else at its start."""
    query = select(FreezeRow.state).where(FreezeRow.account == account, FreezeRow.kind == RELEASED)
    state = connection.scalar(query.order_by(FreezeRow.number.desc()).limit(1))
    return START if state is None else checkpoints.from_dict(state)
