"""What was spent day by day, week by week or month by month, and by which models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from costmeter.core.digests import Digest, around, before
from costmeter.core.errors import InputError
from costmeter.core.money import format_amount
from costmeter.core.periods import Period, format_instant, zone
from costmeter.reports.spend import DOUBTS, spend_report
from costmeter.store.accounts import shared_zone
from costmeter.store.rollups import AMOUNTS, TOKENS
from costmeter.store.scope import Scope

SHOWN = {"daily": 30, "weekly": 12, "monthly": 12}  # how many are told where no day is given to begin with
MEASURES = ("calls", *TOKENS, "cost", "cache_savings", "off_peak_savings", "unpriced")


class Row(NamedTuple):
    """A day, week or month: its sums and those of each model, amounts in units of 10^-12."""

    name: str
    first: date
    sums: Mapping[str, int]
    by_model: Mapping[str, Mapping[str, int]]


class CalendarReport(NamedTuple):
    """The days, weeks or months in which there were calls, oldest first; and what their time has in doubt."""

    kind: str
    interval: tuple[datetime, datetime]
    timezone: str
    currency: str | None
    rows: Sequence[Row]
    totals: Mapping[str, int]
    doubts: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """The shape of `costmeter daily --json`."""
        return {
            "kind": self.kind,
            "from": format_instant(self.interval[0]),
            "to": format_instant(self.interval[1]),
            "timezone": self.timezone,
            "currency": self.currency,
            "rows": [
                {
                    "name": row.name,
                    "first_day": row.first.isoformat(),
                    **_shown(row.sums),
                    "models": [{"model": model, **_shown(sums)} for model, sums in row.by_model.items()],
                }
                for row in self.rows
            ],
            "totals": {**_shown(self.totals), **self.doubts},
        }


class Asked(NamedTuple):
    """What is asked for: days from `since` to `until`, both included; None: the last ones, up to now."""

    kind: str
    since: date | None = None
    until: date | None = None
    timezone: str | None = None


def calendar_report(connection: Connection, scope: Scope, asked: Asked, now: datetime) -> CalendarReport:
    """The calls that completed on these days; weeks begin on Monday. The scope's own interval does not count.

    Without a time zone it is the one that the accounts in scope share, else UTC.
    """
    timezone = asked.timezone or shared_zone(scope.accounts(connection))
    first, last = _days(asked, now.astimezone(zone(timezone)).date())
    interval = (around("daily", first).period(timezone).start, around("daily", last).period(timezone).end)
    start, end = interval
    assert start is not None
    assert end is not None
    found = spend_report(
        connection, replace(scope, month=None, period=Period(start, end)), by=("day", "model"), timezone=timezone
    )
    rows = _rows(asked.kind, found.rows.to_dict("records"))
    totals = _sum([row.sums for row in rows])
    doubts = {name: found.totals[name] for name in DOUBTS}
    return CalendarReport(asked.kind, (start, end), timezone, found.currency, rows, totals, doubts)


def _days(asked: Asked, today: date) -> tuple[date, date]:
    last = asked.until or today
    first = asked.since
    if first is None:
        digest = around(asked.kind, last)
        for _ in range(SHOWN[asked.kind] - 1):
            digest = before(digest)
        first = digest.first
    if first > last:
        raise InputError("since", first.isoformat(), f"is after the last day, {last.isoformat()}")
    return first, last


def _rows(kind: str, records: Sequence[Mapping[Any, Any]]) -> list[Row]:
    found: dict[Digest, dict[str, list[Mapping[Any, Any]]]] = {}
    for record in records:
        model = record["model"] if isinstance(record["model"], str) else "unknown"
        digest = around(kind, date.fromisoformat(str(record["day"])))
        found.setdefault(digest, {}).setdefault(model, []).append(record)
    rows = []
    for digest in sorted(found):
        by_model = {model: _sum(found[digest][model]) for model in sorted(found[digest])}
        rows.append(Row(digest.name, digest.first, _sum([*by_model.values()]), by_model))
    return rows


def _shown(sums: Mapping[str, int]) -> dict[str, int | str]:
    """Amounts as exact decimal strings."""
    return {name: format_amount(value) if name in AMOUNTS else value for name, value in sums.items()}


def _sum(records: Sequence[Mapping[Any, Any]]) -> dict[str, int]:
    return {name: sum(record[name] for record in records) for name in MEASURES}
