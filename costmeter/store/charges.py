"""Charges and the deductions that paid them.

A call's charge in force is its newest revision; `upto` asks for what was known when the account's sequence stood there.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby, islice
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, collate, func, or_, select, text, true
from sqlalchemy.orm import aliased

from costmeter.core.ledger import Credit, Deduction, Split, rank
from costmeter.core.periods import Period
from costmeter.store import bulk
from costmeter.store.bulk import Batch
from costmeter.store.events import StoredEvent, of_one_event, stored_event
from costmeter.store.tables import IN_DOUBT, ChargeRow, DeductionRow, EventRow
from costmeter.store.types import as_micros, join_halves, sum_halves

CHUNK = 2_000
_PAID = (
    DeductionRow.event_key, DeductionRow.revision, DeductionRow.ordinal, DeductionRow.credit_id, DeductionRow.kind,
    DeductionRow.amount,
)  # fmt: skip
_new = tuple.__new__  # a named tuple's own way of being made takes as long as pricing


class Paid(NamedTuple):
    """A charge in force: one call, what it cost, and how that was paid."""

    event_key: bytes
    completed_at: datetime
    event_id: str
    model: str
    revision: int
    edition: str
    cost: int | None
    split: Split


PRICE = (
    "status", "tariff", "band", "cost_cache_hit", "cost_cache_miss", "cost_output", "cost", "cache_savings",
    "off_peak_savings",
)  # fmt: skip


class Priced(NamedTuple):
    """A charge in force by its price: one call, what it used, and by which edition it cost what.

    Instants are microseconds since 1970: all charges of an account are read like this. `price` is what follows.
    """

    event_key: bytes
    model: str
    completed_at: int
    started_at: int | None
    cache_hit_tokens: int
    cache_miss_tokens: int
    output_tokens: int
    project: str | None
    edition: str
    status: str
    tariff: str | None
    band: str | None
    cost_cache_hit: int | None
    cost_cache_miss: int | None
    cost_output: int | None
    cost: int | None
    cache_savings: int
    off_peak_savings: int

    @property
    def price(self) -> tuple[Any, ...]:
        """The values of PRICE."""
        return self[9:]


def add(batch: Batch, charges: Sequence[dict[str, Any]], deductions: Sequence[dict[str, Any]]) -> None:
    batch.add(ChargeRow, charges)
    batch.add(DeductionRow, deductions)


def in_force(connection: Connection, account: str, *, since: datetime, upto: int) -> Iterator[list[Paid]]:
    """The charges in force of calls completed from `since` on, in canonical order: by completion, then event id."""
    query = (
        select(
            ChargeRow.event_key, ChargeRow.completed_at, EventRow.event_id, EventRow.model, ChargeRow.revision,
            ChargeRow.edition, ChargeRow.cost, ChargeRow.granted, ChargeRow.topped_up, ChargeRow.overdraft,
            ChargeRow.untracked,
        )
        .join(EventRow, of_one_event(EventRow, ChargeRow))
        .where(ChargeRow.account == account, ChargeRow.completed_at >= since, ChargeRow.seq <= upto)
        .order_by(ChargeRow.completed_at, bytewise(connection, EventRow.event_id), ChargeRow.revision)
    )  # fmt: skip
    rows = connection.execute(query, execution_options={"yield_per": CHUNK})
    newest = (deque(group, maxlen=1)[0] for _, group in groupby(rows, key=lambda row: row.event_key))
    while chunk := list(islice(newest, CHUNK)):
        paid = deductions_of(connection, account, chunk)
        yield [
            Paid(*row[:7], Split(*row[7:], tuple(Deduction(*d) for d in paid.get((row.event_key, row.revision), ()))))
            for row in chunk
        ]


def priced_by_others(connection: Connection, account: str, edition: str) -> list[tuple[str, str]]:
    """Every other edition that charges of an account were priced by, with each model that was."""
    query = (
        select(ChargeRow.edition, EventRow.model)
        .join(EventRow, of_one_event(EventRow, ChargeRow))
        .where(ChargeRow.account == account, ChargeRow.edition != edition)
        .group_by(ChargeRow.edition, EventRow.model)
    )
    return [(row.edition, row.model) for row in connection.execute(query)]


def prices_in_force(
    connection: Connection, account: str, edition: str, *, models: Mapping[str, Period]
) -> Iterator[list[Priced]]:
    """The prices in force by other editions, of calls of these models that completed in its period, by completion."""
    of_models = or_(*(and_(EventRow.model == model, _completed_in(period)) for model, period in models.items()))
    query = _prices(connection, account).where(ChargeRow.edition != edition, of_models)
    with connection.execute(query.order_by(ChargeRow.completed_at), execution_options={"yield_per": CHUNK}) as result:
        for rows in result.partitions():
            yield [_new(Priced, row) for row in rows]


def _completed_in(period: Period) -> ColumnElement[bool]:
    after = true() if period.start is None else ChargeRow.completed_at >= period.start
    return and_(after, true() if period.end is None else ChargeRow.completed_at < period.end)


def prices_of(connection: Connection, account: str, calls: Sequence[Paid]) -> list[Priced]:
    """The prices in force of these calls."""
    query = _prices(connection, account).where(
        ChargeRow.event_key.in_([call.event_key for call in calls]),
        ChargeRow.completed_at.between(calls[0].completed_at, calls[-1].completed_at),
    )
    return [_new(Priced, row) for row in connection.execute(query)]


def _prices(connection: Connection, account: str) -> Select[Any]:
    columns = [
        ChargeRow.event_key, EventRow.model, as_micros(connection, ChargeRow.completed_at),
        as_micros(connection, EventRow.started_at), EventRow.cache_hit_tokens, EventRow.cache_miss_tokens,
        EventRow.output_tokens, EventRow.project, ChargeRow.edition, *(getattr(ChargeRow, name) for name in PRICE),
    ]  # fmt: skip
    query = select(*columns).select_from(ChargeRow).join(EventRow, of_one_event(EventRow, ChargeRow))
    return query.where(ChargeRow.account == account, ~_is_replaced())


def _is_replaced() -> ColumnElement[bool]:
    later = aliased(ChargeRow)
    return select(later).where(of_one_event(later, ChargeRow), later.revision > ChargeRow.revision).exists()


def doubts_in_force(connection: Connection, account: str, month: str) -> dict[str, int]:
    """How many of the charges that were booked in a billing month, and are in force, are unpriced and provisional."""
    query = select(ChargeRow.status, func.count()).where(ChargeRow.account == account, ChargeRow.billing_month == month)
    query = query.where(text(f"charge.{IN_DOUBT}"), ChargeRow.sign == 1, ~_is_replaced()).group_by(ChargeRow.status)
    return {row[0]: row[1] for row in connection.execute(query)}


def bytewise(connection: Connection, column: Any) -> ColumnElement[str]:
    """The column in the order of its bytes and not of the database's locale, so that both databases agree."""
    return collate(column, "C" if connection.dialect.name == "postgresql" else "BINARY")


def deductions_of(
    connection: Connection, account: str, charges: Sequence[Any]
) -> dict[tuple[bytes, int], list[tuple[int, str, int]]]:
    """Credit, kind and amount of what paid each of these charges, by event key and revision, in the order taken."""
    if not charges:
        return {}
    first, last = (edge(charge.completed_at for charge in charges) for edge in (min, max))
    paid = select(*_PAID).where(DeductionRow.account == account, DeductionRow.completed_at.between(first, last))
    query = bulk.probed(connection, paid, DeductionRow.event_key, {charge.event_key for charge in charges})
    rows = connection.execute(query.order_by(query.selected_columns.ordinal))
    found: dict[tuple[bytes, int], list[tuple[int, str, int]]] = defaultdict(list)
    for event_key, revision, _, credit_id, kind, amount in rows:
        found[event_key, revision].append((credit_id, kind, amount))
    return found


def whole(
    connection: Connection, account: str, charges: Sequence[Paid]
) -> dict[bytes, tuple[dict[str, Any], StoredEvent]]:
    """All columns of these charges, by event key, each with its event."""
    if not charges:
        return {}
    revisions = {charge.event_key: charge.revision for charge in charges}
    events = {row.event_key: stored_event(row) for row in _of_calls(connection, account, charges, EventRow)}
    return {
        row.event_key: (row._asdict(), events[row.event_key])
        for row in _of_calls(connection, account, charges, ChargeRow)
        if row.revision == revisions[row.event_key]
    }


def _of_calls(
    connection: Connection, account: str, charges: Sequence[Any], table: type[ChargeRow | EventRow]
) -> Iterator[Row[Any]]:
    """The rows that a table has of these calls."""
    first, last = (edge(charge.completed_at for charge in charges) for edge in (min, max))
    # The bounds let PostgreSQL look into few partitions.
    query = select(*table.__table__.columns).where(table.account == account, table.completed_at.between(first, last))
    keys = {charge.event_key for charge in charges}
    return iter(connection.execute(bulk.probed(connection, query, table.event_key, keys)))


def given_since(connection: Connection, account: str, *, since: datetime, upto: int) -> tuple[dict[int, int], int]:
    """What each credit gave for calls completed from `since` on, and their overdraft."""
    calls = (ChargeRow.account == account, ChargeRow.completed_at >= since, ChargeRow.seq <= upto)
    given = (
        select(DeductionRow.credit_id, *sum_halves(DeductionRow.amount))
        .join(ChargeRow, and_(of_one_event(DeductionRow, ChargeRow), DeductionRow.revision == ChargeRow.revision))
        .where(*calls)
        .group_by(DeductionRow.credit_id)
    )
    by_credit = {credit_id: join_halves(high, low) for credit_id, high, low in connection.execute(given)}
    owed = connection.execute(select(*sum_halves(ChargeRow.overdraft)).where(*calls, ChargeRow.overdraft != 0)).one()
    return by_credit, join_halves(*owed)


def first_paid_otherwise(
    connection: Connection, account: str, credit: Credit, others: Sequence[Credit], upto: int
) -> datetime | None:
    """The earliest completion of a posted call that this credit, had it been known, would have paid or opened.

    That is a call it counts for which was overdrawn or took from a credit behind it, or an untracked call after its
    start, since it moves the opening back.
    """
    counts = [] if credit.expires_at is None else [ChargeRow.completed_at < credit.expires_at]
    behind = [other.credit_id for other in others if rank(other) > rank(credit)]
    untracked = ChargeRow.untracked != 0
    affected = and_(or_(ChargeRow.overdraft != 0, _took_from(behind)), *counts)
    return _earliest(connection, account, or_(untracked, affected), since=credit.effective_at, upto=upto)


def first_paid_by(
    connection: Connection, account: str, credit: Credit, others: Sequence[Credit], upto: int
) -> datetime | None:
    """The earliest completion of a posted call that this credit paid, or that is tracked by it alone."""
    opening = min((other.effective_at for other in others), default=None)
    tracked = ChargeRow.overdraft != 0
    if opening is not None:
        tracked = and_(tracked, ChargeRow.completed_at < opening)
    paid = _took_from([credit.credit_id])
    return _earliest(connection, account, or_(tracked, paid), since=credit.effective_at, upto=upto)


def _took_from(credits: Collection[int]) -> ColumnElement[bool]:
    paid = and_(of_one_event(DeductionRow, ChargeRow), DeductionRow.revision == ChargeRow.revision)
    return select(DeductionRow).where(paid, DeductionRow.credit_id.in_(credits)).exists()


def _earliest(
    connection: Connection, account: str, condition: ColumnElement[bool], *, since: datetime, upto: int
) -> datetime | None:
    """The earliest completion, from `since` on, of a charge in force for which a condition holds."""
    later = aliased(ChargeRow)
    replaced = select(later).where(
        of_one_event(later, ChargeRow), later.revision > ChargeRow.revision, later.seq <= upto
    )
    query = select(ChargeRow.completed_at).where(
        ChargeRow.account == account,
        ChargeRow.completed_at >= since,
        ChargeRow.seq <= upto,
        condition,
        ~replaced.exists(),
    )
    return connection.scalar(query.order_by(ChargeRow.completed_at).limit(1))


def has_since(connection: Connection, account: str, *, since: datetime, upto: int) -> bool:
    """Whether a posted call completed from an instant on."""
    calls = (ChargeRow.account == account, ChargeRow.completed_at >= since, ChargeRow.seq <= upto)
    return connection.scalar(select(ChargeRow.seq).where(*calls).limit(1)) is not None


def last_completion(connection: Connection, account: str) -> datetime:
    """The latest completion of an account's posted calls, of which there must be one."""
    return connection.scalars(select(func.max(ChargeRow.completed_at)).where(ChargeRow.account == account)).one()
