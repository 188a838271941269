"""Usage events, the identities that stand for them, and those that wait for their charge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select

from costmeter.core.events import UsageEvent
from costmeter.core.usage import Usage
from costmeter.store.tables import EventRow, IdentityRow, PendingRow

CHUNK = 5_000  # bound parameters of one statement stay below SQLite's limit

Identity = tuple[str, str, bytes]  # account, provider, 16 bytes


class StoredEvent(NamedTuple):
    """A usage event with the key that it is stored under."""

    event_key: bytes
    event: UsageEvent


def known(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, StoredEvent]:
    """The events that these identities stand for, as far as they are recorded."""
    wanted: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for account, provider, identity in identities:
        wanted[account, provider].append(identity)
    found = {}
    for (account, provider), values in wanted.items():
        for start in range(0, len(values), CHUNK):
            where = (
                IdentityRow.account == account,
                IdentityRow.provider == provider,
                IdentityRow.identity.in_(values[start : start + CHUNK]),
            )
            query = select(IdentityRow.identity, *EventRow.__table__.columns).join(
                EventRow, of_one_event(EventRow, IdentityRow)
            )
            for row in connection.execute(query.where(*where)):
                found[account, provider, row.identity] = stored_event(row)
    return found


def add(
    connection: Connection,
    events: Sequence[StoredEvent],
    identities: Sequence[tuple[Identity, StoredEvent]],
    supersedes: Mapping[bytes, StoredEvent],
    received_at: datetime,
) -> None:
    """Write new events with their identities; measured ones wait for their charge.

    An identity that another writer added meanwhile raises IntegrityError: the transaction is to be run again.
    """
    if identities:
        connection.execute(
            insert(IdentityRow),
            [
                {
                    "account": account,
                    "provider": provider,
                    "identity": identity,
                    "event_key": stored.event_key,
                    "completed_at": stored.event.completed_at,
                }
                # In one order everywhere: recorders of the same calls wait for each other instead of in a circle.
                for (account, provider, identity), stored in sorted(identities, key=lambda named: named[0])
            ],
        )
    if events:
        connection.execute(insert(EventRow), [_row(stored, supersedes, received_at) for stored in events])
    pending = [
        {"account": event.account, "event_key": key, "completed_at": event.completed_at}
        for key, event in events
        if event.usage is not None
    ]
    if pending:
        connection.execute(insert(PendingRow), pending)


def pending_accounts(connection: Connection) -> list[str]:
    """The accounts that have measured calls without a charge."""
    return list(connection.scalars(select(PendingRow.account).distinct().order_by(PendingRow.account)))


def count_pending(connection: Connection, *where: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(PendingRow).where(*where)) or 0


def oldest_pending(connection: Connection, account: str, limit: int) -> list[StoredEvent]:
    """The measured calls of an account that wait for their charge, in order of arrival."""
    query = (
        select(*EventRow.__table__.columns)
        .join(PendingRow, of_one_event(EventRow, PendingRow))
        .where(PendingRow.account == account)
        .order_by(PendingRow.event_key)
        .limit(limit)
    )
    return [stored_event(row) for row in connection.execute(query)]


def remove_pending(connection: Connection, account: str, keys: Sequence[bytes]) -> None:
    for start in range(0, len(keys), CHUNK):
        where = PendingRow.event_key.in_(keys[start : start + CHUNK])
        connection.execute(delete(PendingRow).where(PendingRow.account == account, where))


def stored_event(row: Row[Any]) -> StoredEvent:
    """The event of a row that has all columns of usage_event."""
    usage = None
    if row.cache_hit_tokens is not None:
        usage = Usage(row.cache_hit_tokens, row.cache_miss_tokens, row.output_tokens, row.reasoning_tokens)
    event = UsageEvent(
        event_id=row.event_id,
        account=row.account,
        project=row.project,
        user=row.user_name,
        api_key=row.api_key,
        tags=row.tags,
        provider=row.provider,
        model=row.model,
        requested_model=row.requested_model,
        response_id=row.response_id,
        operation_id=row.operation_id,
        status=row.status,
        started_at=row.started_at,
        completed_at=row.completed_at,
        usage=usage,
        raw_usage=row.usage,
        http_status=row.http_status,
        error_code=row.error_code,
        reason=row.reason,
        detail=row.detail,
    )
    return StoredEvent(row.event_key, event)


def of_one_event(left: Any, right: Any) -> ColumnElement[bool]:
    """The condition that two rows are of one event."""
    return and_(
        left.account == right.account,
        left.event_key == right.event_key,
        left.completed_at == right.completed_at,  # lets PostgreSQL look into one partition only
    )


def _row(stored: StoredEvent, supersedes: Mapping[bytes, StoredEvent], received_at: datetime) -> dict[str, Any]:
    event, replaced = stored.event, supersedes.get(stored.event_key)
    usage = event.usage
    return {
        "account": event.account,
        "event_key": stored.event_key,
        "completed_at": event.completed_at,
        "event_id": event.event_id,
        "provider": event.provider,
        "project": event.project,
        "user_name": event.user,
        "api_key": event.api_key,
        "tags": event.tags,
        "model": event.model,
        "requested_model": event.requested_model,
        "response_id": event.response_id,
        "operation_id": event.operation_id,
        "status": event.status,
        "started_at": event.started_at,
        "received_at": received_at,
        "cache_hit_tokens": usage.cache_hit_tokens if usage else None,
        "cache_miss_tokens": usage.cache_miss_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "reasoning_tokens": usage.reasoning_tokens if usage else None,
        "usage": event.raw_usage,
        "http_status": event.http_status,
        "error_code": event.error_code,
        "reason": event.reason,
        "detail": {**event.detail, "flags": list(usage.flags)} if usage and usage.flags else event.detail,
        "supersedes": replaced.event_key if replaced else None,
        "supersedes_at": replaced.event.completed_at if replaced else None,
    }
