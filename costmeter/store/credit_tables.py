"""The tables of credits: balance that came in, what it has left, and what moved it besides charges."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.table import Name, Table, serves
from costmeter.store.types import ExactMoney


class CreditRow(Table):
    """Balance that was granted or topped up. `credit_id` is its place in the account's sequence."""

    __tablename__ = "credit"
    __table_args__ = (
        UniqueConstraint("account", "reference", name="credit_once_per_reference", info=serves("credit by reference")),
        CheckConstraint("amount > 0", name="credit_gives"),
        CheckConstraint("kind = 'granted' OR expires_at IS NULL", name="topped_up_never_expires"),
    )

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    credit_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    amount: Mapped[int] = mapped_column(ExactMoney)
    currency: Mapped[str] = mapped_column(String(3))
    effective_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    reference: Mapped[str | None] = mapped_column(Name)
    booked_at: Mapped[datetime]
    origin: Mapped[str] = mapped_column(String(16), server_default="credit")  # credit, opening or correction


class CorrectionRow(Table):
    """What the balance was put right by, by somebody who says why.

    Upwards it is a credit of that number; downwards it is owed, as overdraft is, and repaid by topped-up balance.
    """

    __tablename__ = "correction"
    __table_args__ = (CheckConstraint("amount <> 0", name="correction_moves_money"),)

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    amount: Mapped[int] = mapped_column(ExactMoney)
    effective_at: Mapped[datetime]
    reason: Mapped[str]
    by_whom: Mapped[str] = mapped_column(Name)
    booked_at: Mapped[datetime]


class CreditBalanceRow(Table):
    """A projection: what a credit has not given yet, and how much of that is posted as expired."""

    __tablename__ = "credit_balance"
    __table_args__ = (
        ForeignKeyConstraint(["account", "credit_id"], ["credit.account", "credit.credit_id"]),
        CheckConstraint("remaining >= 0 AND expired >= 0 AND expired <= remaining", name="credit_gives_what_it_has"),
    )

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    credit_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    remaining: Mapped[int] = mapped_column(ExactMoney)
    expired: Mapped[int] = mapped_column(ExactMoney)


class CreditVoidRow(Table):
    """A credit that was taken back, why and by whom. `seq` is the void's own place in the account's sequence."""

    __tablename__ = "credit_void"
    __table_args__ = (ForeignKeyConstraint(["account", "credit_id"], ["credit.account", "credit.credit_id"]),)

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    credit_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int]
    reason: Mapped[str]
    by_whom: Mapped[str] = mapped_column(Name)
    booked_at: Mapped[datetime]


class _Move:
    """What a repayment and an expiry say alike: what moved out of which credit, as of when."""

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    credit_id: Mapped[int]
    amount: Mapped[int] = mapped_column(ExactMoney)
    effective_at: Mapped[datetime]
    booked_at: Mapped[datetime]


class RepaymentRow(_Move, Table):
    """Overdraft paid off by a topped-up credit; negative where a folding again takes that back."""

    __tablename__ = "repayment"
    __table_args__ = (ForeignKeyConstraint(["account", "credit_id"], ["credit.account", "credit.credit_id"]),)


class ExpiryRow(_Move, Table):
    """What a grant still held when it expired; negative where that turned out to be less."""

    __tablename__ = "expiry"
    __table_args__ = (ForeignKeyConstraint(["account", "credit_id"], ["credit.account", "credit.credit_id"]),)
