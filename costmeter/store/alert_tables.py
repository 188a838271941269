"""The tables of alerts and of telling them; they stand with the others in `tables`.

Their account is empty where an alert is of the installation and not of one account.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.table import Name, Table, serves
from costmeter.store.types import Json


class AlertRow(Table):
    """A rule's threshold was crossed in a period: one row, however many processes see it, so that it is told once."""

    __tablename__ = "alert"

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    rule: Mapped[str] = mapped_column(String(64), primary_key=True)  # "budget 3", or what is watched: "low_balance"
    period: Mapped[str] = mapped_column(String(32), primary_key=True)  # its start; of what is watched: which time it is
    threshold: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    raised_at: Mapped[datetime]
    recovered_at: Mapped[datetime | None]
    facts: Mapped[dict[str, Any]]


_STANDING = text("recovered_at IS NULL")
Index(
    "alert_standing",
    AlertRow.account,
    AlertRow.kind,
    postgresql_where=_STANDING,
    sqlite_where=_STANDING,
    info=serves("what of the watch stands"),
)


class NoticeRow(Table):
    """Something to be told: written with what it tells of, told after the commit."""

    __tablename__ = "notice"

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    notice_id: Mapped[bytes] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))  # that of its alert, digest or test
    event: Mapped[str] = mapped_column(String(16))  # raised, recovered, digest or test
    subject: Mapped[str] = mapped_column(Name)  # a digest's or test's: said once
    facts: Mapped[dict[str, Any]]
    channels: Mapped[list[str] | None] = mapped_column(Json)  # who is told: all where none is named
    created_at: Mapped[datetime]
    routed_at: Mapped[datetime | None]  # when it was decided which channels tell it
    message: Mapped[dict[str, Any] | None]  # what they tell, the same however often


NOTICE_UNROUTED = text("routed_at IS NULL")
Index(
    "notice_unrouted",
    NoticeRow.account,
    NoticeRow.created_at,
    postgresql_where=NOTICE_UNROUTED,
    sqlite_where=NOTICE_UNROUTED,
    info=serves("what is not on its way yet"),
)


class DeliveryRow(Table):
    """A notice on its way through a channel: tried until it is accepted, or given up."""

    __tablename__ = "notice_delivery"
    __table_args__ = (ForeignKeyConstraint(["account", "notice_id"], ["notice.account", "notice.notice_id"]),)

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    notice_id: Mapped[bytes] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))  # waiting, accepted or given_up
    attempts: Mapped[int] = mapped_column(Integer)
    due_at: Mapped[datetime]  # of what waits: when it is tried next; while it is tried, when it is taken for lost
    error: Mapped[str | None]  # of the last attempt
    ended_at: Mapped[datetime | None]


DELIVERY_WAITS = text("state = 'waiting'")
Index(
    "notice_delivery_due",
    DeliveryRow.account,
    DeliveryRow.due_at,
    postgresql_where=DELIVERY_WAITS,
    sqlite_where=DELIVERY_WAITS,
    info=serves("what is to be tried now"),
)
