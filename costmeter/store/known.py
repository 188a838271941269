"""Looking back: what was known at an instant, by when each fact was booked or received."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select
from sqlalchemy.orm import aliased

from costmeter.store.events import of_one_event
from costmeter.store.tables import ChargeRow, EventRow, PendingRow


def by_then(column: Any, known_at: datetime | None) -> list[ColumnElement[bool]]:
    """The condition that a fact had come by an instant, by the column that says when; without an instant, none."""
    return [] if known_at is None else [column <= known_at]


def is_superseded(known_at: datetime | None = None) -> ColumnElement[bool]:
    """The condition that a later event had replaced this one."""
    later = aliased(EventRow)
    replaced = and_(
        later.account == EventRow.account,
        later.supersedes == EventRow.event_key,
        later.supersedes_at == EventRow.completed_at,
        *by_then(later.received_at, known_at),
    )
    return select(later).where(replaced).exists()


def count_unposted(connection: Connection, known_at: datetime | None, *where: ColumnElement[bool]) -> int:
    """Measured calls without a charge: those that wait now, or that had come by an instant and were not charged."""
    query = select(func.count()).select_from(EventRow).where(*where)
    if known_at is None:
        query = query.join(PendingRow, of_one_event(EventRow, PendingRow))
    else:
        charged = select(ChargeRow.account).where(of_one_event(EventRow, ChargeRow), ChargeRow.booked_at <= known_at)
        query = query.where(EventRow.received_at <= known_at, EventRow.cache_hit_tokens.is_not(None), ~charged.exists())
    return connection.scalar(query) or 0
