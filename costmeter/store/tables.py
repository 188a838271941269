"""Every table. The migrations make the schema; a test holds these models equal to it.

Every primary, unique and foreign key begins with the account, so that PostgreSQL can be sharded by account; only what
all accounts share has none: the price editions, the API keys and the scheduler's tables. On PostgreSQL usage_event,
charge and deduction are partitioned by completion; their keys therefore carry it.
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
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.access_tables import AuditRow as AuditRow
from costmeter.store.access_tables import KeyRow as KeyRow
from costmeter.store.alert_tables import AlertRow as AlertRow
from costmeter.store.alert_tables import DeliveryRow as DeliveryRow
from costmeter.store.alert_tables import NoticeRow as NoticeRow
from costmeter.store.budget_tables import BudgetPeriodRow as BudgetPeriodRow
from costmeter.store.budget_tables import BudgetRow as BudgetRow
from costmeter.store.budget_tables import ReservationRow as ReservationRow
from costmeter.store.closing_table import ClosingRow as ClosingRow
from costmeter.store.console_tables import ImportedCostRow as ImportedCostRow
from costmeter.store.console_tables import ImportedUsageRow as ImportedUsageRow
from costmeter.store.console_tables import ImportRow as ImportRow
from costmeter.store.console_tables import ImportVoidRow as ImportVoidRow
from costmeter.store.console_tables import ObservationRow as ObservationRow
from costmeter.store.credit_tables import CorrectionRow as CorrectionRow
from costmeter.store.credit_tables import CreditBalanceRow as CreditBalanceRow
from costmeter.store.credit_tables import CreditRow as CreditRow
from costmeter.store.credit_tables import CreditVoidRow as CreditVoidRow
from costmeter.store.credit_tables import ExpiryRow as ExpiryRow
from costmeter.store.credit_tables import RepaymentRow as RepaymentRow
from costmeter.store.detached_table import DetachedRow as DetachedRow
from costmeter.store.rollup_tables import DayRow as DayRow
from costmeter.store.rollup_tables import MonthRow as MonthRow
from costmeter.store.rollup_tables import QuarterRow as QuarterRow
from costmeter.store.schedule_tables import LeaseRow as LeaseRow
from costmeter.store.schedule_tables import RunRow as RunRow
from costmeter.store.table import Name, serves
from costmeter.store.table import Table as Table
from costmeter.store.types import ExactMoney, ExactTotal, Key

PARTITIONED = ("usage_event", "charge", "deduction")
# Rows of these are never updated or deleted: the migrations forbid it by triggers.
ADDED_ONLY = (
    "identity", "usage_event", "price_edition", "charge", "deduction", "credit", "credit_void", "correction",
    "repayment", "expiry", "closing", "journal_entry", "journal_line", "account_freeze", "audit_entry",
    "console_import", "imported_usage", "imported_cost", "import_void",
)  # fmt: skip
IN_DOUBT = "status <> 'priced'"  # charges that are unpriced or provisional
_BY_COMPLETION = {"postgresql_partition_by": "RANGE (completed_at)"}


def _partial(name: str, column: str, where: str, query: str) -> Index:
    """An index of few of an account's rows."""
    condition = text(where)
    return Index(name, "account", column, postgresql_where=condition, sqlite_where=condition, info=serves(query))


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
    rolled_up: Mapped[int] = mapped_column(server_default="0")  # up to which version the rollups are kept
    budgets: Mapped[int] = mapped_column(server_default="0")  # changes with them; 0: it never had one
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
        _partial("usage_event_without_usage", "completed_at", "cache_hit_tokens IS NULL", "reports: failed, unmetered"),
        _partial("usage_event_that_replaced", "supersedes", "supersedes IS NOT NULL", "whether a call was measured"),
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
        _partial("charge_in_doubt", "billing_month", IN_DOUBT, "what stands against closing a month"),
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


class EntryRow(Table):
    """One balanced journal entry: the facts numbered `first_seq` to `seq` of its account."""

    __tablename__ = "journal_entry"
    __table_args__ = (Index("entry_by_month", "account", "billing_month", info=serves("statement of a month")),)

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    first_seq: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))  # charges, fold, credit, void, correction, repayment, expiry, close
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
    __table_args__ = (_partial("quarantine_open", "received_at", "state = 'open'", "what waits for somebody"),)

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
