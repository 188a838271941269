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
from costmeter.exports.beancount import write_beancount
from costmeter.exports.content import Content
from costmeter.exports.export import Export
from costmeter.exports.file import write_beancount_file, write_export
from costmeter.exports.focus import focus_export
from costmeter.exports.focus_format import Mode, Version
from costmeter.exports.format import Format, parts
from costmeter.exports.kinds import EXPORTS
from costmeter.reports.asked import scope_of
from costmeter.store.scope import Scope

app = typer.Typer(help="Export what was posted, exactly.")

Form = Annotated[Format, typer.Option("--format", help="How to write it.")]
Excel = Annotated[str | None, typer.Option(help="CSV for the Excel of a locale, such as en, de or fr.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="The file; default: standard output.")]
FocusVersion = Annotated[Version, typer.Option(help="The version of FOCUS; most importers take 1.2.")]
FocusMode = Annotated[Mode, typer.Option(help="Costs when used, or when the balance is paid for.")]


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
        _write(export, scope, form, excel, output)

    command.__doc__ = export.what
    return command


for kind in EXPORTS.values():
    if kind.name != "focus":
        app.command(kind.name)(_command(kind))


@app.command("focus")
def focus(
    month: Month = None,
    account: AnyAccount = None,
    currency: Currency = None,
    focus_version: FocusVersion = Version.V1_4,
    focus_mode: FocusMode = Mode.ACCRUAL,
    form: Form = Format.CSV,
    output: Output = None,
) -> None:
    """Cost and usage of a billing month as FOCUS has it, a row a day, project, key, model, band and meter."""
    scope = scope_of(month=month, start=None, end=None, account=account, currency=currency, where=None)
    _write(focus_export(focus_version, focus_mode), scope, form, None, output)


@app.command("beancount")
def beancount(
    month: Month = None, account: AnyAccount = None, currency: Currency = None, output: Output = None
) -> None:
    """The journal of a billing month as a beancount file, with the balances that it must come to."""
    scope = scope_of(month=month, start=None, end=None, account=account, currency=currency, where=None)
    with snapshot() as connection:
        if output is None:
            write_beancount(connection, scope, sys.stdout)
        else:
            said = write_beancount_file(connection, scope, output)
            print_note(f"wrote {said['rows']:,} transactions to {output}")
        in_scope = scope.accounts(connection)
    note_frozen(in_scope)


def _write(export: Export, scope: Scope, form: Format, excel: str | None, output: Path | None) -> None:
    """Write an export to standard output, or to a file with its manifest."""
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
