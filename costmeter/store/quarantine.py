"""What could not be used, and why; nothing that came in is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, insert, select

from costmeter.core.errors import NotFoundError
from costmeter.store.known import by_then
from costmeter.store.tables import QuarantineRow

OPEN = "open"
MALFORMED, REFUSED, CONFLICT = "malformed", "refused", "conflict"


class Item(NamedTuple):
    """One thing in quarantine; `body` has known fields only, or hash, size and place of a broken line."""

    account: str
    item: bytes
    kind: str
    field: str | None
    error: str
    event_id: str | None
    completed_at: datetime | None
    billing_month: str
    received_at: datetime
    body: dict[str, Any]
    dropped_fields: int
    place: str
    state: str = OPEN


_COLUMNS = tuple(getattr(QuarantineRow, name) for name in Item._fields)


def add(connection: Connection, items: Sequence[Item]) -> None:
    """Keep the items; one that is there already stays as it was."""
    new = {(item.account, item.item): item for item in items}
    for account in {item.account for item in items}:
        wanted = [key for owner, key in new if owner == account]
        where = (QuarantineRow.account == account, QuarantineRow.item.in_(wanted))
        for key in connection.scalars(select(QuarantineRow.item).where(*where)):
            del new[account, key]
    if new:
        connection.execute(insert(QuarantineRow), [new[key]._asdict() for key in sorted(new)])


def listed(connection: Connection, *where: ColumnElement[bool], limit: int | None = None) -> list[Item]:
    """Items, newest first."""
    order = (QuarantineRow.received_at.desc(), QuarantineRow.item)
    query = select(*_COLUMNS).where(*where).order_by(*order).limit(limit)
    return [Item(*row) for row in connection.execute(query)]


def get(connection: Connection, key: bytes) -> Item:
    row = connection.execute(select(*_COLUMNS).where(QuarantineRow.item == key)).first()
    if row is None:
        raise NotFoundError(f"no item {key.hex()} in quarantine; see: costmeter quarantine list")
    return Item(*row)


def count(connection: Connection, known_at: datetime | None, *where: ColumnElement[bool]) -> int:
    """How many items wait for somebody, or did so at an instant; a conflict does not, since its first is booked."""
    waits = (QuarantineRow.state == OPEN, QuarantineRow.kind != CONFLICT, *by_then(QuarantineRow.received_at, known_at))
    query = select(func.count()).select_from(QuarantineRow).where(*waits, *where)
    return connection.scalar(query) or 0
