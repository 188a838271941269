"""`costmeter import`: history from before costmeter."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from costmeter import wiring
from costmeter.cli.database import database
from costmeter.cli.options import Account, AsJson, By, decided_by
from costmeter.cli.output import print_json, print_line, print_note
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.services.import_export import ImportTally, import_export
from costmeter.services.read_console import read_console

app = typer.Typer(help="Bring in history from before costmeter.")
MOST_SHOWN = 20


@app.callback()
def _import() -> None:
    """Bring in history from before costmeter."""


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
