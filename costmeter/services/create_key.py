"""Create an API key: its text is known now and never again."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.access import CALL, ROLES, check_roles, key_text, secret_digest
from costmeter.core.errors import ConflictError, InputError
from costmeter.core.events import check_account
from costmeter.core.periods import as_utc, format_instant
from costmeter.core.rate_limits import NO_LIMITS, Limits, check_limits
from costmeter.core.texts import TEXT_LENGTH, check_said
from costmeter.store import api_keys, audit
from costmeter.store.api_keys import ApiKey
from costmeter.store.engine import in_transaction


class NewKey(NamedTuple):
    """A key as it is asked for; accounts and projects None: all of them."""

    name: str
    roles: Collection[str]
    accounts: Collection[str] | None = None
    projects: Collection[str] | None = None
    expires_at: datetime | None = None
    limits: Limits = NO_LIMITS


def create_key(engine: Engine, new: NewKey, *, by: str, now: datetime) -> tuple[ApiKey, str]:
    """The key and its text, which is stored nowhere. ConflictError where an active key has the name: rotate that."""
    name, by = check_said(new.name, "name"), check_said(by, "by")
    expires_at = None if new.expires_at is None else as_utc(new.expires_at, "expires_at")
    if expires_at is not None and expires_at <= now:
        raise InputError("expires_at", format_instant(expires_at), f"must be after now, {format_instant(now)}")
    accounts = _names("account", new.accounts)
    for account in accounts or ():
        check_account(account)
    roles, limits = check_roles(new.roles), check_limits_of(new.roles, new.limits)
    key, text = make(
        ApiKey("", "", name, [*roles], accounts, _names("project", new.projects), now, expires_at, None, *limits)
    )

    def create(connection: Connection) -> None:
        if any(other.is_active(now) for other in api_keys.named(connection, name)):
            raise ConflictError(
                "name", name, "an active key has this name; choose another, or rotate or revoke that one"
            )
        api_keys.add(connection, key)
        audit.add(connection, "key.create", name, key.as_dict(now), by=by, at=now)

    in_transaction(engine, create)
    return key, text


def make(like: ApiKey) -> tuple[ApiKey, str]:
    """A key with an id and a secret of its own that may do the same, and its text."""
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    return like._replace(key_id=key_id, digest=secret_digest(secret)), key_text(key_id, secret)


def check_limits_of(roles: Collection[str], limits: Limits) -> Limits:
    """The limits of a key with these roles; what cannot call through the gateway has none."""
    checked = check_limits(*limits)
    for field, value in checked._asdict().items():
        if value is not None and not any(CALL in ROLES[role] for role in roles):
            raise InputError(field, value, f"limits calls through the gateway; give the key the role {CALL}, too")
    return checked


def _names(kind: str, names: Collection[str] | None) -> list[str] | None:
    if names is None:
        return None
    for name in names:
        if not 0 < len(name.strip()) <= TEXT_LENGTH:
            raise InputError(kind, name, f"write 1 to {TEXT_LENGTH} characters")
    if not names:
        raise InputError(kind, None, f"names none; leave {kind}s out for all of them")
    return sorted(set(names))
