"""The tables of budgets and of what they hold back; they stand with the others in `tables`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.table import Name, Table, serves
from costmeter.store.types import ExactTotal, Json


class BudgetRow(Table):
    """A limit on what calls of an account may cost, or on their tokens, in each period. Changed by another one."""

    __tablename__ = "budget"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    filters: Mapped[dict[str, Any]]  # which calls it counts: attribution by its name, tags as tag:NAME; all where empty
    per: Mapped[str] = mapped_column(String(16))  # day, week, month, quarter, year, all, or such as 14d and 5h
    timezone: Mapped[str] = mapped_column(String(64))
    unit: Mapped[str] = mapped_column(String(8))  # the account's currency, or tokens
    amount: Mapped[int] = mapped_column(ExactTotal)
    thresholds: Mapped[list[Any]]
    stops: Mapped[bool]  # whether what it does not cover is refused, or only told of
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    channels: Mapped[list[str] | None] = mapped_column(Json)  # who is told: all where none is named
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(Name)
    removed_at: Mapped[datetime | None]
    removed_by: Mapped[str | None] = mapped_column(Name)


_IN_FORCE = text("removed_at IS NULL")
Index(
    "budget_by_name",
    BudgetRow.account,
    BudgetRow.name,
    unique=True,
    postgresql_where=_IN_FORCE,
    sqlite_where=_IN_FORCE,
    info=serves("one budget in force of a name"),
)


class BudgetPeriodRow(Table):
    """What a budget has spent and reserved in one period: a projection of charges and open reservations.

    `room` is what is left without the reservations, within 64 bits, so that one statement can compare and reserve.
    """

    __tablename__ = "budget_period"
    __table_args__ = (
        ForeignKeyConstraint(["account", "number"], ["budget.account", "budget.number"]),
        CheckConstraint("reserved >= 0", name="budget_period_reserves"),
    )

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(primary_key=True)  # before the number: posting reads the present ones
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    spent: Mapped[int] = mapped_column(ExactTotal)
    room: Mapped[int]
    reserved: Mapped[int]


class ReservationRow(Table):
    """What somebody may spend until it expires; of which budgets and periods it is held back."""

    __tablename__ = "reservation"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    reservation_id: Mapped[bytes] = mapped_column(primary_key=True)
    identity: Mapped[bytes | None]  # of the call that it is for, by its event id: its charge settles it
    owner: Mapped[str] = mapped_column(Name)
    cost: Mapped[int]
    tokens: Mapped[int]
    parts: Mapped[list[Any]]  # [budget's number, period's start, amount]
    state: Mapped[str] = mapped_column(String(16))  # open, settled, released or expired
    reserved_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


_OPEN, _STANDING = text("state = 'open'"), text("state IN ('open', 'settled')")
Index(
    "reservation_by_call",
    ReservationRow.account,
    ReservationRow.identity,
    unique=True,
    postgresql_where=_STANDING,
    sqlite_where=_STANDING,
    info=serves("one reservation of a call, and settling those of calls that are posted"),
)
Index(
    "reservation_by_expiry",
    ReservationRow.account,
    ReservationRow.expires_at,
    postgresql_where=_OPEN,
    sqlite_where=_OPEN,
    info=serves("ending the reservations that have expired"),
)
