"""Revoke an API key: from now on it opens nothing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from costmeter.core.errors import NotFoundError
from costmeter.core.secrets import without_secrets
from costmeter.core.texts import check_said
from costmeter.store import api_keys, audit
from costmeter.store.api_keys import ApiKey
from costmeter.store.engine import in_transaction


def revoke_key(engine: Engine, name: str, *, by: str, reason: str | None = None, now: datetime) -> list[ApiKey]:
    """The active keys of a name, or the one of an id, all revoked; NotFoundError where there is none."""
    by, reason = check_said(by, "by"), None if reason is None else check_said(reason, "reason")

    def revoke(connection: Connection) -> list[ApiKey]:
        revoked = [key._replace(revoked_at=now) for key in active_keys(connection, name, now)]
        for key in revoked:
            api_keys.end(connection, key.key_id, expires_at=key.expires_at, revoked_at=now)
            audit.add(connection, "key.revoke", key.name, key.as_dict(now), by=by, at=now, reason=reason)
        return revoked

    return in_transaction(engine, revoke)


def active_keys(connection: Connection, name: str, now: datetime) -> list[ApiKey]:
    """The keys of a name or an id that still open something, oldest first; NotFoundError where there is none."""
    found = [key for key in api_keys.named(connection, name) if key.is_active(now)]
    if not found:
        raise NotFoundError(f"no active key {without_secrets(name)!r}; see: costmeter keys list")
    return found
