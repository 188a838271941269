"""Tables of who may do what, and of who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.table import Name, Table
from costmeter.store.types import Json


class KeyRow(Table):
    """One API key: never its secret, only the digest of it. All accounts share the table."""

    __tablename__ = "api_key"

    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Name)
    roles: Mapped[list[str]] = mapped_column(Json)
    accounts: Mapped[list[str] | None] = mapped_column(Json)
    projects: Mapped[list[str] | None] = mapped_column(Json)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    calls_per_minute: Mapped[int | None]
    calls_at_once: Mapped[int | None]


class AuditRow(Table):
    """Somebody changed money, a price or a key: who, when, what and why. The account is empty where none is meant."""

    __tablename__ = "audit_entry"

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    entry: Mapped[bytes] = mapped_column(primary_key=True)  # in order of time
    at: Mapped[datetime]
    by_whom: Mapped[str] = mapped_column(Name)
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(Name)
    change: Mapped[dict[str, Any]]
    reason: Mapped[str | None]
