"""What is detached: months of calls whose rows are not at hand, and what is kept of them for the books."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, text

from costmeter.core.errors import ConflictError, DetachedError
from costmeter.core.events import UsageEvent
from costmeter.core.periods import Period, format_instant, month_of, month_period
from costmeter.store import checkpoints
from costmeter.store.checkpoints import START, Checkpoint
from costmeter.store.events import CHUNK, Identity
from costmeter.store.tables import DetachedRow, IdentityRow

_IN_MONTH = "completed_at >= :start AND completed_at < :end"
_EVENTS = (
    "SELECT account, min(completed_at) AS first_at, max(completed_at) AS last_at, "  # noqa: S608
    f"max(encode(event_key, 'hex') COLLATE \"C\") AS newest FROM usage_event WHERE {_IN_MONTH} GROUP BY account"
)
_CHARGES = (
    "SELECT account, min(billing_month) AS first_billed, max(billing_month) AS last_billed, max(seq) AS last_seq, "  # noqa: S608
    f"max(booked_at) AS booked_until, sum(overdraft) AS overdraft FROM charge WHERE {_IN_MONTH} GROUP BY account"
)
_DEDUCTIONS = (
    "SELECT account, jsonb_object_agg(credit_id::text, amount::text) AS given FROM (SELECT account, credit_id, "  # noqa: S608
    f"sum(amount) AS amount FROM deduction WHERE {_IN_MONTH} GROUP BY account, credit_id) AS gave GROUP BY account"
)
# What came since a checkpoint and could reach behind it.
_REACHES_BACK = (
    "SELECT 1 FROM journal_entry AS entry WHERE entry.account = event.account AND entry.seq > verified.seq "
    "AND entry.kind IN ('credit', 'void', 'fold', 'correction', 'close')"
)
_UNREADY = {
    "calls of it wait to be posted (costmeter flush), in account": text(
        f"SELECT DISTINCT account FROM pending WHERE {_IN_MONTH} ORDER BY account"  # noqa: S608
    ),
    "items of it are open (costmeter quarantine list), in account": text(
        f"SELECT DISTINCT account FROM quarantine WHERE state = 'open' AND {_IN_MONTH} ORDER BY account"  # noqa: S608
    ),
    "a ledger is not verified beyond it (costmeter verify), that of account": text(
        f"SELECT event.account FROM ({_EVENTS}) AS event LEFT JOIN ({_CHARGES}) AS charged USING (account) "  # noqa: S608
        "JOIN account USING (account) LEFT JOIN checkpoint AS verified USING (account) "
        "WHERE verified.seq IS NULL OR account.frozen_at IS NOT NULL OR charged.last_seq > verified.seq "
        "OR event.newest > (verified.state ->> 'newest') COLLATE \"C\" "
        f"OR EXISTS ({_REACHES_BACK}) ORDER BY event.account"
    ),
}
_KEEP = text(
    "INSERT INTO detached_month (account, month, detached_at, first_at, last_at, first_billed, last_billed, "  # noqa: S608
    "booked_until, overdraft, given, state) SELECT event.account, :month, :now, first_at, last_at, first_billed, "
    "last_billed, booked_until, coalesce(overdraft, 0), coalesce(given, '{}'), verified.state "
    f"FROM ({_EVENTS}) AS event LEFT JOIN ({_CHARGES}) AS charged USING (account) "
    f"LEFT JOIN ({_DEDUCTIONS}) AS gave USING (account) JOIN checkpoint AS verified USING (account)"
)


class Kept(NamedTuple):
    """What the calls of an account's detached months took: of each credit, and as overdraft."""

    given: dict[int, int]
    overdraft: int


def detached_months(connection: Connection, names: Collection[str] | None = None) -> list[str]:
    """The months (of UTC) whose calls are not at hand, of these accounts or of all."""
    query = select(DetachedRow.month).distinct().order_by(DetachedRow.month)
    if names is not None:
        query = query.where(DetachedRow.account.in_(names))
    return list(connection.scalars(query))


def last_completion(connection: Connection, account: str) -> datetime | None:
    """The newest completion among an account's calls that are not at hand."""
    return connection.scalar(select(func.max(DetachedRow.last_at)).where(DetachedRow.account == account))


def refuse_period(connection: Connection, names: Collection[str], period: Period) -> None:
    """Raises DetachedError, naming the months, where calls of these accounts that completed in a period are away."""
    bounds: list[ColumnElement[bool]] = []
    if period.start is not None:
        bounds.append(DetachedRow.last_at >= period.start)
    if period.end is not None:
        bounds.append(DetachedRow.first_at < period.end)
    _refuse(connection, names, *bounds)


def refuse_change(connection: Connection, names: Collection[str], period: Period) -> None:
    """The same for a transaction that may change how these calls were paid: until it ends no month is detached."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE detached_month IN ROW SHARE MODE"))
    refuse_period(connection, names, period)


def alone(connection: Connection) -> None:
    """Wait for the transactions that may change how calls were paid, and let none begin; PostgreSQL only."""
    connection.execute(text("LOCK TABLE detached_month IN EXCLUSIVE MODE"))


def refuse_billing_month(connection: Connection, names: Collection[str], month: str) -> None:
    """The same where charges that were booked in a billing month are away."""
    _refuse(connection, names, DetachedRow.first_billed <= month, DetachedRow.last_billed >= month)


def beginning(connection: Connection, account: str) -> Checkpoint:
    """Where a replay of an account can begin: at the start, or at the newest state that a detached month left."""
    states = connection.scalars(select(DetachedRow.state).where(DetachedRow.account == account))
    return max(map(checkpoints.from_dict, states), key=lambda state: state.seq, default=START)


def kept(connection: Connection, account: str, at: datetime, known_at: datetime | None) -> Kept:
    """What detached calls that completed until an instant took, as far as it was booked by another.

    Raises DetachedError where that divides a month's calls: only their sum is kept.
    """
    divided = and_(DetachedRow.first_at <= at, DetachedRow.last_at > at)
    if known_at is not None:
        divided = or_(divided, and_(DetachedRow.first_at <= at, DetachedRow.booked_until > known_at))
    _refuse(connection, [account], divided)
    query = select(DetachedRow.given, DetachedRow.overdraft)
    query = query.where(DetachedRow.account == account, DetachedRow.last_at <= at)
    given: dict[int, int] = {}
    overdraft = 0
    for by_credit, owed in connection.execute(query):
        overdraft += owed
        for credit_id, amount in by_credit.items():
            given[int(credit_id)] = given.get(int(credit_id), 0) + int(amount)
    return Kept(given, overdraft)


def completions(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, datetime]:
    """When the calls completed that these identities stand for, of accounts that have detached months."""
    wanted = list(identities)
    names = {account for account, _, _ in wanted}
    some = select(DetachedRow.account).where(DetachedRow.account.in_(names)).distinct()
    found: dict[Identity, datetime] = {}
    for account in connection.scalars(some).all() if wanted else ():
        values = [identity for name, _, identity in wanted if name == account]
        for start in range(0, len(values), CHUNK):
            query = select(IdentityRow.provider, IdentityRow.identity, IdentityRow.completed_at)
            where = (IdentityRow.account == account, IdentityRow.identity.in_(values[start : start + CHUNK]))
            for provider, identity, completed_at in connection.execute(query.where(*where)):
                found[account, provider, identity] = completed_at
    return {identity: found[identity] for identity in wanted if identity in found}


def judge(event: UsageEvent, completed_at: datetime) -> ConflictError | Literal[False]:
    """What a call is whose id stands for a detached one: at the same microsecond a duplicate, otherwise a conflict."""
    if event.completed_at == completed_at:
        return False
    month = month_of(completed_at, "UTC")
    remedy = f"was recorded before, in {month}, which is detached; costmeter db attach {month}, and record it again"
    return ConflictError("event_id", event.event_id, remedy)


def unready(connection: Connection, month: str) -> dict[str, list[str]]:
    """Why a month cannot be detached, and for which accounts; PostgreSQL only."""
    return {reason: list(connection.scalars(query, _within(month))) for reason, query in _UNREADY.items()}


def keep(connection: Connection, month: str, now: datetime) -> None:
    """Keep, of each account that has calls in a month, what the books need while they are away; PostgreSQL only."""
    connection.execute(_KEEP, {**_within(month), "month": month, "now": now})


def forget(connection: Connection, month: str) -> None:
    """A month is attached again: its rows speak for themselves."""
    connection.execute(delete(DetachedRow).where(DetachedRow.month == month))


def _within(month: str) -> dict[str, Any]:
    return month_period(month, "UTC")._asdict()


def _refuse(connection: Connection, names: Collection[str], *where: ColumnElement[bool]) -> None:
    query = select(DetachedRow.month, func.min(DetachedRow.detached_at), func.count())
    query = query.where(DetachedRow.account.in_(names), *where).group_by(DetachedRow.month)
    found = connection.execute(query.order_by(DetachedRow.month)).all()
    if found:
        months = ", ".join(row[0] for row in found)
        each = " and ".join(f"costmeter db attach {row[0]}" for row in found)
        since = format_instant(min(row[1] for row in found))
        raise DetachedError(f"calls of {months} are needed for this and detached since {since}; first: {each}")
