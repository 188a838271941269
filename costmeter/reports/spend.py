"""The spend report: what was charged, by any dimensions, with everything that is in doubt beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, case, func, literal, select, type_coerce
from sqlalchemy.orm import aliased

from costmeter.core.doubts import NEAR
from costmeter.core.errors import InputError
from costmeter.core.events import FAILED, UNMETERED
from costmeter.core.money import format_amount
from costmeter.core.periods import Period, format_instant, from_micros, zone
from costmeter.reports.clock_doubts import movable_amount
from costmeter.store import quarantine
from costmeter.store.accounts import Account
from costmeter.store.events import of_one_event
from costmeter.store.scope import Scope, dimension
from costmeter.store.tables import ChargeRow, EventRow, PendingRow
from costmeter.store.types import join_halves, sum_halves

if TYPE_CHECKING:
    import pandas as pd

DIMENSIONS = ("account", "project", "user", "api_key", "model", "band", "day", "hour")
DEFAULT_BY = ("project", "model")
AMOUNTS = ("cost", "granted", "topped_up", "overdraft", "untracked", "cache_savings", "off_peak_savings")
TOKENS = ("cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens")
# As the contract lists them: counts, money, tokens, savings.
MEASURES = (
    "calls",
    "cost",
    "granted",
    "topped_up",
    "overdraft",
    "untracked",
    *TOKENS,
    "cache_savings",
    "off_peak_savings",
)
DOUBTS = ("failed", "unmetered", "unpriced", "provisional", "quarantined", "unposted")
CLOCK_DOUBTS = ("clock_doubts", "clock_doubt_amount")  # calls near an edge, and the money that could move over it
MONEY = frozenset((*AMOUNTS, "clock_doubt_amount"))
QUARTER = 900  # seconds; every time zone's hours and days begin at one
_STATES: Mapping[str, ColumnElement[bool]] = {
    "unpriced": ChargeRow.status == "unpriced",
    "provisional": ChargeRow.status == "provisional",
    "clock_doubts": ChargeRow.flags.contains(NEAR, autoescape=True),
}


@dataclass(frozen=True, slots=True)
class SpendReport:
    """Rows by dimension as a frame of exact Python integers (amounts in units of 10^-12), and their totals."""

    interval: Period
    timezone: str
    currency: str | None
    by: tuple[str, ...]
    rows: pd.DataFrame
    totals: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """The shape of `costmeter report --json`."""
        assert self.interval.start is not None
        assert self.interval.end is not None
        return {
            "from": format_instant(self.interval.start),
            "to": format_instant(self.interval.end),
            "timezone": self.timezone,
            "currency": self.currency,
            "by": list(self.by),
            "rows": [_shown(row) for row in self._contracted().to_dict("records")],
            "totals": _shown(self.totals),
        }

    def to_csv(self, out: TextIO) -> None:
        """The rows as RFC 4180 CSV, amounts exact."""
        frame = self._contracted().copy()
        for name in AMOUNTS:
            frame[name] = [format_amount(units) for units in frame[name]]
        frame.to_csv(out, index=False, lineterminator="\r\n")

    def _contracted(self) -> pd.DataFrame:
        """The rows as others see them: how many calls of a row are unpriced is for people's tables only."""
        return self.rows.drop(columns="unpriced")


def spend_report(
    connection: Connection, scope: Scope, *, by: Sequence[str] = DEFAULT_BY, timezone: str | None = None
) -> SpendReport:
    """What the charges in scope come to, grouped by `by`; days and hours are those of `timezone`.

    Every sum is exact. Without a time zone it is the one the accounts in scope share, else UTC.
    """
    check_dimensions(by)
    in_scope = scope.accounts(connection)
    zones = {account.timezone for account in in_scope}
    shared = next(iter(zones)) if len(zones) == 1 else "UTC"
    shown_zone = timezone or shared
    zone(shown_zone)
    frame = _frame(connection, scope, [account.account for account in in_scope], by)
    frame = _in_zone(frame, by, shown_zone)
    rows = frame.groupby(list(by), dropna=False, sort=False).agg("sum").reset_index() if by else frame
    rows = rows.sort_values(list(by), key=lambda column: column.astype(str)) if by else rows
    totals = {name: sum(frame[name].tolist()) for name in (*MEASURES, *_STATES)}
    totals["clock_doubt_amount"] = movable_amount(connection, scope, in_scope) if totals["clock_doubts"] else 0
    totals |= _doubts(connection, scope, in_scope)
    currencies = {account.currency for account in in_scope}
    return SpendReport(
        interval=scope.interval(in_scope[0] if len(zones) == 1 else None),
        timezone=shown_zone,
        currency=scope.currency or (next(iter(currencies)) if currencies else None),
        by=tuple(by),
        rows=rows[[*by, *MEASURES, "unpriced"]].reset_index(drop=True),
        totals={name: totals[name] for name in (*MEASURES, *DOUBTS, *CLOCK_DOUBTS)},
    )


def check_dimensions(by: Sequence[str]) -> None:
    for name in by:
        if name not in DIMENSIONS and not (name.startswith("tag:") and len(name) > 4):
            raise InputError("by", name, f"use any of {', '.join(DIMENSIONS)}, tag:NAME")
    if len(set(by)) != len(by):
        raise InputError("by", ",".join(by), "names a dimension twice")


def _frame(connection: Connection, scope: Scope, names: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """One row a group, days and hours still as quarter hours, exact integers in object columns."""
    keys = {name: _quarter(connection) if name in ("day", "hour") else dimension(name) for name in by}
    groups = [column.label(f"by_{position}") for position, column in enumerate(keys.values())]
    sums = [half for name in AMOUNTS for half in sum_halves(getattr(ChargeRow, name))]
    sums += [half for name in TOKENS for half in sum_halves(getattr(EventRow, name) * ChargeRow.sign)]
    states = [func.sum(case((state, ChargeRow.sign), else_=0)) for state in _STATES.values()]
    query = (
        select(*groups, func.sum(ChargeRow.sign), *states, *sums)
        .join(EventRow, of_one_event(ChargeRow, EventRow))
        .where(*scope.charges(names))
    )
    if groups:
        query = query.group_by(*groups)
    records = []
    for row in connection.execute(query):
        values = list(row)
        record = dict(zip(by, values[: len(by)], strict=True))
        counts, halves = values[len(by) :][: len(_STATES) + 1], values[len(by) + len(_STATES) + 1 :]
        record |= {name: int(value or 0) for name, value in zip(("calls", *_STATES), counts, strict=True)}
        for position, name in enumerate((*AMOUNTS, *TOKENS)):
            record[name] = join_halves(*halves[2 * position : 2 * position + 2])
        records.append(record)
    columns = [*by, "calls", *_STATES, *AMOUNTS, *TOKENS]
    import pandas as pd  # a second of start that only reports should pay

    return pd.DataFrame(records, columns=columns, dtype=object)


def _quarter(connection: Connection) -> ColumnElement[int]:
    """The quarter hour of a completion, counted since 1970."""
    at = ChargeRow.completed_at
    if connection.dialect.name == "postgresql":
        return func.floor(func.extract("epoch", at) / QUARTER, type_=BigInteger)
    return type_coerce(at, BigInteger).op("/")(literal(QUARTER * 1_000_000, BigInteger))


def _in_zone(frame: pd.DataFrame, by: Sequence[str], timezone: str) -> pd.DataFrame:
    """Quarter hours as days and hours of a time zone."""
    tz = zone(timezone)
    for name in by:
        if name in ("day", "hour"):
            instants = [from_micros(int(q) * QUARTER * 1_000_000).astimezone(tz) for q in frame[name]]
            frame[name] = [_hour(i) if name == "hour" else f"{i:%Y-%m-%d}" for i in instants]
    return frame


def _hour(local: datetime) -> str:
    """The start of an instant's hour, as RFC 3339 with the offset of its zone."""
    return local.replace(minute=0, second=0).isoformat().replace("+00:00", "Z")


def _doubts(connection: Connection, scope: Scope, in_scope: Sequence[Account]) -> dict[str, int]:
    """What is in scope and not in the money: calls without usage, in quarantine, or not posted yet."""
    found = dict.fromkeys((FAILED, UNMETERED, "unposted"), 0)
    for account in in_scope:
        conditions = scope.events(account)
        later = aliased(EventRow)
        superseded = and_(later.account == EventRow.account, later.supersedes == EventRow.event_key)
        superseded = and_(superseded, later.supersedes_at == EventRow.completed_at)
        statuses = (
            select(EventRow.status, func.count())
            .where(*conditions, EventRow.status.in_((FAILED, UNMETERED)), ~select(later).where(superseded).exists())
            .group_by(EventRow.status)
        )
        for status, count in connection.execute(statuses):
            found[status] += count
        waits = of_one_event(EventRow, PendingRow)
        found["unposted"] += (
            connection.scalar(select(func.count()).select_from(EventRow).join(PendingRow, waits).where(*conditions))
            or 0
        )
    names = [account.account for account in in_scope]
    return {**found, "quarantined": quarantine.count(connection, *scope.quarantine(names))}


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as JSON has it: amounts as exact decimal strings, a missing dimension as null."""
    return {k: format_amount(v) if k in MONEY else None if v is None or v != v else v for k, v in row.items()}
