"""What moved, or may have moved, an account's balance after one instant and up to another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from costmeter.core.doubts import NEAR_BAND
from costmeter.core.events import UNMETERED, UsageEvent
from costmeter.core.periods import FIRST_INSTANT
from costmeter.store.events import of_one_event, stored_event
from costmeter.store.known import is_superseded
from costmeter.store.tables import ChargeRow, EventRow, PendingRow
from costmeter.store.types import join_halves, sum_halves

METERS = ("cache_hit", "cache_miss", "output")


class Used(NamedTuple):
    """What a model used in one band of a tariff: calls, and tokens and cost of each meter in METERS' order."""

    model: str
    tariff: str | None  # None: unpriced
    band: str | None
    calls: int
    tokens: tuple[int, ...]
    costs: tuple[int, ...]
    granted: int
    topped_up: int
    overdraft: int
    untracked: int


class NearCall(NamedTuple):
    """A call near a band edge, the cost that is booked for it, and the sign of that row."""

    event: UsageEvent
    cost: int
    sign: int


def used(connection: Connection, account: str, *where: ColumnElement[bool]) -> list[Used]:
    """The charges of an account, reversals taken off, by model, tariff, band and edition: of each a rate is one."""
    group = (EventRow.model, ChargeRow.tariff, ChargeRow.band)
    tokens = [func.sum(ChargeRow.sign * getattr(EventRow, f"{meter}_tokens")) for meter in METERS]
    parts = [getattr(ChargeRow, f"cost_{meter}") for meter in METERS]
    parts += [ChargeRow.granted, ChargeRow.topped_up, ChargeRow.overdraft, ChargeRow.untracked]
    amounts = [half for part in parts for half in sum_halves(part)]
    query = (
        select(*group, func.sum(ChargeRow.sign), *tokens, *amounts)
        .join(EventRow, of_one_event(EventRow, ChargeRow))
        .where(ChargeRow.account == account, *where)
        .group_by(*group, ChargeRow.edition)
    )
    found = []
    for row in connection.execute(query):
        sums = [join_halves(row[at], row[at + 1]) for at in range(7, len(row), 2)]
        counts = tuple(int(count) for count in row[4:7])
        if row[3] or any(counts) or any(sums):
            costs, paid = tuple(sums[:3]), sums[3:]
            found.append(Used(row[0], row[1], row[2], int(row[3]), counts, costs, paid[0], paid[1], paid[2], paid[3]))
    return found


def completed(since: datetime | None, at: datetime) -> tuple[ColumnElement[bool], ...]:
    """The condition that a charge's call completed after one instant (None: ever), and at another or before."""
    return ChargeRow.completed_at > (since or FIRST_INSTANT), ChargeRow.completed_at <= at


def completions(connection: Connection, account: str, since: datetime, at: datetime, limit: int) -> list[datetime]:
    """The instants at which calls completed, the newest first."""
    query = select(ChargeRow.completed_at).distinct().where(ChargeRow.account == account, *completed(since, at))
    return list(connection.scalars(query.order_by(ChargeRow.completed_at.desc()).limit(limit)))


def near_band_edges(connection: Connection, account: str, since: datetime | None, at: datetime) -> list[NearCall]:
    """The charges whose calls are marked as near a band edge; a reversal has the sign -1."""
    query = (
        select(*EventRow.__table__.columns)
        .add_columns(ChargeRow.cost, ChargeRow.sign)
        .join(ChargeRow, of_one_event(EventRow, ChargeRow))
        .where(
            ChargeRow.account == account, *completed(since, at), ChargeRow.flags.contains(NEAR_BAND, autoescape=True)
        )
    )
    return [NearCall(stored_event(row).event, row.cost or 0, row.sign) for row in connection.execute(query)]


def unmetered(connection: Connection, account: str, since: datetime | None, at: datetime) -> list[UsageEvent]:
    """The calls whose usage nobody saw, then or since."""
    where = (EventRow.completed_at > (since or FIRST_INSTANT), EventRow.completed_at <= at)
    unmeasured = (EventRow.cache_hit_tokens.is_(None), EventRow.status == UNMETERED, ~is_superseded())
    return _events(connection, [EventRow.account == account, *where, *unmeasured])


def unposted(connection: Connection, account: str, at: datetime) -> list[UsageEvent]:
    """The measured calls, completed until an instant, that have no charge yet."""
    waits = select(PendingRow.account).where(of_one_event(EventRow, PendingRow)).exists()
    return _events(connection, [EventRow.account == account, EventRow.completed_at <= at, waits])


def _events(connection: Connection, where: Sequence[ColumnElement[bool]]) -> list[UsageEvent]:
    rows: Any = connection.execute(select(*EventRow.__table__.columns).where(*where))
    return [stored_event(row).event for row in rows]
