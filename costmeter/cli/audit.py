"""`costmeter audit`: who changed money, a price or a key, when, what and why."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.options import AnyAccount, AsJson
from costmeter.cli.output import print_json, print_table
from costmeter.reports.shapes import audit_shape
from costmeter.store import audit as log


def audit(
    account: AnyAccount = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest.", min=1)] = 100,
    as_json: AsJson = False,
) -> None:
    """List changes of money, prices and keys, newest first: who, when, what and why."""
    with snapshot() as connection:
        found = log.listed(connection, None if account is None else [account], limit=limit)
    shown = [audit_shape(entry) for entry in found]
    if as_json:
        print_json(shown)
        return
    columns = dict.fromkeys(("at", "by", "action", "account", "subject", "change", "reason"), "left")
    print_table(columns, [[_cell(entry[name]) for name in columns] for entry in shown])


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)
