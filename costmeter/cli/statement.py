"""`costmeter statement` and `costmeter close`: a month's statement, and the month closed for good."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.database import database, snapshot
from costmeter.cli.options import Account, AnyAccount, AsJson, By, decided_by
from costmeter.cli.output import output_file, print_json, print_line, print_note, print_table
from costmeter.core.errors import FrozenError, NotClosableError
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.exports.statement_csv import write_statement_csv
from costmeter.reports.statements import closing_shape, full_shape, statement_shape
from costmeter.services.close_month import close_month
from costmeter.store import journal

MonthArgument = Annotated[str, typer.Argument(metavar="MONTH", help="The billing month, as YYYY-MM.")]


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"
    PDF = "pdf"


def statement(
    month: MonthArgument,
    account: Account = DEFAULT_ACCOUNT,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; default: standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """The statement of a month: what the account had, what came and went, and what it has.

    That of a closed month is the one that was kept when it was closed; that of an open month is as it stands.
    """
    with snapshot() as connection:
        read = full_shape if form in (Format.HTML, Format.PDF) else statement_shape
        shape = read(connection, account, month, datetime.now(UTC))
    if as_json or form is Format.JSON:
        with output_file(output) as out:
            out.write(json.dumps(shape, indent=2, ensure_ascii=False) + "\n")
    elif form is Format.CSV:
        with output_file(output) as out:
            write_statement_csv(shape, out)
    elif form in (Format.HTML, Format.PDF):
        _write_page(shape, form, output)
    else:
        print_statement(shape)


def _write_page(shape: dict[str, Any], form: Format, output: Path | None) -> None:
    from costmeter.exports.file import write_bytes
    from costmeter.exports.statement_page import statement_html, statement_pdf

    page = statement_html(shape).encode() if form is Format.HTML else statement_pdf(shape)
    if output is None:
        sys.stdout.buffer.write(page)
        sys.stdout.buffer.flush()
    else:
        write_bytes(output, page)


def close(
    month: MonthArgument,
    account: AnyAccount = None,
    by: By = None,
    override: Annotated[
        str | None,
        typer.Option(help="Why it is closed although something stands against it; printed on the statement."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Close a month: from then on it never changes, and what comes later is an adjustment of a later month.

    Refused, with the list, while something stands against it. Without --account: every account that has the month
    open. Exit code 1 where one is refused. It asks on a terminal only.
    """
    name, now = decided_by(by), datetime.now(UTC)
    grace = wiring.close_grace()
    results: list[dict[str, Any]] = []
    with database() as engine:
        with engine.connect() as connection:
            names = [account] if account is not None else journal.accounts_in(connection, month)
        if names and sys.stdin.isatty() and not yes:
            typer.confirm(f"Close {month} of {', '.join(names)}? It never changes again", abort=True, err=True)
        for one in names:
            try:
                closing, made = close_month(engine, one, month, by=name, reason=override, grace=grace, now=now)
                results.append(
                    {"account": one, "month": month, "closed": True, "created": made} | closing_shape(closing)
                )
            except NotClosableError as error:
                results.append({"account": one, "month": month, "closed": False, "blockers": error.blockers})
            except FrozenError as error:
                results.append({"account": one, "month": month, "closed": False, "blockers": [str(error)]})
    if as_json:
        print_json(results)
    else:
        _print_closed(month, results)
    if not all(result["closed"] for result in results):
        raise typer.Exit(1)


def _print_closed(month: str, results: list[dict[str, Any]]) -> None:
    if not results:
        print_line(f"no account has anything in {month}")
    for result in results:
        if result["closed"]:
            word = "closed" if result["created"] else "was closed before:"
            print_line(f"{word} {month} of account {result['account']}, sha256 {result['sha256']}")
            continue
        print_line(f"not closed: {month} of account {result['account']}")
        for blocker in result["blockers"]:
            print_line(f"  {blocker}")
        print_note('what is not final can be overridden: costmeter close ... --override "why"')


def print_statement(shape: dict[str, Any]) -> None:
    """A statement as tables for people."""
    closing = shape["closing"]
    print_line(f"Statement of {shape['account']}, {shape['month']}, in {shape['currency']}")
    print_line(f"{shape['from']} to {shape['to']} (end excluded), months of {shape['timezone']}")
    if closing:
        print_line(f"closed at {closing['closed_at']} by {closing['by']}, sha256 {closing['sha256']}")
        if closing["override"]:
            print_line(f"overridden: {closing['override']['reason']}")
            for blocker in closing["override"]["blockers"]:
                print_line(f"  {blocker}")
    else:
        print_line(f"open, as of {shape['as_of']}")
    _print_balance(shape)
    _print_usage(shape)
    for title, rows in (("By project", shape["showback"]["project"]), ("By API key", shape["showback"]["api_key"])):
        _print_paid(title, [(row["name"] or "(none)", row) for row in rows])
    _print_paid(
        "Adjustments of earlier months", [(f"{row['month']} {row['model']}", row) for row in shape["adjustments"]]
    )
    _print_imported(shape["imported"])
    for name, count in shape["counts"].items():
        if count and name != "calls":
            print_line(f"{count:>8,} {name}")


def _print_balance(shape: dict[str, Any]) -> None:
    rows = [("Opening balance", shape["opening"])]
    rows += [(row["text"], row) for row in shape["movements"]]
    columns = {"balance": "left", "granted": "amount", "topped up": "amount", "total": "amount"}
    names = ("granted", "topped_up", "total")
    closing = ["Closing balance", *(shape["closing_balance"][name] for name in names)]
    print_table(columns, [[text, *(row[name] for name in names)] for text, row in rows], total=closing)


def _print_usage(shape: dict[str, Any]) -> None:
    columns = {
        "model": "left",
        "band": "left",
        "calls": "right",
        "meter": "left",
        "quantity": "right",
        "cost": "amount",
    }
    rows = []
    for row in shape["usage"]:
        for place, line in enumerate(row["lines"]):
            first = [row["model"], row["band"] or "", f"{row['calls']:,}"] if place == 0 else ["", "", ""]
            rows.append([*first, line["meter"], f"{line['quantity']:,}", line["amount"] or "unpriced"])
    if rows:
        print_table(columns, rows, total=["total", "", "", "", "", shape["deductions"]["cost"]], title="Usage")


def _print_imported(rows: list[dict[str, Any]]) -> None:
    if rows:
        columns = {"model": "left", "meter": "left", "quantity": "right", "price": "amount", "amount": "amount"}
        cells = [[r["model"], r["meter"], f"{r['quantity']:,}", r["price"] or "", r["amount"] or ""] for r in rows]
        print_table(columns, cells, title="From DeepSeek's console, before costmeter: no single calls")


def _print_paid(title: str, rows: list[tuple[str, dict[str, Any]]]) -> None:
    names = ("cost", "granted", "topped_up", "overdraft", "untracked")
    if not rows:
        return
    columns = {"": "left", "calls": "right"} | dict.fromkeys((name.replace("_", " ") for name in names), "amount")
    print_table(
        columns, [[text, f"{row['calls']:,}", *(row[name] for name in names)] for text, row in rows], title=title
    )
