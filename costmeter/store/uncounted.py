"""What is in scope and not in the money: calls without usage, in quarantine, or not posted yet."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from costmeter.core.events import FAILED, UNMETERED
from costmeter.store import quarantine
from costmeter.store.accounts import Account
from costmeter.store.known import count_unposted, is_superseded
from costmeter.store.scope import Scope
from costmeter.store.tables import EventRow


def count_uncounted(connection: Connection, scope: Scope, in_scope: Sequence[Account]) -> dict[str, int]:
    """How many calls in scope failed, are unmetered, unposted or quarantined."""
    found = dict.fromkeys((FAILED, UNMETERED, "unposted"), 0)
    for timezone in {account.timezone for account in in_scope}:
        conditions = scope.events(timezone)
        statuses = (
            select(EventRow.status, func.count())
            .where(*conditions, EventRow.cache_hit_tokens.is_(None), ~is_superseded(scope.known_at))
            .group_by(EventRow.status)
        )
        for status, count in connection.execute(statuses):
            found[status] += count
        found["unposted"] += count_unposted(connection, scope.known_at, *conditions)
    return {**found, "quarantined": quarantine.count(connection, scope.known_at, *scope.quarantine())}
