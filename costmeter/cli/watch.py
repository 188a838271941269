"""`costmeter watch`: look now, and see which alerts of the watch stand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import typer

from costmeter import wiring
from costmeter.cli.database import database
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.core.periods import format_instant
from costmeter.core.watch import KINDS
from costmeter.services.watch import watch as look
from costmeter.store import alerts
from costmeter.store.alerts import Alert
from costmeter.store.engine import reading


def watch(as_json: AsJson = False) -> None:
    """Look at every account and at the installation now, and print which alerts stand. Exit 1 where any does.

    serve does the same each minute and the scheduler each five: what newly stands is told once, and so is its end.
    """
    with database() as engine:
        looked = look(engine, book=wiring.price_book(), limits=wiring.watch_limits(), now=datetime.now(UTC))
        with reading(engine) as connection:
            standing = alerts.standing_of(connection, None, KINDS)
    if as_json:
        print_json({"accounts": looked.accounts, "alerts": [_as_json(alert) for alert in standing]})
    elif standing:
        columns = dict.fromkeys(("account", "rule", "threshold", "since", "facts"), "left")
        print_table(columns, [_row(alert) for alert in standing])
    else:
        print_line(f"nothing stands; looked at {looked.accounts:,} accounts")
    raise typer.Exit(int(bool(standing)))


def _as_json(alert: Alert) -> dict[str, Any]:
    named = ("account", "rule", "period", "threshold", "kind")
    shown: dict[str, Any] = {name: getattr(alert, name) for name in named}
    return shown | {"raised_at": format_instant(alert.raised_at), "facts": alert.facts}


def _row(alert: Alert) -> list[str]:
    facts = ", ".join(f"{name} {_text(value)}" for name, value in sorted(alert.facts.items()) if _text(value))
    return [alert.account, alert.rule, alert.threshold, format_instant(alert.raised_at), facts]


def _text(value: Any) -> str:
    """A fact for people; what is a table of its own is left to --json."""
    if isinstance(value, list):
        return "" if any(isinstance(one, dict) for one in value) else " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}: {number}" for name, number in value.items())
    return "" if value is None else str(value)
