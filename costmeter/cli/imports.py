"""`costmeter import`: history from before costmeter."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.database import database, snapshot
from costmeter.cli.options import Account, AsJson, By, decided_by
from costmeter.cli.output import print_json, print_line, print_note, print_table
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.periods import format_instant
from costmeter.services.import_export import ImportTally, import_export
from costmeter.services.read_console import read_console
from costmeter.services.void_import import void_import
from costmeter.store import accounts, imported
from costmeter.store.imported import ImportedFile

app = typer.Typer(help="Bring in history from before costmeter.")
MOST_SHOWN = 20


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The ZIP that DeepSeek's console exported.")],
    account: Account = DEFAULT_ACCOUNT,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Import the usage and costs of a console's export, each row once.

    They are sums of days or hours, not calls: reports of calls do not have them, and no balance moves. Exit 1 where
    rows were refused or in conflict, 2 where none could be used.
    """
    read = read_console(file)
    with database() as engine:
        home, now = wiring.home(), datetime.now(UTC)
        tally = import_export(engine, account, read, by=decided_by(by), home=home, now=now)
    _print(tally, as_json)
    lost = bool(tally.conflicts or tally.refused)
    raise typer.Exit(2 if lost and not (tally.accepted or tally.duplicates) else int(lost))


@app.command("list")
def list_imports(account: Account = DEFAULT_ACCOUNT, as_json: AsJson = False) -> None:
    """List the files that history was imported from, and which of them were taken back."""
    with snapshot() as connection:
        found = imported.files(connection, accounts.get(connection, account).account)
    shapes = [_shape(file) for file in found]
    if as_json:
        print_json(shapes)
        return
    columns = dict.fromkeys(("import", "file", "imported at", "by", "voided"), "left")
    voids = [f"{file.void.by_whom}: {file.void.reason}" if file.void else "" for file in found]
    rows = [[*list(shape.values())[:4], void] for shape, void in zip(shapes, voids, strict=True)]
    print_table(columns, rows)


@app.command()
def void(
    name: Annotated[str, typer.Argument(metavar="IMPORT", help="The import, as the list names it.")],
    reason: Annotated[str, typer.Option(help="Why it is taken back.")],
    account: Account = DEFAULT_ACCOUNT,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Take an import back: its rows count no more. They stay to be seen, and can be imported again."""
    with database() as engine:
        file = void_import(engine, account, name, by=decided_by(by), reason=reason, now=datetime.now(UTC))
    if as_json:
        print_json(_shape(file))
    else:
        print_line(f"voided the import of {file.name}")


def _shape(file: ImportedFile) -> dict[str, Any]:
    said = file.void
    taken_back = {"at": format_instant(said.voided_at), "by": said.by_whom, "reason": said.reason} if said else None
    return {
        "import": file.import_id.hex(),
        "file": file.name,
        "imported_at": format_instant(file.imported_at),
        "by": file.imported_by,
        "sha256": file.sha256,
        "voided": taken_back,
    }


def _print(tally: ImportTally, as_json: bool) -> None:
    told = [*(("conflict", row) for row in tally.conflicts), *(("refused", row) for row in tally.refused)]
    for kind, row in told[:MOST_SHOWN]:
        print_note(f"{row.place}: {kind}: {row.error}")
    if len(told) > MOST_SHOWN:
        print_note(f"... and {len(told) - MOST_SHOWN} more; --json lists them all")
    if as_json:
        print_json({**tally.counts(), "rows": [{"kind": kind, **row._asdict()} for kind, row in told]})
        return
    for name, count in tally.counts().items():
        print_line(f"{name:<12}{count:>9,}")
