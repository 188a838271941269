"""`costmeter daily`, `weekly` and `monthly`: what was spent lately, at a glance."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from costmeter.cli.database import snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AnyAccount, AsJson, Currency, Timezone, Where
from costmeter.cli.output import print_json, print_line, printable
from costmeter.cli.report import CONCERNS
from costmeter.core.errors import InputError
from costmeter.core.money import DECIMALS, UNITS, round_amount
from costmeter.core.periods import month_of
from costmeter.reports.asked import scope_of
from costmeter.reports.calendar import Asked, CalendarReport, calendar_report

Since = Annotated[str | None, typer.Option(metavar="DATE", help="From this day on: YYYY-MM-DD or YYYYMMDD.")]
Until = Annotated[str | None, typer.Option(metavar="DATE", help="Up to this day, included; default: today.")]
Breakdown = Annotated[bool, typer.Option("--breakdown", "-b", help="A line for each model, too.")]

HEADINGS = {"daily": "day", "weekly": "week", "monthly": "month"}
ALL, SOME, LEAST = range(3)  # of the columns: as many as fit, since no number is ever cut
UNBOUNDED = 10_000  # columns: what is no terminal has no width
DEAR = 100 * UNITS  # from which on a cost is shown with two decimals, and not with four


def _command(kind: str, what: str) -> Callable[..., None]:
    def tell(
        since: Since = None,
        until: Until = None,
        account: AnyAccount = None,
        currency: Currency = None,
        where: Where = None,
        timezone: Timezone = None,
        breakdown: Breakdown = False,
        as_json: AsJson = False,
    ) -> None:
        now = datetime.now(UTC)
        asked = Asked(kind, _day(since, "since"), _day(until, "until"), timezone)
        month = month_of(now, "UTC")  # any: the days that are asked for take its place
        scope = scope_of(month=month, start=None, end=None, account=account, currency=currency, where=where)
        with snapshot() as connection:
            result = calendar_report(connection, scope, asked, now)
            in_scope = scope.accounts(connection)
        if as_json:
            print_json(result.as_dict())
        else:
            print_calendar(result, breakdown=breakdown)
        note_frozen(in_scope)

    tell.__doc__ = what
    return tell


daily = _command("daily", "What each of the last 30 days cost, or of those from --since to --until, by which models.")
weekly = _command("weekly", "What each of the last 12 weeks cost; weeks begin on Monday.")
monthly = _command(
    "monthly",
    "What the calls of each of the last 12 months cost.\n\n"
    "By the completion of calls; report --month has what was billed in a month.",
)


def _day(text: str | None, field: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(field, text, "write a day as YYYY-MM-DD or YYYYMMDD") from None


def print_calendar(result: CalendarReport, *, breakdown: bool) -> None:
    """A table that fits its terminal; what is no terminal gets all of it, without colours."""
    start, end = (instant.isoformat(timespec="minutes").replace("+00:00", "Z") for instant in result.interval)
    print_line(
        f"Spend in {result.currency or 'no currency'}, {result.kind}, {start} to {end}, days of {result.timezone}"
    )
    if not result.rows:
        print_line("no calls")
    else:
        console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else UNBOUNDED)
        dearest = max(abs(row.sums["cost"]) for row in result.rows)
        decimals = 2 if dearest >= DEAR else 4
        tables = [_table(result, columns, decimals, breakdown=breakdown) for columns in (ALL, SOME, LEAST)]
        unbounded = console.options.update(max_width=UNBOUNDED)
        fitting = (one for one in tables if console.measure(one, options=unbounded).maximum <= console.width)
        console.print(next(fitting, tables[LEAST]))
        rounded = "two" if decimals == 2 else "four"
        print_line(f"costs rounded to {rounded} decimals, the total from exact sums; --json has every digit")
    for name, count in result.doubts.items():
        if count:
            print_line(f"{count:>8,} {'call' if count == 1 else 'calls'} {CONCERNS[name]}")


def _table(result: CalendarReport, columns: int, decimals: int, *, breakdown: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, header_style="bold cyan", footer_style="bold")
    total = _numbers(result.totals, columns, decimals)
    table.add_column(HEADINGS[result.kind], footer="total", no_wrap=True)
    if columns < LEAST:
        table.add_column("models", style="green", no_wrap=True)
    for name, number in total.items():
        table.add_column(name, footer=number, justify="right", no_wrap=True, style="yellow" if name == "cost" else "")
    for row in result.rows:
        models = [printable(model) for model in row.by_model]
        named = ["\n".join(models)] if columns < LEAST else []
        table.add_row(row.name, *named, *_numbers(row.sums, columns, decimals).values())
        if breakdown:
            for model, sums in zip(models, row.by_model.values(), strict=True):
                begin = ["", f"└ {model}"] if columns < LEAST else [f"└ {model}"]
                table.add_row(*begin, *_numbers(sums, columns, decimals).values(), style="dim")
    return table


def _numbers(sums: Mapping[str, int], columns: int, decimals: int) -> dict[str, str]:
    """The cells of a line by their headings."""
    hit, miss, output = (sums[f"{name}_tokens"] for name in ("cache_hit", "cache_miss", "output"))
    used = f"{hit + miss + output:,}"
    found = {"cost": _cost(sums, decimals)}
    if columns == SOME:
        return {"tokens": used} | found
    if columns == LEAST:
        return found
    counts = {"calls": sums["calls"], "cache hit": hit, "cache miss": miss, "output": output}
    return {**{name: f"{count:,}" for name, count in counts.items()}, "tokens": used} | found


def _cost(sums: Mapping[str, int], decimals: int) -> str:
    """The cost, rounded; one that is not known is not shown as 0, and one too small to show not as nothing."""
    if sums["unpriced"] == sums["calls"] > 0:
        return "unpriced"
    rounded = round_amount(sums["cost"], decimals)
    if not rounded and sums["cost"]:
        return f"<{10**-decimals:.{decimals}f}"
    return f"{Decimal(rounded).scaleb(-DECIMALS):,.{decimals}f}"
