"""Every table. The migrations make the schema; a test holds these models equal to it.

Every primary, unique and foreign key begins with the account, so that PostgreSQL can be sharded by account; only the
price editions, which all accounts share, have none. On PostgreSQL usage_event, charge and deduction are partitioned by
completion; their keys therefore carry it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.detached_table import DetachedRow as DetachedRow
from costmeter.store.table import Name, serves
from costmeter.store.table import Table as Table
from costmeter.store.types import ExactMoney, ExactTotal, Key

PARTITIONED = ("usage_event", "charge", "deduction")
# Rows of these are never updated or deleted: the migrations forbid it by triggers.
ADDED_ONLY = (
    "identity", "usage_event", "price_edition", "charge", "deduction", "credit", "credit_void", "repayment", "expiry",
    "journal_entry", "journal_line", "account_freeze",
)  # fmt: skip
_BY_COMPLETION = {"postgresql_partition_by": "RANGE (completed_at)"}


class AccountRow(Table):
    """One account. `version` is its lock and its gapless sequence; `overdraft` and `chain` are projections."""

    __tablename__ = "account"

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    currency: Mapped[str] = mapped_column(String(3))
    timezone: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    overdraft: Mapped[int] = mapped_column(ExactTotal)
    chain: Mapped[bytes] = mapped_column(Key)  # the digest of the newest journal entry
    created_at: Mapped[datetime]
    frozen_at: Mapped[datetime | None]  # a projection of `account_freeze`: since when nothing is posted


class IdentityRow(Table):
    """Every id that was ever recorded, and the event it stands for; kept for ever."""

    __tablename__ = "identity"

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    provider: Mapped[str] = mapped_column(String(32), primary_key=True)
    identity: Mapped[bytes] = mapped_column(primary_key=True)
    event_key: Mapped[bytes]
    completed_at: Mapped[datetime]


class EventRow(Table):
    """A usage event: one call, what it used and when it completed."""

    __tablename__ = "usage_event"
    __table_args__ = (
        Index("usage_event_by_completion", "account", "completed_at", info=serves("reports of calls without a charge")),
        _BY_COMPLETION,
    )

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    event_key: Mapped[bytes] = mapped_column(primary_key=True)
    completed_at: Mapped[datetime] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(Name)
    provider: Mapped[str] = mapped_column(String(32))
    project: Mapped[str | None] = mapped_column(Name)
    user_name: Mapped[str | None] = mapped_column(Name)  # `user` alone means something else in PostgreSQL
    api_key: Mapped[str | None] = mapped_column(Name)
    tags: Mapped[dict[str, Any]]
    model: Mapped[str] = mapped_column(Name)
    requested_model: Mapped[str | None] = mapped_column(Name)
    response_id: Mapped[str | None] = mapped_column(Name)
    operation_id: Mapped[str | None] = mapped_column(Name)
    status: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    cache_hit_tokens: Mapped[int | None]
    cache_miss_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    reasoning_tokens: Mapped[int | None]
    usage: Mapped[dict[str, Any] | None]
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    error_code: Mapped[str | None] = mapped_column(Name)
    reason: Mapped[str | None] = mapped_column(Name)
    detail: Mapped[dict[str, Any]]
    supersedes: Mapped[bytes | None]  # the unmetered event that this measured one replaces
    supersedes_at: Mapped[datetime | None]


class PendingRow(Table):
    """A measured call that is not posted yet; made with the event, removed with its charge."""

    __tablename__ = "pending"

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    event_key: Mapped[bytes] = mapped_column(primary_key=True)
    completed_at: Mapped[datetime]


class EditionRow(Table):
    """A price book as it was: its SHA-256 and its text."""

    __tablename__ = "price_edition"

    edition: Mapped[str] = mapped_column(String(64), primary_key=True)
    text: Mapped[str]
    stored_at: Mapped[datetime]


class ChargeRow(Table):
    """What one call cost and how it was paid. Rows add up: a reversal repeats a row with sign -1, amounts negated."""

    __tablename__ = "charge"
    __table_args__ = (
        CheckConstraint("cost = cost_cache_hit + cost_cache_miss + cost_output", name="charge_is_its_lines"),
        CheckConstraint("granted + topped_up + overdraft + untracked = coalesce(cost, 0)", name="charge_is_paid"),
        CheckConstraint("(status = 'unpriced') = (cost IS NULL)", name="unpriced_is_not_zero"),
        CheckConstraint("sign IN (1, -1)", name="charge_counts_once"),
        Index("charge_by_month", "account", "billing_month", info=serves("report and export of a month")),
        Index("charge_by_completion", "account", "completed_at", info=serves("report --from --to, folding again")),
        Index("charge_by_seq", "account", "seq", info=serves("verify of what is new")),
        _BY_COMPLETION,
    )

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    event_key: Mapped[bytes] = mapped_column(primary_key=True)
    completed_at: Mapped[datetime] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True)
    supersedes: Mapped[int | None] = mapped_column(Integer)  # the revision that this one reverses or replaces
    sign: Mapped[int] = mapped_column(SmallInteger)
    seq: Mapped[int]
    booked_at: Mapped[datetime]
    billing_month: Mapped[str] = mapped_column(String(7))
    adjusts: Mapped[str | None] = mapped_column(String(7))  # the closed month that this belongs to
    status: Mapped[str] = mapped_column(String(16))  # priced, provisional or unpriced
    currency: Mapped[str] = mapped_column(String(3))
    edition: Mapped[str] = mapped_column(String(64))
    tariff: Mapped[str | None] = mapped_column(Name)
    band: Mapped[str | None] = mapped_column(String(32))
    cost_cache_hit: Mapped[int | None] = mapped_column(ExactMoney)
    cost_cache_miss: Mapped[int | None] = mapped_column(ExactMoney)
    cost_output: Mapped[int | None] = mapped_column(ExactMoney)
    cost: Mapped[int | None] = mapped_column(ExactMoney)
    granted: Mapped[int] = mapped_column(ExactMoney)
    topped_up: Mapped[int] = mapped_column(ExactMoney)
    overdraft: Mapped[int] = mapped_column(ExactMoney)
    untracked: Mapped[int] = mapped_column(ExactMoney)
    cache_savings: Mapped[int] = mapped_column(ExactMoney)
    off_peak_savings: Mapped[int] = mapped_column(ExactMoney)
    flags: Mapped[str | None] = mapped_column(Name)  # what about the price is in doubt, separated by commas


class DeductionRow(Table):
    """What one credit gave for one charge."""

    __tablename__ = "deduction"
    __table_args__ = (
        Index("deduction_by_credit", "account", "credit_id", info=serves("balance: what each credit gave")),
        _BY_COMPLETION,
    )

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    event_key: Mapped[bytes] = mapped_column(primary_key=True)
    completed_at: Mapped[datetime] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True)  # the order in which credits were taken from
    credit_id: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    amount: Mapped[int] = mapped_column(ExactMoney)


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


class EntryRow(Table):
    """One balanced journal entry: the facts numbered `first_seq` to `seq` of its account."""

    __tablename__ = "journal_entry"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    first_seq: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))  # charges, fold, credit, void, repayment or expiry
    currency: Mapped[str] = mapped_column(String(3))
    billing_month: Mapped[str] = mapped_column(String(7))
    booked_at: Mapped[datetime]
    facts: Mapped[bytes] = mapped_column(Key)  # digest of the facts that the entry books
    chain: Mapped[bytes] = mapped_column(Key)  # digest of this entry and of the one before it


class LineRow(Table):
    """One line of a journal entry; the lines of an entry sum to zero."""

    __tablename__ = "journal_line"
    __table_args__ = (
        ForeignKeyConstraint(["account", "seq"], ["journal_entry.account", "journal_entry.seq"]),
        CheckConstraint("amount <> 0", name="line_moves_money"),
    )

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    journal_account: Mapped[str] = mapped_column(String(16), primary_key=True)
    amount: Mapped[int] = mapped_column(ExactMoney)


class PeriodRow(Table):
    """A month of an account's books; a month without a row is open."""

    __tablename__ = "period"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    last_seq: Mapped[int | None]
    changed_at: Mapped[datetime]


class FreezeRow(Table):
    """An account was frozen, or released to go on from a state of its ledger: who decided it, when and why."""

    __tablename__ = "account_freeze"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))  # frozen or released
    decided_at: Mapped[datetime]
    decided_by: Mapped[str] = mapped_column(Name)
    reason: Mapped[str]
    state: Mapped[dict[str, Any] | None]


class CheckpointRow(Table):
    """A projection: how far an account's ledger was verified, and its purse at that point."""

    __tablename__ = "checkpoint"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    seq: Mapped[int]
    state: Mapped[dict[str, Any]]
    verified_at: Mapped[datetime]


class QuarantineRow(Table):
    """What could not be used, and why: known fields only, or hash, size and place of a line that is no JSON."""

    __tablename__ = "quarantine"

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    item: Mapped[bytes] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # malformed, refused or conflict
    field: Mapped[str | None] = mapped_column(Name)
    error: Mapped[str]
    event_id: Mapped[str | None] = mapped_column(Name)
    completed_at: Mapped[datetime | None]
    billing_month: Mapped[str] = mapped_column(String(7))
    received_at: Mapped[datetime]
    body: Mapped[dict[str, Any]]
    dropped_fields: Mapped[int] = mapped_column(Integer)
    place: Mapped[str]
    state: Mapped[str] = mapped_column(String(16))  # open, replayed or discarded
    decided_at: Mapped[datetime | None]  # when it ceased to be open
    decided_by: Mapped[str | None] = mapped_column(Name)
    reason: Mapped[str | None]
