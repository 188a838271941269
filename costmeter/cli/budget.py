"""`costmeter budget`: limits on what calls may cost, or on their tokens, in each period."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from costmeter import wiring
from costmeter.cli.database import database, snapshot
from costmeter.cli.options import Account, AnyAccount, AsJson, By, Timezone, decided_by
from costmeter.cli.output import print_json, print_line, print_table
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.periods import parse_instant
from costmeter.core.secrets import without_secrets
from costmeter.reports.budgets import budget_shape, budget_states
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.remove_budget import remove_budget

app = typer.Typer(help="Budgets: limits on cost or tokens in each period, with thresholds that raise alerts.")
Name = Annotated[str, typer.Argument(help="The budget's name, one of a kind in its account.")]


@app.command()
def add(
    name: Name,
    per: Annotated[str, typer.Option(help="day, week, month, quarter, year, all, or such as 14d and 5h.")],
    amount: Annotated[str | None, typer.Option(help='Of the account\'s currency, such as "100.00".')] = None,
    tokens: Annotated[str | None, typer.Option(help="Instead of an amount: so many tokens.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only calls where KEY=VALUE, of project, user, api_key, model or tag:NAME; repeated: all."),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(help="Alert at this share or amount: 80% or 50.00; repeat it. Default: 80%, 100%."),
    ] = None,
    forecast: Annotated[
        list[str] | None, typer.Option(help="Alert when so much is forecast for the period's end; repeat it.")
    ] = None,
    stops: Annotated[bool, typer.Option("--stops", help="Refuse reservations past it; else it only warns.")] = False,
    timezone: Timezone = None,
    start: Annotated[str | None, typer.Option("--from", help="When it begins; default: with this period.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="When it ends; default: never.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Who is told; repeat it. Default: all channels.")] = None,
    by: By = None,
    account: Account = DEFAULT_ACCOUNT,
    as_json: AsJson = False,
) -> None:
    """Add a budget. Calls that are posted already count. To change one, remove it and add it anew.

    Added again the same way nothing is changed; another way it is refused.
    """
    new = NewBudget(
        account, name, per, amount, tokens, where or (), timezone, at, forecast or (), stops,
        None if start is None else parse_instant(start, "from"), None if end is None else parse_instant(end, "to"),
        channel or None,
    )  # fmt: skip
    now = datetime.now(UTC)
    with database() as engine:
        kept, created = add_budget(engine, new, by=decided_by(by), home=wiring.home(), now=now)
    if as_json:
        print_json({**budget_shape(kept), "created": created})
        return
    word = "added" if created else "kept, was added before:"
    print_line(f"{word} budget {name} of {_amount(budget_shape(kept))} per {per} for account {account}")


@app.command("list")
def list_budgets(account: AnyAccount = None, as_json: AsJson = False) -> None:
    """List the budgets in force, each with what is spent of its present period."""
    named = None if account is None else [without_secrets(account)]
    with snapshot() as connection:
        found = budget_states(connection, named, datetime.now(UTC))
    if as_json:
        print_json(found)
        return
    columns = dict.fromkeys(("account", "budget", "of", "per"), "left")
    columns |= dict.fromkeys(("amount", "spent", "left"), "amount") | {"used": "right"}
    columns |= dict.fromkeys(("unit", "until", "crossed", "stops"), "left")
    print_table(columns, [_row(one) for one in found])


def _row(state: dict[str, Any]) -> list[str]:
    used = state["used_percent"]
    until = state["period"]["to"] if state["period"] else None
    return [
        state["account"], state["budget"], _filters(state["filters"]), state["per"], state["amount"],
        state["spent"] or "", state["left"] or "", f"{used}%" if used else "not begun or over", state["unit"],
        until or "", ", ".join(state["crossed"]), "yes" if state["stops"] else "",
    ]  # fmt: skip


def _filters(filters: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in filters.items()) or "all calls"


def _amount(shape: dict[str, Any]) -> str:
    return f"{shape['amount']} {shape['unit']}"


@app.command()
def remove(name: Name, by: By = None, account: Account = DEFAULT_ACCOUNT, as_json: AsJson = False) -> None:
    """Remove a budget: it counts no more. The alerts that it raised stay in the list."""
    with database() as engine:
        removed = remove_budget(engine, account, name, by=decided_by(by), now=datetime.now(UTC))
    if as_json:
        print_json(budget_shape(removed))
        return
    print_line(f"removed budget {name} of {_amount(budget_shape(removed))} per {removed.budget.per}")
