"""API keys: what each may do, how long, and the digest by which it is known."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from costmeter.core.access import Grant
from costmeter.core.periods import format_instant
from costmeter.core.rate_limits import Limits
from costmeter.store.access_tables import KeyRow


class ApiKey(NamedTuple):
    """A key without its secret."""

    key_id: str
    digest: str
    name: str
    roles: list[str]
    accounts: list[str] | None
    projects: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    calls_per_minute: int | None = None
    calls_at_once: int | None = None

    def is_active(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def grant(self) -> Grant:
        """What it may do."""
        accounts, projects = (None if names is None else tuple(names) for names in (self.accounts, self.projects))
        return Grant(f"key {self.name}", tuple(self.roles), accounts, projects)

    def limits(self) -> Limits:
        """How fast it may call DeepSeek through the gateway."""
        return Limits(self.calls_per_minute, self.calls_at_once)

    def as_dict(self, now: datetime) -> dict[str, object]:
        """The key as lists show it."""
        instants = {name: getattr(self, name) for name in ("created_at", "expires_at", "revoked_at")}
        return {
            "key_id": self.key_id,
            "name": self.name,
            "roles": self.roles,
            "accounts": self.accounts,
            "projects": self.projects,
            **self.limits()._asdict(),
            **{name: at and format_instant(at) for name, at in instants.items()},
            "active": self.is_active(now),
        }


_COLUMNS = tuple(getattr(KeyRow, name) for name in ApiKey._fields)


def add(connection: Connection, key: ApiKey) -> None:
    connection.execute(insert(KeyRow), key._asdict())


def get(connection: Connection, key_id: str) -> ApiKey | None:
    row = connection.execute(select(*_COLUMNS).where(KeyRow.key_id == key_id)).one_or_none()
    return ApiKey(*row) if row else None


def named(connection: Connection, name: str) -> list[ApiKey]:
    """The keys that have this name or this id, oldest first."""
    query = select(*_COLUMNS).where((KeyRow.name == name) | (KeyRow.key_id == name))
    return [ApiKey(*row) for row in connection.execute(query.order_by(KeyRow.created_at, KeyRow.key_id))]


def listed(connection: Connection) -> list[ApiKey]:
    """All keys, by name."""
    query = select(*_COLUMNS).order_by(KeyRow.name, KeyRow.created_at, KeyRow.key_id)
    return [ApiKey(*row) for row in connection.execute(query)]


def end(connection: Connection, key_id: str, *, expires_at: datetime | None, revoked_at: datetime | None) -> None:
    """Set when a key ends."""
    moved = {"expires_at": expires_at, "revoked_at": revoked_at}
    connection.execute(update(KeyRow).where(KeyRow.key_id == key_id).values(moved))


def limit(connection: Connection, key_id: str, limits: Limits) -> None:
    """Set how fast a key may call."""
    connection.execute(update(KeyRow).where(KeyRow.key_id == key_id).values(limits._asdict()))
