"""The table of what is detached; it stands with the others in `tables`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.table import Table
from costmeter.store.types import ExactTotal


class DetachedRow(Table):
    """A month of an account's calls that was detached, and what the books need to know of it meanwhile.

    The month is one of UTC, as partitions are. The row is made when the month is detached and goes when it is attached.
    """

    __tablename__ = "detached_month"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    detached_at: Mapped[datetime]
    first_at: Mapped[datetime]  # the first and the last completion of its calls
    last_at: Mapped[datetime]
    first_billed: Mapped[str | None] = mapped_column(String(7))  # the billing months of its charges; none: no charges
    last_billed: Mapped[str | None] = mapped_column(String(7))
    booked_until: Mapped[datetime | None]
    overdraft: Mapped[int] = mapped_column(ExactTotal)
    given: Mapped[dict[str, Any]]  # what each credit gave for its calls
    state: Mapped[dict[str, Any]]  # the account's checkpoint at that time: no replay can begin before it
