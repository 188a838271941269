"""`costmeter report`: what was spent, as a table, JSON or CSV."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AnyAccount, AsJson, Currency, From, KnownAt, Month, Timezone, To, Where
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant, parse_known_at
from costmeter.reports.asked import scope_of
from costmeter.reports.spend import DEFAULT_BY, DOUBTS, SpendReport, spend_report
from costmeter.store.rollups import AMOUNTS

_SHOWN = (
    "calls", "cost", "granted", "topped_up", "overdraft", "untracked", "cache_hit_tokens", "cache_miss_tokens",
    "output_tokens", "cache_savings", "off_peak_savings",
)  # fmt: skip
_HEADINGS = {"granted": "from granted", "topped_up": "from topped up"}  # what paid, not what was paid in
CONCERNS = {
    "failed": "failed, not charged",
    "unmetered": "unmetered: usage unknown, and DeepSeek may have charged for it",
    "unpriced": "unpriced: counted, cost unknown and not in the sum",
    "provisional": "provisional: a holiday calendar is not published yet",
    "quarantined": "in quarantine, not counted; see: costmeter quarantine list",
    "unposted": "not posted yet, not counted",
}


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def report(
    month: Month = None,
    start: From = None,
    end: To = None,
    account: AnyAccount = None,
    currency: Currency = None,
    where: Where = None,
    by: Annotated[str, typer.Option(help="account,project,user,api_key,model,band,day,hour,tag:NAME")] = ",".join(
        DEFAULT_BY
    ),
    timezone: Timezone = None,
    known_at: KnownAt = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    as_json: AsJson = False,
) -> None:
    """What was spent in a billing month, or by calls completed in an interval.

    --known-at T gives the report of T again: what came or was booked since is left out.
    """
    known = None if known_at is None else parse_known_at(known_at, datetime.now(UTC))
    scope = scope_of(month=month, start=start, end=end, account=account, currency=currency, where=where, known_at=known)
    dimensions = [name for name in by.split(",") if name]
    with snapshot() as connection:
        result = spend_report(connection, scope, by=dimensions, timezone=timezone)
        in_scope = scope.accounts(connection)
    if as_json or form is Format.JSON:
        print_json(result.as_dict())
    elif form is Format.CSV:
        result.to_csv(sys.stdout)
    else:
        print_report(result, month, known)
    note_frozen(in_scope)


def print_report(result: SpendReport, month: str | None, known_at: datetime | None = None) -> None:
    """The report as a table for people, with everything in doubt named below it."""
    assert result.interval.start is not None
    assert result.interval.end is not None
    interval = f"{format_instant(result.interval.start)} to {format_instant(result.interval.end)}"
    what = f"billing month {month}" if month else "calls completed"
    as_known = "" if known_at is None else f", as known at {format_instant(known_at)}"
    print_line(f"Spend in {result.currency or 'no currency'}, {what}{as_known}")
    print_line(f"{interval} (end excluded), days and hours of {result.timezone}")
    if result.by:
        print_line(f"by {', '.join(result.by)}")
    shown = [name for name in _SHOWN if name in ("calls", "cost") or result.totals[name]]
    columns = dict.fromkeys(result.by, "left") | {
        _HEADINGS.get(name, name.replace("_", " ")): "amount" if name in AMOUNTS else "right" for name in shown
    }
    rows = [
        [_text(row[name]) for name in result.by] + [_cell(name, row) for name in shown]
        for row in result.rows.to_dict("records")
    ]
    total = ["total", *[""] * len(result.by)][: max(len(result.by), 1)]
    numbers = [_number(name, result.totals[name]) for name in shown]
    if not result.by:
        rows, total = [], []
        columns = {"": "left", **columns}
        total = ["total"]
    print_table(columns, rows, total=[*total, *numbers])
    for name in DOUBTS:
        if count := result.totals[name]:
            print_line(f"{count:>8,} {_calls(count)} {CONCERNS[name]}")
    if count := result.totals["clock_doubts"]:
        amount = f"{format_amount(result.totals['clock_doubt_amount'])} {result.currency}"
        print_line(f"{count:>8,} {_calls(count)} so near a change of price or month that the clock could move {amount}")


def _calls(count: int) -> str:
    return "call" if count == 1 else "calls"


def _text(value: object) -> str:
    return "(none)" if value is None or value != value else str(value)


def _cell(name: str, row: Mapping[Any, Any]) -> str:
    """A number; a cost that is not known is not shown as 0."""
    if name == "cost" and row["unpriced"] == row["calls"] > 0:
        return "unpriced"
    return _number(name, row[name])


def _number(name: str, value: int) -> str:
    return format_amount(value) if name in AMOUNTS else f"{value:,}"
