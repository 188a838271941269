"""`costmeter db`: the schema of the database."""

from __future__ import annotations

import typer

from costmeter.cli.database import bare_database
from costmeter.cli.output import print_line
from costmeter.core.errors import SetupError
from costmeter.store import schema

app = typer.Typer(help="The schema of the database.")


@app.command()
def upgrade() -> None:
    """Bring the database to the newest schema; run it again as often as you like."""
    with bare_database() as engine:
        before = schema.revision(engine)
        schema.upgrade(engine)
    was = "was there already" if before == schema.NEWEST else f"upgraded from {before or 'nothing'}"
    print_line(f"schema {schema.NEWEST}: {was}")


@app.command()
def check() -> None:
    """Check that the schema is the newest. Exit 1 where it is not."""
    try:
        with bare_database() as engine:
            schema.check(engine)
    except SetupError as error:
        print_line(str(error))
        raise typer.Exit(1) from None
    print_line(f"schema {schema.NEWEST}: the newest")
