"""The spend report: what was charged, by any dimensions, with everything that is in doubt beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from sqlalchemy import Connection

from costmeter.core.errors import InputError
from costmeter.core.money import format_amount
from costmeter.core.periods import Period, format_instant, zone
from costmeter.reports.clock_doubts import movable_amount
from costmeter.store.accounts import shared_zone
from costmeter.store.rollups import AMOUNTS, STATES, SUMS, TOKENS
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums
from costmeter.store.texts import guarded
from costmeter.store.uncounted import count_uncounted

if TYPE_CHECKING:
    import pandas as pd

DIMENSIONS = ("account", "project", "user", "api_key", "model", "band", "day", "hour")
DEFAULT_BY = ("project", "model")
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
            "rows": [row_shape(row) for row in self._contracted().to_dict("records")],
            "totals": row_shape(self.totals),
        }

    def to_csv(self, out: TextIO, *, guard: bool = False) -> None:
        """The rows as RFC 4180 CSV, amounts exact; guarded where it is made to be opened by a spreadsheet."""
        frame = self._contracted().copy()
        for name in AMOUNTS:
            frame[name] = [format_amount(units) for units in frame[name]]
        for name in self.by if guard else ():
            frame[name] = [guarded(text) if isinstance(text, str) else None for text in frame[name]]
        frame.to_csv(out, index=False, lineterminator="\r\n")

    def records(self) -> list[dict[str, Any]]:
        """The rows as exact integers, a missing dimension as None, with how many of a row's calls are unpriced."""
        names = [str(name) for name in self.rows.columns]
        columns = [self.rows[name].tolist() for name in names]
        for place, name in enumerate(names):
            if name in self.by:
                columns[place] = [None if text is None or text != text else text for text in columns[place]]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

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
    shared = shared_zone(in_scope)
    shown_zone = timezone or shared
    zone(shown_zone)
    import pandas as pd  # a second of start that only reports should pay

    records = _joined(read_sums(connection, scope, in_scope, by, shown_zone), by)
    rows = pd.DataFrame(records, columns=[*by, *SUMS], dtype=object)
    totals = {name: sum(rows[name].tolist()) for name in (*MEASURES, *STATES)}
    totals["clock_doubt_amount"] = movable_amount(connection, scope, in_scope) if totals["clock_doubts"] else 0
    totals |= count_uncounted(connection, scope, in_scope)
    currencies = {account.currency for account in in_scope}
    return SpendReport(
        interval=scope.interval(shared),
        timezone=shown_zone,
        currency=scope.currency or (next(iter(currencies)) if currencies else None),
        by=tuple(by),
        rows=rows[[*by, *MEASURES, "unpriced"]],
        totals={name: totals[name] for name in (*MEASURES, *DOUBTS, *CLOCK_DOUBTS)},
    )


def spend_rows(
    connection: Connection, scope: Scope, *, by: Sequence[str], sums: Sequence[str], timezone: str
) -> list[dict[str, Any]]:
    """The rows of the spend report with these of its sums only, exact integers: what asks for few reads them faster."""
    parts = read_sums(connection, scope, scope.accounts(connection), by, timezone, sums=sums)
    return [dict(zip((*by, *sums), row, strict=True)) for row in _joined(parts, by, sums)]


def _joined(parts: Iterable[Mapping[str, Any]], by: Sequence[str], wanted: Sequence[str] = SUMS) -> list[list[Any]]:
    """The parts of each group summed, in the order of the dimensions' texts; what has none stands where "nan" does."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for part in parts:
        key = tuple(part[name] for name in by)
        sums, found = [part[name] for name in wanted], groups.get(key)
        groups[key] = sums if found is None else [a + b for a, b in zip(found, sums, strict=True)]
    ordered = sorted(groups, key=lambda key: tuple("nan" if text is None else text for text in key))
    return [[*key, *groups[key]] for key in ordered]


def check_dimensions(by: Sequence[str]) -> None:
    for name in by:
        if name not in DIMENSIONS and not (name.startswith("tag:") and len(name) > 4):
            raise InputError("by", name, f"use any of {', '.join(DIMENSIONS)}, tag:NAME")
    if len(set(by)) != len(by):
        raise InputError("by", ",".join(by), "names a dimension twice")


def row_shape(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as JSON has it: amounts as exact decimal strings, a missing dimension as null."""
    return {k: format_amount(v) if k in MONEY else None if v is None or v != v else v for k, v in row.items()}
