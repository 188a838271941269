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
    connection: Connection, accounts: Collection[str] | None = None, *, before: bytes | None = None, limit: int
) -> list[AuditEntry]:
    """The newest changes, of all or of some accounts; those older than `before` where it is given."""
    query = select(*_COLUMNS).order_by(AuditRow.entry.desc()).limit(limit)
    if accounts is not None:
        query = query.where(AuditRow.account.in_(accounts))
    if before is not None:
        query = query.where(AuditRow.entry < before)
    return [AuditEntry(*row) for row in connection.execute(query)]
