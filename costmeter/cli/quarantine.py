"""`costmeter quarantine`: what could not be used, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.options import AnyAccount, AsJson
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.core.errors import InputError
from costmeter.core.periods import format_instant
from costmeter.store import quarantine
from costmeter.store.quarantine import Item
from costmeter.store.tables import QuarantineRow

app = typer.Typer(help="Quarantine: what could not be used, and why.")


@app.command("list")
def list_items(account: AnyAccount = None, as_json: AsJson = False) -> None:
    """List what is in quarantine, newest first."""
    conditions = [QuarantineRow.state == quarantine.OPEN]
    if account is not None:
        conditions.append(QuarantineRow.account == account)
    with snapshot() as connection:
        items = quarantine.listed(connection, *conditions)
    if as_json:
        print_json([_shown(item) for item in items])
        return
    columns = dict.fromkeys(("item", "account", "kind", "place", "received", "error"), "left")
    rows = [(i.item.hex(), i.account, i.kind, i.place, format_instant(i.received_at), i.error) for i in items]
    print_table(columns, rows)


@app.command()
def show(item: Annotated[str, typer.Argument(help="The item, as the list names it.")], as_json: AsJson = False) -> None:
    """Show one item with all that was kept of it."""
    try:
        key = bytes.fromhex(item)
    except ValueError:
        raise InputError("item", item, "is no item; see: costmeter quarantine list") from None
    with snapshot() as connection:
        shown = _shown(quarantine.get(connection, key))
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        if name != "body" and value is not None:
            print_line(f"{name.replace('_', ' '):<16}{value}")
    print_json(shown["body"])


def _shown(item: Item) -> dict[str, Any]:
    return {
        **item._asdict(),
        "item": item.item.hex(),
        "completed_at": format_instant(item.completed_at) if item.completed_at else None,
        "received_at": format_instant(item.received_at),
    }
