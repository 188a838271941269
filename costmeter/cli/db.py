"""`costmeter db`: the schema of the database, how large it is, and its month partitions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from costmeter.cli.database import bare_database, database
from costmeter.cli.db_status import status
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AnyAccount
from costmeter.cli.output import print_line
from costmeter.core.errors import SetupError
from costmeter.services.detach_months import attach_month, detach_months, refuse_sqlite
from costmeter.services.distribute import distribute as distribute_tables
from costmeter.services.make_partitions import AHEAD, make_partitions
from costmeter.services.rebuild_projections import rebuild_projections, rebuild_rollups
from costmeter.store import accounts, schema, views
from costmeter.store.engine import reading

app = typer.Typer(help="The schema of the database, its size, and its month partitions.")
app.command()(status)


@app.command()
def upgrade() -> None:
    """Bring the database to the newest schema; run it again as often as you like.

    It also makes the rollups of charges that are in none, and on PostgreSQL the partitions of this month and the next.
    """
    with bare_database() as engine:
        before = schema.revision(engine)
        schema.upgrade(engine)
        made = make_partitions(engine, now=datetime.now(UTC))
        rolled_up = rebuild_rollups(engine)
    was = "was there already" if before == schema.NEWEST else f"upgraded from {before or 'nothing'}"
    print_line(f"schema {schema.NEWEST}: {was}")
    _print_made(made)
    if rolled_up:
        print_line(f"made the rollups of {len(rolled_up)} accounts")


@app.command()
def rebuild(account: AnyAccount = None) -> None:
    """Work out again from the facts what is kept beside them for speed: balances, what waits, rollups.

    Nothing that was recorded or booked changes. Run it where `verify` finds promise 6 broken and nothing else.
    """
    with database() as engine:
        with reading(engine) as connection:
            named = None if account is None else [accounts.get(connection, account).account]
            in_scope = accounts.listed(connection, named)
        whole = [one.account for one in in_scope if account is not None or one.frozen_at is None]
        for name in rebuild_projections(engine, whole):
            print_line(f"rebuilt {name}")
    note_frozen([one for one in in_scope if one.frozen_at is not None])


@app.command()
def check() -> None:
    """Check that the schema is the newest and the reporting views are there. Exit 1 where it is not so."""
    try:
        with bare_database() as engine:
            schema.check(engine)
            views.check(engine)
    except SetupError as error:
        print_line(str(error))
        raise typer.Exit(1) from None
    print_line(f"schema {schema.NEWEST}: the newest")


@app.command()
def partitions(
    ahead: Annotated[int, typer.Option(help="How many months after this one.")] = AHEAD,
    since: Annotated[str | None, typer.Option(help="From this month on, as YYYY-MM; default: this month.")] = None,
) -> None:
    """Make the month partitions that are missing (PostgreSQL). Run it each day: it does nothing where they are there.

    Rows of a month that stand in the default partition move into it.
    """
    with database() as engine:
        refuse_sqlite(engine)
        made = make_partitions(engine, now=datetime.now(UTC), ahead=ahead, since=since)
    _print_made(made)
    if not made:
        print_line("every partition was there already")


@app.command()
def detach(
    before: Annotated[str, typer.Option(help="Months (of UTC) before this one, as YYYY-MM.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be detached.")] = False,
) -> None:
    """Detach old months (PostgreSQL): their events, charges and deductions become tables that can be dumped or dropped.

    Identities, journal, credits and balances stay, and a call that is sent again is still known. What needs the calls
    of a detached month (its report, a late credit) is refused until it is attached again. A month that verify has not
    seen whole is not detached.
    """
    with database() as engine:
        months = detach_months(engine, before=before, now=datetime.now(UTC), dry_run=dry_run)
    for month in months:
        print_line(f"{'would detach' if dry_run else 'detached'} {month}")
    if not months:
        print_line(f"no month before {before} is attached")


@app.command()
def attach(month: Annotated[str, typer.Argument(help="The month (of UTC), as YYYY-MM.")]) -> None:
    """Attach a detached month again (PostgreSQL); late calls of it that came meanwhile join it."""
    with database() as engine:
        attach_month(engine, month)
    print_line(f"attached {month}; check what came back: costmeter verify --full")


@app.command()
def distribute() -> None:
    """Distribute the tables by account over a Citus cluster; run it again as often as you like."""
    with database() as engine:
        made = distribute_tables(engine)
    for table in made:
        print_line(f"distributed {table}")
    if not made:
        print_line("every table was distributed already")


def _print_made(names: list[str]) -> None:
    for name in names:
        print_line(f"made {name}")
