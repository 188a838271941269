"""`costmeter alerts`: what was raised."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from costmeter.cli.database import snapshot
from costmeter.cli.options import AnyAccount, AsJson
from costmeter.cli.output import print_json, print_table
from costmeter.core.secrets import without_secrets
from costmeter.reports.budgets import alert_shape
from costmeter.store import alerts

app = typer.Typer(help="Alerts: thresholds that were crossed.")


@app.command("list")
def list_alerts(
    account: AnyAccount = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest alerts, and whether they have recovered since."""
    named = None if account is None else [without_secrets(account)]
    with snapshot() as connection:
        found = [alert_shape(one) for one in alerts.listed(connection, named, limit=limit)]
    if as_json:
        print_json(found)
        return
    columns = dict.fromkeys(("raised", "account", "alert", "threshold", "spent", "of", "recovered"), "left")
    print_table(columns, [_row(one) for one in found])


def _row(shape: dict[str, Any]) -> list[str]:
    facts = shape["facts"]
    unit = facts.get("unit", "")
    name = f"budget {facts['budget']}" if "budget" in facts else shape["rule"].replace("_", " ")
    return [
        shape["raised_at"], shape["account"] or "", name, shape["threshold"],
        f"{facts['spent']} {unit}" if "spent" in facts else "", facts.get("amount", ""), shape["recovered_at"] or "",
    ]  # fmt: skip
