"""`costmeter quarantine`: what could not be used, and why; sending it again, and deciding that it is not needed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from costmeter import wiring
from costmeter.cli.database import database, snapshot
from costmeter.cli.frozen import note_frozen
from costmeter.cli.options import AnyAccount, AsJson, By, decided_by
from costmeter.cli.output import print_json, print_line, print_note, print_table
from costmeter.core.errors import InputError
from costmeter.core.periods import format_instant
from costmeter.reports.shapes import item_shape
from costmeter.services.discard_items import discard_items
from costmeter.services.replay_items import Replayed, named_items, refused_items, replay_items
from costmeter.store import accounts, quarantine
from costmeter.store.engine import reading

app = typer.Typer(help="Quarantine: what could not be used, and why.")
MOST_SHOWN = 20
Names = Annotated[list[str], typer.Argument(metavar="ITEM...", help="Items, as the list names them.")]
SomeNames = Annotated[list[str] | None, typer.Argument(metavar="[ITEM...]", help="Items, as the list names them.")]


class State(StrEnum):
    OPEN = quarantine.OPEN
    REPLAYED = quarantine.REPLAYED
    DISCARDED = quarantine.DISCARDED
    ALL = "all"


@app.command("list")
def list_items(
    account: AnyAccount = None,
    state: Annotated[State, typer.Option(help="Which to list.")] = State.OPEN,
    as_json: AsJson = False,
) -> None:
    """List what is in quarantine, newest first."""
    conditions = quarantine.conditions(state=None if state is State.ALL else state.value, account=account)
    with snapshot() as connection:
        items = quarantine.listed(connection, *conditions)
    if as_json:
        print_json([item_shape(item) for item in items])
        return
    columns = dict.fromkeys(("item", "account", "kind", "state", "place", "received", "error"), "left")
    rows = [(i.name, i.account, i.kind, i.state, i.place, format_instant(i.received_at), i.error) for i in items]
    print_table(columns, rows)


@app.command()
def show(item: Annotated[str, typer.Argument(help="The item, as the list names it.")], as_json: AsJson = False) -> None:
    """Show one item with all that was kept of it, and what was decided about it."""
    with snapshot() as connection:
        shown = item_shape(quarantine.get(connection, item))
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        if name != "body" and value is not None:
            print_line(f"{name.replace('_', ' '):<16}{value}")
    print_json(shown["body"])


@app.command()
def replay(
    items: SomeNames = None,
    everything: Annotated[bool, typer.Option("--all", help="Every open item that was refused.")] = False,
    account: AnyAccount = None,
    event_id: Annotated[
        str | None, typer.Option(help="For one conflict: it is another call, to be recorded by this new id.")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Send items again as they were kept. Exit 1 where any is still refused.

    What is accepted, or is there already, is closed as replayed: also an event that was corrected and recorded
    meanwhile. What is still refused stays open with its present reason. A line that is no JSON is kept as its hash
    only and cannot be sent: correct it at its source, record it again, and discard the item.

    A conflict is sent again only by its name, and stays refused while the first version stands: an event counts once.
    If the first is right, discard the conflict. If both are calls of their own, one of which was given the other's id,
    name an id that is new: --event-id ID. If the first is wrong, the conflict cannot replace it: what is recorded is
    never changed.
    """
    if bool(items) == everything:
        raise InputError("items", items or None, "name the items to send again, or give --all")
    if event_id is not None and not items:
        raise InputError("event_id", event_id, "gives one conflict an id of its own; name that item")
    if items and account is not None:
        raise InputError("account", account, "goes with --all; an item is named alone")
    shown = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with database() as engine, shown as progress:
        with reading(engine) as connection:
            chosen = named_items(connection, items, event_id) if items else refused_items(connection, account)
        task = progress.add_task("replaying", total=max(len(chosen), 1))
        replayed = replay_items(
            engine,
            chosen,
            book=wiring.price_book(),
            home=wiring.home(),
            by=decided_by(by),
            event_id=event_id,
            progress=lambda count: progress.update(task, advance=count),
        )
        with reading(engine) as connection:
            frozen = accounts.frozen(connection)
    _print(replayed, as_json)
    note_frozen(account for account in frozen if account.account in replayed.tally.accounts)
    raise typer.Exit(int(bool(replayed.still_open)))


@app.command()
def discard(
    items: Names,
    reason: Annotated[str, typer.Option(help="Why they are not to be recorded.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Decide that items are not to be recorded. They stay to be seen, with the reason, and count no more."""
    with database() as engine:
        discarded = discard_items(engine, items, by=decided_by(by), reason=reason, now=datetime.now(UTC))
    if as_json:
        print_json({"discarded": [item.name for item in discarded]})
    else:
        print_line(f"discarded {len(discarded)}")


def _print(replayed: Replayed, as_json: bool) -> None:
    told = [outcome for outcome in replayed.outcomes if outcome.error]
    for outcome in told[:MOST_SHOWN]:
        print_note(f"{outcome.item.name} ({outcome.item.place}): {outcome.state}: {outcome.error}")
    if len(told) > MOST_SHOWN:
        print_note(f"... and {len(told) - MOST_SHOWN} more; see: costmeter quarantine list")
    if as_json:
        outcomes = [{"item": item.name, "state": state, "error": error} for item, state, error in replayed.outcomes]
        print_json({**replayed.tally.counts(), "items": outcomes})
        return
    print_line(f"replayed   {len(replayed.outcomes) - replayed.still_open:>10,}")
    print_line(f"still open {replayed.still_open:>10,}")
