"""The tables of rollups: sums of charges, kept by the poster, that most reports are read from.

A row sums the charges of one billing month, project, key, model and band: of all the month, of a day of the account's
time zone, or of a quarter hour. It is a projection: it can be dropped and rebuilt from the charges, to the digit.
"""

from __future__ import annotations

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from costmeter.store.table import Name, Table, serves


class _Rollup:
    """What all grains have: whose charges, and their sums.

    `slot` is a digest of project, api_key, model and band, since these as they are can pass what an index takes; where
    a call names none of them they are empty. An amount is kept as its quotient and remainder by 10^9, each summed by
    itself: neither can pass 64 bits, however much a row sums.
    """

    account: Mapped[str] = mapped_column(String(64), primary_key=True, sort_order=-3)
    billing_month: Mapped[str] = mapped_column(String(7), primary_key=True, sort_order=-3)
    slot: Mapped[bytes] = mapped_column(primary_key=True, sort_order=-1)
    project: Mapped[str] = mapped_column(Name)
    api_key: Mapped[str] = mapped_column(Name)
    model: Mapped[str] = mapped_column(Name)
    band: Mapped[str] = mapped_column(String(32))
    calls: Mapped[int]
    unpriced: Mapped[int]
    provisional: Mapped[int]
    clock_doubts: Mapped[int]
    cache_hit_tokens: Mapped[int]
    cache_miss_tokens: Mapped[int]
    output_tokens: Mapped[int]
    reasoning_tokens: Mapped[int]
    cost_high: Mapped[int]
    cost_low: Mapped[int]
    granted_high: Mapped[int]
    granted_low: Mapped[int]
    topped_up_high: Mapped[int]
    topped_up_low: Mapped[int]
    overdraft_high: Mapped[int]
    overdraft_low: Mapped[int]
    untracked_high: Mapped[int]
    untracked_low: Mapped[int]
    cache_savings_high: Mapped[int]
    cache_savings_low: Mapped[int]
    off_peak_savings_high: Mapped[int]
    off_peak_savings_low: Mapped[int]


class QuarterRow(_Rollup, Table):
    """Charges of calls completed in one quarter hour, counted since 1970: they sum to the hours of any time zone."""

    __tablename__ = "rollup_quarter"

    quarter: Mapped[int] = mapped_column(primary_key=True, sort_order=-2)


class DayRow(_Rollup, Table):
    """Charges of calls completed on one day of the account's time zone, written YYYY-MM-DD.

    Days also have the cost of each token meter, which statements ask for. Where it is null the row was begun before
    migration 0013: what is added to it stays null, and until `costmeter db rebuild` the charges tell.
    """

    __tablename__ = "rollup_day"

    day: Mapped[str] = mapped_column(String(10), primary_key=True, sort_order=-2)
    cost_cache_hit_high: Mapped[int | None]
    cost_cache_hit_low: Mapped[int | None]
    cost_cache_miss_high: Mapped[int | None]
    cost_cache_miss_low: Mapped[int | None]
    cost_output_high: Mapped[int | None]
    cost_output_low: Mapped[int | None]


class MonthRow(_Rollup, Table):
    """All charges of one billing month: what a month is reported from, a row for each project and not for its days."""

    __tablename__ = "rollup_month"


UNPRICED = text("unpriced <> 0")
Index(
    "rollup_day_unpriced",
    DayRow.account,
    DayRow.day,
    postgresql_where=UNPRICED,
    sqlite_where=UNPRICED,
    info=serves("whether calls have no price"),
)
