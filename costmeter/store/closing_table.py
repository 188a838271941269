"""The table of closings; it stands with the others in `tables`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.table import Name, Table


class ClosingRow(Table):
    """A month that was closed: who did it and when, the month's statement, and the manifest that seals both.

    `seq` is the closing's own number in the account's sequence; facts up to `last_seq` can be the month's.
    """

    __tablename__ = "closing"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    seq: Mapped[int]
    last_seq: Mapped[int]
    closed_at: Mapped[datetime]
    by_whom: Mapped[str] = mapped_column(Name)
    reason: Mapped[str | None]  # why it was closed though something stood against it
    blockers: Mapped[list[Any]]  # what stood against it
    statement: Mapped[str]
    manifest: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))  # of the manifest
    previous: Mapped[str | None] = mapped_column(String(64))  # that of the month before
