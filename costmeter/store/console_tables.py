"""The tables of what DeepSeek's own books say: balances as observed, and usage as its console exported it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.table import Name, Table, serves
from costmeter.store.types import ExactMoney, ExactTotal


class ObservationRow(Table):
    """What GET /user/balance said, beside what the ledger expected then, and what became of the difference."""

    __tablename__ = "balance_observation"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    observed_at: Mapped[datetime]
    currency: Mapped[str] = mapped_column(String(3))
    granted: Mapped[int] = mapped_column(ExactTotal)
    topped_up: Mapped[int] = mapped_column(ExactTotal)
    total: Mapped[int] = mapped_column(ExactTotal)
    body: Mapped[dict[str, Any]]  # the known fields of the answer, as they were printed
    expected_at: Mapped[datetime]  # the instant, within the observation, as of which the ledger was compared
    expected_granted: Mapped[int] = mapped_column(ExactTotal)
    expected_topped_up: Mapped[int] = mapped_column(ExactTotal)
    version_before: Mapped[int]  # of the account: facts were posted meanwhile where the two differ
    version: Mapped[int]
    unposted: Mapped[int] = mapped_column(Integer)
    findings: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16))  # agreed, open or explained
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None] = mapped_column(Name)
    reason: Mapped[str | None]


class ImportRow(Table):
    """A file of the console that rows were taken from."""

    __tablename__ = "console_import"

    account: Mapped[str] = mapped_column(ForeignKey("account.account"), primary_key=True)
    import_id: Mapped[bytes] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    sha256: Mapped[str] = mapped_column(String(64))
    imported_at: Mapped[datetime]
    imported_by: Mapped[str] = mapped_column(Name)


class ImportVoidRow(Table):
    """An import that was taken back, why and by whom: its rows count no more."""

    __tablename__ = "import_void"
    __table_args__ = (
        ForeignKeyConstraint(["account", "import_id"], ["console_import.account", "console_import.import_id"]),
    )

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    import_id: Mapped[bytes] = mapped_column(primary_key=True)
    voided_at: Mapped[datetime]
    by_whom: Mapped[str] = mapped_column(Name)
    reason: Mapped[str]


class ImportedUsageRow(Table):
    """What one key used of one meter at one price in an interval: history, no single calls."""

    __tablename__ = "imported_usage"
    __table_args__ = (
        ForeignKeyConstraint(["account", "import_id"], ["console_import.account", "console_import.import_id"]),
        CheckConstraint("amount >= 0", name="imported_usage_is_used"),
        Index("imported_usage_by_start", "account", "starts_at", info=serves("statement of a month, import")),
        Index("imported_usage_by_slot", "account", "slot", info=serves("import: what is there already")),
    )

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    import_id: Mapped[bytes] = mapped_column(primary_key=True)
    slot: Mapped[bytes] = mapped_column(primary_key=True)  # a digest of all but the amount
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    model: Mapped[str] = mapped_column(Name)
    api_key: Mapped[str] = mapped_column(Name)  # by name
    key_fingerprint: Mapped[str] = mapped_column(String(16))  # of the key as the file masks it
    meter: Mapped[str] = mapped_column(String(32))
    price: Mapped[int | None] = mapped_column(ExactMoney)  # of one token; requests have none
    amount: Mapped[int]


class ImportedCostRow(Table):
    """What one model cost from one wallet in an interval."""

    __tablename__ = "imported_cost"
    __table_args__ = (
        ForeignKeyConstraint(["account", "import_id"], ["console_import.account", "console_import.import_id"]),
        CheckConstraint("cost >= 0", name="imported_cost_is_paid"),
        Index("imported_cost_by_start", "account", "starts_at", info=serves("statement of a month, import")),
        Index("imported_cost_by_slot", "account", "slot", info=serves("import: what is there already")),
    )

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    import_id: Mapped[bytes] = mapped_column(primary_key=True)
    slot: Mapped[bytes] = mapped_column(primary_key=True)  # a digest of all but the cost
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    model: Mapped[str] = mapped_column(Name)
    wallet: Mapped[str] = mapped_column(String(16))  # granted or topped_up
    currency: Mapped[str] = mapped_column(String(3))
    cost: Mapped[int] = mapped_column(ExactMoney)
