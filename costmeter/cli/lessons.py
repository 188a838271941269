"""`costmeter lessons`: what a month teaches, as a table, JSON or CSV."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import Account, AsJson
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.cli.report import Format
from costmeter.core.lessons import MONEY, Lessons
from costmeter.reports.lessons import month_lessons, write_csv
from costmeter.store import accounts

_SHOWN = (
    "calls", "cost", "cache_hit_percent", "cache_savings", "off_peak_savings", "off_peak_missed", "reasoning_percent",
)  # fmt: skip
_HEADINGS = {"cache_hit_percent": "cache hits", "reasoning_percent": "reasoning"}
_NOTHING = "-"  # a share of nothing


def lessons(
    month: Annotated[str, typer.Argument(help="The billing month, as YYYY-MM.")],
    account: Account = "default",
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    as_json: AsJson = False,
) -> None:
    """What a month teaches, by project and model: savings taken and missed, and what moved against the month before."""
    with snapshot() as connection:
        found = month_lessons(connection, account, month)
        of_account = accounts.get(connection, found.account)
    if as_json or form is Format.JSON:
        print_json(found.as_dict())
    elif form is Format.CSV:
        write_csv(found, sys.stdout)
    else:
        _print(found)
    note_frozen([of_account])


def _print(found: Lessons) -> None:
    shape = found.as_dict()
    print_line(f"What {found.month} teaches of account {found.account}, in {found.currency}")
    columns = {"project": "left", "model": "left"}
    columns |= {_heading(name): "amount" if name in MONEY else "right" for name in _SHOWN}
    rows = [[row["project"] or "(none)", row["model"], *_cells(row)] for row in shape["rows"]]
    print_table(columns, rows, total=["total", "", *_cells(shape["totals"])])
    print_line("off-peak missed: what the same calls would have cost less in the cheapest band of their own tariffs")
    if shape["movers"] is None:
        print_line(f"calls of {shape['month_before']} are detached; nothing is compared with it")
        return
    for name, movers in shape["movers"].items():
        _print_movers(name, movers, shape)


def _print_movers(name: str, movers: list[dict[str, Any]], shape: Mapping[str, Any]) -> None:
    if not movers:
        return
    columns = {name: "left"} | dict.fromkeys((shape["month_before"], shape["month"], "change"), "amount")
    columns |= {"percent": "right", " ": "left"}
    rows = [
        [one["name"] or "(none)", one["before"], one["now"], one["change"], _percent(one["change_percent"]),
         "" if one["state"] == "changed" else one["state"]]
        for one in movers
    ]  # fmt: skip
    print_table(columns, rows, title=f"moved most, by {name}")


def _heading(name: str) -> str:
    return _HEADINGS.get(name, name.replace("_", " ").replace("off peak", "off-peak"))


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [_percent(row[name]) if name in _HEADINGS else _number(row[name]) for name in _SHOWN]


def _percent(share: str | None) -> str:
    return _NOTHING if share is None else f"{share} %"


def _number(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value
