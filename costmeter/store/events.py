"""Usage events, the identities that stand for them, and those that wait for their charge."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, select

from costmeter.core.events import UsageEvent
from costmeter.core.usage import Usage
from costmeter.store import bulk
from costmeter.store.tables import AccountRow, EventRow, IdentityRow, PendingRow

CHUNK = 5_000  # identities that one statement looks up: below SQLite's limit of parameters

Identity = tuple[str, str, bytes]  # account, provider, 16 bytes
_NAMED_BY = [IdentityRow.__table__.columns[name] for name in ("account", "provider", "identity")]
# What posting needs of an event: all but the provider's own object and what else no bill says.
POSTED = [EventRow.__table__.columns[name] for name in (
    "account", "event_key", "completed_at", "event_id", "provider", "project", "user_name", "api_key", "tags", "model",
    "requested_model", "response_id", "operation_id", "status", "started_at", "cache_hit_tokens", "cache_miss_tokens",
    "output_tokens", "reasoning_tokens", "detail",
)]  # fmt: skip
_VALUES = (
    "event_key", "event_id", "account", "project", "user_name", "api_key", "tags", "provider", "model",
    "requested_model", "response_id", "operation_id", "status", "started_at", "completed_at", "usage", "http_status",
    "error_code", "reason", "cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens", "received_at",
    "detail", "supersedes", "supersedes_at",
)  # fmt: skip


class StoredEvent(NamedTuple):
    """A usage event with the key that it is stored under."""

    event_key: bytes
    event: UsageEvent


def known(connection: Connection, identities: Collection[Identity]) -> dict[Identity, StoredEvent]:
    """The events that these identities stand for, as far as they are recorded."""
    found: dict[Identity, StoredEvent] = {}
    made: dict[tuple[str, bytes], StoredEvent] = {}  # most events have two identities
    wanted = sorted(identities)
    for start in range(0, len(wanted), CHUNK):
        asked = bulk.listed(connection, _NAMED_BY, wanted[start : start + CHUNK])
        query = (
            select(IdentityRow.provider.label("named_by"), IdentityRow.identity, *EventRow.__table__.columns)
            .select_from(asked)
            .join(IdentityRow, and_(*(column == asked.c[column.key] for column in _NAMED_BY)))
            .join(EventRow, of_one_event(EventRow, IdentityRow))
        )
        for row in connection.execute(query):
            own = row.account, row.event_key
            if own not in made:
                made[own] = stored_event(row)
            found[row.account, row.named_by, row.identity] = made[own]
    return found


def add_identities(connection: Connection, identities: Iterable[tuple[Identity, StoredEvent]]) -> None:
    """Write what stands for new events; one that another writer added before or meanwhile raises IntegrityError."""
    rows = [
        (*identity, stored.event_key, stored.event.completed_at)
        # In one order everywhere: recorders of the same calls wait for each other instead of in a circle.
        for identity, stored in sorted(identities, key=itemgetter(0))
    ]
    bulk.add_values(connection, IdentityRow, ("account", "provider", "identity", "event_key", "completed_at"), rows)


def add(
    connection: Connection,
    events: Sequence[StoredEvent],
    supersedes: Mapping[bytes, StoredEvent],
    received_at: datetime,
) -> None:
    """Write new events; measured ones wait for their charge."""
    rows = [_values(stored, supersedes.get(stored.event_key), received_at) for stored in events]
    bulk.add_values(connection, EventRow, _VALUES, rows)
    pending = [(event.account, key, event.completed_at) for key, event in events if event.usage is not None]
    bulk.add_values(connection, PendingRow, ("account", "event_key", "completed_at"), pending)


def pending_accounts(connection: Connection, names: Collection[str] | None = None) -> list[str]:
    """The accounts, of all or of those named, that have measured calls without a charge."""
    if names is None:  # what waits is little beside the accounts there are
        return list(connection.scalars(select(PendingRow.account).distinct().order_by(PendingRow.account)))
    query = select(AccountRow.account).where(exists().where(PendingRow.account == AccountRow.account))
    query = query.where(bulk.among(connection, AccountRow.account, names))
    return list(connection.scalars(query.order_by(AccountRow.account)))


def count_pending(connection: Connection, *where: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(PendingRow).where(*where)) or 0


class Newest(NamedTuple):
    """The call that was recorded last."""

    account: str
    event_id: str
    model: str
    status: str
    completed_at: datetime
    received_at: datetime


def newest(connection: Connection, names: Collection[str] | None = None) -> Newest | None:
    """The call of these accounts, or of all, that was recorded last; None where there is none.

    Keys are in order of arrival: each account's last one is the end of its index.
    """
    own = EventRow.account == AccountRow.account
    last = select(EventRow.event_key).where(own).order_by(EventRow.event_key.desc()).limit(1).scalar_subquery()
    query = select(AccountRow.account, last)
    if names is not None:
        query = query.where(bulk.among(connection, AccountRow.account, names))
    found = [(key, account) for account, key in connection.execute(query) if key is not None]
    if not found:
        return None
    key, account = max(found)
    columns = (getattr(EventRow, name) for name in Newest._fields)
    return Newest(
        *connection.execute(select(*columns).where(EventRow.account == account, EventRow.event_key == key)).one()
    )


def waiting_since(connection: Connection) -> datetime | None:
    """When the call was received that waits longest for its charge, frozen accounts apart; keys are in that order."""
    query = select(EventRow.received_at).join(PendingRow, of_one_event(EventRow, PendingRow))
    query = query.join(AccountRow, AccountRow.account == PendingRow.account).where(AccountRow.frozen_at.is_(None))
    return connection.scalar(query.order_by(PendingRow.event_key).limit(1))


def oldest_pending(
    connection: Connection,
    names: Collection[str],
    limit: int,
    at_hand: Mapping[bytes, StoredEvent] = MappingProxyType({}),
) -> list[StoredEvent]:
    """The measured calls of these accounts that wait for their charge, account by account in order of arrival.

    They come without the provider's own usage object, which posting has no use for. Where all of them are `at_hand`, by
    their keys, since they were recorded just now, they are not read again.
    """
    waits = bulk.among(connection, PendingRow.account, names)
    order = (PendingRow.account, PendingRow.event_key)
    if at_hand:
        keys = connection.scalars(select(PendingRow.event_key).where(waits).order_by(*order).limit(limit)).all()
        if at_hand.keys() >= {*keys}:
            return [at_hand[key] for key in keys]
    query = select(*POSTED).join(PendingRow, of_one_event(EventRow, PendingRow)).where(waits)
    return [posted_event(tuple(row)) for row in connection.execute(query.order_by(*order).limit(limit))]


def remove_pending(connection: Connection, stored: Sequence[StoredEvent]) -> None:
    keys = [(event.account, event_key) for event_key, event in stored]
    bulk.remove(connection, PendingRow, ("account", "event_key"), keys)


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


def posted_event(row: Sequence[Any]) -> StoredEvent:
    """The event of a row that has what posting needs: POSTED."""
    (
        account, event_key, completed_at, event_id, provider, project, user, api_key, tags, model, requested_model,
        response_id, operation_id, status, started_at, hit, miss, output, reasoning, detail,
    ) = row  # fmt: skip
    usage = None if hit is None else Usage(hit, miss, output, reasoning)
    fields = (
        event_id, account, project, user, api_key, tags, provider, model, requested_model, response_id, operation_id,
        status, started_at, completed_at, usage, None, None, None, None, detail,
    )  # fmt: skip
    return StoredEvent(event_key, UsageEvent(*fields))


def of_one_event(left: Any, right: Any) -> ColumnElement[bool]:
    """The condition that two rows are of one event."""
    return and_(
        left.account == right.account,
        left.event_key == right.event_key,
        left.completed_at == right.completed_at,  # lets PostgreSQL look into one partition only
    )


def _values(stored: StoredEvent, replaced: StoredEvent | None, received_at: datetime) -> tuple[Any, ...]:
    """What is stored of an event, as _VALUES names it; `replaced` is the unmetered one that it measures."""
    event = stored.event
    usage, detail = event.usage, event.detail
    hit, miss, output, reasoning, flags = usage or (None, None, None, None, ())
    if flags:
        detail = {**detail, "flags": list(flags)}
    place = (None, None) if replaced is None else (replaced.event_key, replaced.event.completed_at)
    (
        event_id, account, project, user, api_key, tags, provider, model, requested_model, response_id, operation_id,
        status, started_at, completed_at, _, raw, http_status, error_code, reason, _,
    ) = event  # fmt: skip
    return (
        stored.event_key, event_id, account, project, user, api_key, tags, provider, model,
        requested_model, response_id, operation_id, status, started_at, completed_at, raw, http_status,
        error_code, reason, hit, miss, output, reasoning, received_at,
        detail, *place,
    )  # fmt: skip
