"""Rollups: sums of an account's charges that its poster keeps, so that reports need not read the charges.

They are kept while the account's `rolled_up` equals its `version`; where it does not, reports read the charges, and
`rebuild` brings the rollups back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cache, lru_cache
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    type_coerce,
)

from costmeter.core.doubts import NEAR
from costmeter.core.events import UsageEvent, digest
from costmeter.core.periods import QUARTER_MICROS, from_micros, zone
from costmeter.store.bulk import Batch, among
from costmeter.store.events import of_one_event
from costmeter.store.tables import ChargeRow, DayRow, EntryRow, EventRow, MonthRow, QuarterRow
from costmeter.store.types import join_halves, split_halves, sum_halves

AMOUNTS = ("cost", "granted", "topped_up", "overdraft", "untracked", "cache_savings", "off_peak_savings")
TOKENS = ("cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens")
STATES: Mapping[str, ColumnElement[bool]] = {
    "unpriced": ChargeRow.status == "unpriced",
    "provisional": ChargeRow.status == "provisional",
    "clock_doubts": ChargeRow.flags.contains(NEAR, autoescape=True),
}
COUNTS = ("calls", *STATES, *TOKENS)  # what a row sums in one column; an amount takes two
SUMS = (*COUNTS, *AMOUNTS)
METER_COSTS = ("cost_cache_hit", "cost_cache_miss", "cost_output")  # what only days have besides
DAY_SUMS = (*SUMS, *METER_COSTS)
_PLAIN = frozenset(("calls", *STATES))
CHUNK = 10_000  # rows that are in memory at once
Table = type[QuarterRow] | type[DayRow] | type[MonthRow]
_GRAINS: Mapping[Table, str] = {QuarterRow: "quarter", DayRow: "day", MonthRow: "billing_month"}  # the finest first
TABLES = tuple(_GRAINS)


class Slot(NamedTuple):
    """Whose charges a row sums: of which billing month and grain, and of what; a missing text is empty."""

    billing_month: str
    at: int | str  # the quarter hour since 1970, the day as YYYY-MM-DD, or the billing month
    project: str
    api_key: str
    model: str
    band: str


class Rollup:
    """What charges of one account add to its rollups, summed by quarter hour."""

    def __init__(self) -> None:
        self._added: dict[Slot, list[tuple[int, ...]]] = {}

    def add(self, charge: Mapping[str, Any], event: UsageEvent, quarter: int) -> None:
        """Add one charge, a reversal included, of an event that was measured, which completed in a quarter hour."""
        slot = Slot(
            charge["billing_month"], quarter, event.project or "", event.api_key or "", event.model,
            charge["band"] or "",
        )  # fmt: skip
        status, sign, usage = charge["status"], charge["sign"], event.usage
        assert usage is not None
        near = sign if NEAR in (charge["flags"] or "") else 0
        added = (
            sign, sign if status == "unpriced" else 0, sign if status == "provisional" else 0, near,
            sign * usage[0], sign * usage[1], sign * usage[2], sign * usage[3],
            charge["cost"] or 0, charge["granted"], charge["topped_up"], charge["overdraft"], charge["untracked"],
            charge["cache_savings"], charge["off_peak_savings"],
            charge["cost_cache_hit"] or 0, charge["cost_cache_miss"] or 0, charge["cost_output"] or 0,
        )  # fmt: skip
        self._added.setdefault(slot, []).append(added)  # column by column they are summed in compiled code

    def write(self, batch: Batch, account: str, timezone: str) -> None:
        """Put into the batch what was added, in every grain."""
        quarters = {slot: [*map(sum, zip(*added, strict=True))] for slot, added in self._added.items()}
        days = by_day(quarters, timezone)
        batch.add_up(QuarterRow, _rows(account, quarters, QuarterRow))
        batch.add_up(DayRow, _rows(account, days, DayRow))
        batch.add_up(MonthRow, _rows(account, by_month(days), MonthRow))
        self._added = {}


def by_day(quarters: Mapping[Slot, Sequence[int]], timezone: str) -> dict[Slot, list[int]]:
    """The sums of quarter hours as those of days of a time zone."""
    days: dict[Slot, list[int]] = {}
    for slot, sums in quarters.items():
        add_to_day(days, slot, sums, timezone)
    return days


def add_to_day(days: dict[Slot, list[int]], slot: Slot, sums: Sequence[int], timezone: str) -> None:
    """Add the sums of a quarter hour to those of its day."""
    _add(days, slot._replace(at=day_of(int(slot.at), timezone).isoformat()), sums)


def by_month(days: Mapping[Slot, Sequence[int]]) -> dict[Slot, list[int]]:
    """The sums of days as those of their billing months."""
    months: dict[Slot, list[int]] = {}
    for slot, sums in days.items():
        _add(months, slot._replace(at=slot.billing_month), sums)
    return months


def _add(found: dict[Slot, list[int]], slot: Slot, sums: Sequence[int]) -> None:
    before = found.get(slot)
    found[slot] = list(sums) if before is None else [a + b for a, b in zip(before, sums, strict=True)]


def rebuild(connection: Connection, account: str, timezone: str) -> None:
    """Sum an account's charges anew, one billing month after the other; the account must be locked.

    Quarter hours are written as they come: of a month of many projects there are millions.
    """
    for table in TABLES:
        connection.execute(delete(table).where(table.account == account))
    for month in months(connection, account):
        days: dict[Slot, list[int]] = {}
        summed = of_charges(connection, account, month)
        while quarters := dict(islice(summed, CHUNK)):
            for slot, sums in quarters.items():
                add_to_day(days, slot, sums, timezone)
            _write(connection, QuarterRow, _rows(account, quarters, QuarterRow))
        _write(connection, DayRow, _rows(account, days, DayRow))
        _write(connection, MonthRow, _rows(account, by_month(days), MonthRow))


def _write(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    batch = Batch(connection)
    batch.add(table, rows)
    batch.write()


def months(connection: Connection, account: str) -> list[str]:
    """The billing months that an account's charges were booked in."""
    booked = (EntryRow.account == account, EntryRow.kind.in_(("charges", "fold")))
    return list(connection.scalars(select(EntryRow.billing_month).where(*booked).distinct().order_by("billing_month")))


def of_charges(connection: Connection, account: str, month: str) -> Iterator[tuple[Slot, list[int]]]:
    """DAY_SUMS of each quarter hour of a billing month, by the charges themselves; in order of time."""
    asked = {"of_account": account, "in_month": month}
    rows = connection.execute(_of_charges(connection.dialect.name), asked, execution_options={"yield_per": CHUNK})
    for row in rows:
        yield Slot(month, int(row[0]), *(text or "" for text in row[1:5])), exact_sums(row[5:], DAY_SUMS)


@cache
def _of_charges(dialect: str) -> Select[*tuple[Any, ...]]:
    """Made once, as it takes longer to make than to run for a small account."""
    keys = (quarter(dialect), EventRow.project, EventRow.api_key, EventRow.model, ChargeRow.band)
    named: list[ColumnElement[Any]] = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    return (
        select(*named, *charge_sums(DAY_SUMS))
        .join(EventRow, of_one_event(ChargeRow, EventRow))
        .where(ChargeRow.account == bindparam("of_account"), ChargeRow.billing_month == bindparam("in_month"))
        .group_by(*named)
        .order_by(named[0])
    )


def charge_sums(sums: Sequence[str]) -> list[ColumnElement[int]]:
    """What `exact_sums` makes some of DAY_SUMS of, in their order, for charges joined with their events."""
    return [column for name in sums for column in _sum_of_charges(name)]


def _sum_of_charges(name: str) -> Sequence[ColumnElement[int]]:
    if name == "calls":
        return (func.sum(ChargeRow.sign),)
    if name in STATES:
        return (func.sum(case((STATES[name], ChargeRow.sign), else_=0)),)
    return sum_halves(getattr(EventRow, name) * ChargeRow.sign if name in TOKENS else getattr(ChargeRow, name))


def rollup_sums(table: Table, sums: Sequence[str]) -> list[ColumnElement[int]]:
    """The same for rows of a rollup."""
    return [column for name in sums for column in _sum_of_rows(table, name)]


def _sum_of_rows(table: Table, name: str) -> Sequence[ColumnElement[int]]:
    if name in _PLAIN:
        return (func.sum(getattr(table, name)),)
    if name in TOKENS:
        return sum_halves(getattr(table, name))
    return [func.sum(getattr(table, f"{name}_{half}")) for half in ("high", "low")]


def exact_sums(row: Sequence[Any], sums: Sequence[str]) -> list[int]:
    """The sums of a row that has counts of calls as they are, and tokens and amounts in halves."""
    plain = len(_PLAIN.intersection(sums))
    halves = [join_halves(*row[first : first + 2]) for first in range(plain, len(row), 2)]
    return [*(int(count or 0) for count in row[:plain]), *halves]


def kept(connection: Connection, table: Table, account: str, month: str) -> Iterator[tuple[Slot, list[int | None]]]:
    """The rollup of a billing month as it is kept, in order of time; None is what a row does not have."""
    keys = len(Slot._fields) - 1
    first = keys + len(COUNTS)
    asked = {"of_account": account, "in_month": month}
    for row in connection.execute(_kept(table), asked, execution_options={"yield_per": CHUNK}):
        amounts = (_joined(*row[half : half + 2]) for half in range(first, len(row), 2))
        yield Slot(month, *row[:keys]), [*row[keys:first], *amounts]


def _joined(high: int | None, low: int | None) -> int | None:
    return None if high is None else join_halves(high, low)


@cache
def _kept(table: Table) -> Select[*tuple[Any, ...]]:
    keys = (getattr(table, grain(table)), table.project, table.api_key, table.model, table.band)
    halves = [getattr(table, f"{name}_{half}") for name in sums_of(table)[len(COUNTS) :] for half in ("high", "low")]
    query = select(*keys, *(getattr(table, name) for name in COUNTS), *halves)
    return query.where(table.account == bindparam("of_account"), table.billing_month == bindparam("in_month")).order_by(
        keys[0]
    )


def sums_of(table: Table) -> Sequence[str]:
    """What a row of this table sums."""
    return DAY_SUMS if table is DayRow else SUMS


def grain(table: Table) -> str:
    """The column that says of which time a row of this table is."""
    return _GRAINS[table]


def quarter(dialect: str, at: Any = ChargeRow.completed_at) -> ColumnElement[int]:
    """The quarter hour of an instant, by default a charge's completion, counted since 1970."""
    if dialect == "postgresql":
        return func.floor(func.extract("epoch", at) / (QUARTER_MICROS // 1_000_000), type_=BigInteger)
    micros, size = type_coerce(at, BigInteger), literal(QUARTER_MICROS, BigInteger)
    past = micros.op("%")(size)
    return (micros - past - case((past < 0, size), else_=0)).op("/", precedence=8)(size)  # SQLite divides towards zero


def last_days(connection: Connection, names: Collection[str], since: datetime) -> dict[str, str]:
    """The newest day, not before that of an instant, on which calls came by API keys of these names, by name."""
    if not names:
        return {}
    query = select(DayRow.api_key, func.max(DayRow.day)).group_by(DayRow.api_key)
    query = query.where(DayRow.billing_month >= f"{since:%Y-%m}", DayRow.day >= f"{since:%Y-%m-%d}")
    query = query.where(among(connection, DayRow.api_key, names), DayRow.calls > 0)
    return {name: day for name, day in connection.execute(query)}  # noqa: C416  a row is no pair for dict()


def _rows(account: str, sums: Mapping[Slot, Sequence[int]], table: Table) -> Iterator[dict[str, Any]]:
    amounts = sums_of(table)[len(COUNTS) :]
    for slot, values in sums.items():
        month, at, *texts = slot
        row = {"account": account, "billing_month": month, grain(table): at, "slot": _slot_key(*texts)}
        row |= zip(("project", "api_key", "model", "band"), texts, strict=True)
        row |= zip(COUNTS, values, strict=False)
        for name, amount in zip(amounts, values[len(COUNTS) :], strict=False):  # only days have them all
            row[f"{name}_high"], row[f"{name}_low"] = split_halves(amount)
        yield row


@lru_cache(maxsize=4096)
def _slot_key(*texts: str) -> bytes:
    return digest(texts)


@lru_cache(maxsize=4096)
def day_of(quarter: int, timezone: str) -> date:
    """The day of a time zone that a quarter hour is of."""
    return from_micros(quarter * QUARTER_MICROS).astimezone(zone(timezone)).date()
