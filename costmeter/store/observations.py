"""Balances as DeepSeek said them, each beside what the ledger expected then, and what was decided of a difference."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from costmeter.core.errors import NotFoundError
from costmeter.core.observed_balance import Pots
from costmeter.store.tables import ObservationRow

AGREED, OPEN, EXPLAINED = "agreed", "open", "explained"
STATES = (AGREED, OPEN, EXPLAINED)


class Observation(NamedTuple):
    """One observation, numbered by account. Amounts are in units of 10^-12; `findings` explain a difference.

    `version_before` and `version` are the account's around the question: facts were posted meanwhile where they differ.
    """

    account: str
    number: int
    observed_at: datetime
    currency: str
    granted: int
    topped_up: int
    total: int
    body: dict[str, Any]
    expected_at: datetime
    expected_granted: int
    expected_topped_up: int
    version_before: int
    version: int
    unposted: int
    findings: dict[str, Any]
    status: str
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None

    @property
    def observed(self) -> Pots:
        return Pots(self.granted, self.topped_up)

    @property
    def difference(self) -> Pots:
        """Observed less expected."""
        return self.observed.less(Pots(self.expected_granted, self.expected_topped_up))


_COLUMNS = tuple(getattr(ObservationRow, name) for name in Observation._fields)


def add(connection: Connection, observation: Observation) -> None:
    connection.execute(insert(ObservationRow), observation._asdict())


def next_number(connection: Connection, account: str) -> int:
    """The number of an account's next observation; the account must be locked."""
    query = select(func.max(ObservationRow.number)).where(ObservationRow.account == account)
    return (connection.scalar(query) or 0) + 1


def listed(
    connection: Connection,
    account: str | None = None,
    *,
    status: str | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> list[Observation]:
    """Observations, the newest first; `before` a number, only those of an account that came earlier."""
    asked = ((ObservationRow.account, account), (ObservationRow.status, status))
    where = [column == value for column, value in asked if value is not None]
    if before is not None:
        where.append(ObservationRow.number < before)
    order = (ObservationRow.observed_at.desc(), ObservationRow.account, ObservationRow.number.desc())
    return _found(connection.execute(select(*_COLUMNS).where(*where).order_by(*order).limit(limit)))


def get(connection: Connection, account: str, number: int) -> Observation:
    """One observation; raises NotFoundError."""
    query = select(*_COLUMNS).where(ObservationRow.account == account, ObservationRow.number == number)
    found = _found(connection.execute(query))
    if not found:
        raise NotFoundError(f"no observation {number} of account {account!r}; see: costmeter reconcile list")
    return found[0]


def last_settled(connection: Connection, account: str) -> Observation | None:
    """The newest observation that agreed, or whose difference somebody explained."""
    query = select(*_COLUMNS).where(ObservationRow.account == account, ObservationRow.status != OPEN)
    found = _found(connection.execute(query.order_by(ObservationRow.number.desc()).limit(1)))
    return found[0] if found else None


def open_accounts(connection: Connection) -> list[str]:
    """The accounts with any observation whose difference nobody has explained."""
    query = select(ObservationRow.account).where(ObservationRow.status == OPEN).distinct()
    return list(connection.scalars(query.order_by(ObservationRow.account)))


def open_since(connection: Connection, account: str, number: int, limit: int) -> list[Observation]:
    """The newest open observations after a number, the oldest of them first."""
    row = ObservationRow
    query = select(*_COLUMNS).where(row.account == account, row.status == OPEN, row.number > number)
    return _found(connection.execute(query.order_by(row.number.desc()).limit(limit)))[::-1]


def open_differences(connection: Connection, account: str, before: datetime) -> list[Observation]:
    """The observations up to an instant whose difference is open, the oldest first.

    A balance tells of all that came before it: one that agreed later, or was explained, settles those before it too.
    """
    row = ObservationRow
    settled = select(func.max(row.number)).where(row.account == account, row.status != OPEN).scalar_subquery()
    query = select(*_COLUMNS).where(
        row.account == account,
        row.status == OPEN,
        row.observed_at <= before,
        row.number > func.coalesce(settled, 0),
    )
    return _found(connection.execute(query.order_by(row.number)))


def decide(connection: Connection, observation: Observation, *, at: datetime, by: str, reason: str) -> bool:
    """Take an open difference for explained; False where somebody else has decided meanwhile."""
    row = ObservationRow
    mine = (row.account == observation.account, row.number == observation.number, row.status == OPEN)
    decision = {"status": EXPLAINED, "decided_at": at, "decided_by": by, "reason": reason}
    return connection.execute(update(row).where(*mine).values(decision)).rowcount == 1


def _found(rows: Any) -> list[Observation]:
    found: Sequence[Any] = rows.all()
    return [Observation(*row) for row in found]
