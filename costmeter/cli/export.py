"""`costmeter export`: files for spreadsheets and auditors."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AnyAccount, Currency, From, Month, To, Where
from costmeter.cli.output import output_file, print_note
from costmeter.exports.charges import write_charges_csv
from costmeter.reports.asked import scope_of

app = typer.Typer(help="Export what was posted, exactly.")


class Format(StrEnum):
    CSV = "csv"


Output = Annotated[Path | None, typer.Option("--output", "-o", help="The file; default: standard output.")]


@app.callback()
def _export() -> None:
    """Export what was posted, exactly."""


@app.command()
def charges(
    month: Month = None,
    start: From = None,
    end: To = None,
    account: AnyAccount = None,
    currency: Currency = None,
    where: Where = None,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.CSV,  # noqa: ARG001  the only one
    output: Output = None,
) -> None:
    """One row a measured call, as CSV: exact amounts, ordered by completion and event id."""
    scope = scope_of(month=month, start=start, end=end, account=account, currency=currency, where=where)
    with snapshot() as connection, output_file(output) as out:
        count = write_charges_csv(connection, scope, out)
        in_scope = scope.accounts(connection)
    if output is not None:
        print_note(f"wrote {count:,} charges to {output}")
    note_frozen(in_scope)
