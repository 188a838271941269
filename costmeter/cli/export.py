"""`costmeter export`: files for spreadsheets, auditors and programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AnyAccount, Currency, From, Month, To, Where
from costmeter.cli.output import print_note
from costmeter.exports.content import Content
from costmeter.exports.export import Export
from costmeter.exports.file import write_export
from costmeter.exports.format import Format, parts
from costmeter.exports.kinds import EXPORTS
from costmeter.reports.asked import scope_of

app = typer.Typer(help="Export what was posted, exactly.")

Form = Annotated[Format, typer.Option("--format", help="How to write it.")]
Excel = Annotated[str | None, typer.Option(help="CSV for the Excel of a locale, such as en, de or fr.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="The file; default: standard output.")]


@app.callback()
def _export() -> None:
    """Export what was posted, exactly; beside a file stands a manifest with its sums and digests."""


def _command(export: Export) -> Callable[..., None]:
    """The command of a kind of export."""

    def command(
        month: Month = None,
        start: From = None,
        end: To = None,
        account: AnyAccount = None,
        currency: Currency = None,
        where: Where = None,
        form: Form = Format.CSV,
        excel: Excel = None,
        output: Output = None,
    ) -> None:
        scope = scope_of(month=month, start=start, end=end, account=account, currency=currency, where=where)
        with snapshot() as connection:
            if output is None:
                with closing(parts(Content(connection, export, scope), form, excel)) as file:
                    sys.stdout.buffer.writelines(file)
                sys.stdout.buffer.flush()
            else:
                said = write_export(connection, export, scope, output, form=form, excel=excel)
                print_note(f"wrote {said['rows']:,} rows to {output}")
            in_scope = scope.accounts(connection)
        note_frozen(in_scope)

    command.__doc__ = export.what
    return command


for kind in EXPORTS.values():
    app.command(kind.name)(_command(kind))
