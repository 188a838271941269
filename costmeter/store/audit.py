"""The audit log: who changed money, a price or a key, when, what and why. Written in the transaction of the change."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from costmeter.core.secrets import without_secrets
from costmeter.store.access_tables import AuditRow
from costmeter.store.keys import new_key

NO_ACCOUNT = ""  # of what belongs to no account: keys, the price book


class AuditEntry(NamedTuple):
    """One change; `subject` is what was changed, `change` what it came to."""

    account: str
    entry: bytes
    at: datetime
    by_whom: str
    action: str
    subject: str
    change: dict[str, Any]
    reason: str | None


_COLUMNS = tuple(getattr(AuditRow, name) for name in AuditEntry._fields)


def add(
    connection: Connection,
    action: str,
    subject: str,
    change: dict[str, Any],
    *,
    by: str,
    at: datetime,
    account: str = NO_ACCOUNT,
    reason: str | None = None,
) -> None:
    """Keep one change."""
    entry = AuditEntry(account, new_key(), at, without_secrets(by)[:256], action, subject[:256], change, reason)
    connection.execute(insert(AuditRow), entry._asdict())


def listed(
    connection: Connection,
    accounts: Collection[str] | None = None,
    *,
    by: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    before: bytes | None = None,
    limit: int,
) -> list[AuditEntry]:
    """The newest changes, of all or of some accounts; those older than `before` where it is given.

    `by` is a part of who did it, in small letters or capitals, `action` what was done, `since` when at the earliest.
    """
    query = select(*_COLUMNS).order_by(AuditRow.entry.desc()).limit(limit)
    if accounts is not None:
        query = query.where(AuditRow.account.in_(accounts))
    if by is not None:
        query = query.where(AuditRow.by_whom.icontains(by, autoescape=True))
    if action is not None:
        query = query.where(AuditRow.action == action)
    if since is not None:
        query = query.where(AuditRow.at >= since)
    if before is not None:
        query = query.where(AuditRow.entry < before)
    return [AuditEntry(*row) for row in connection.execute(query)]


def actions(connection: Connection, accounts: Collection[str] | None = None) -> list[str]:
    """What was ever done, to all or to some accounts."""
    query = select(AuditRow.action).distinct().order_by(AuditRow.action)
    if accounts is not None:
        query = query.where(AuditRow.account.in_(accounts))
    return list(connection.scalars(query))
