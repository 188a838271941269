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
from costmeter.reports.burn import budget_report
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.change_budget import change_budget
from costmeter.services.remove_budget import remove_budget

app = typer.Typer(help="Budgets: limits on cost or tokens in each period, with thresholds that raise alerts.")
Name = Annotated[str, typer.Argument(help="The budget's name, one of a kind in its account.")]
Per = Annotated[str, typer.Option(help="day, week, month, quarter, year, all, or such as 14d and 5h.")]
Amount = Annotated[str | None, typer.Option(help='Of the account\'s currency, such as "100.00".')]
Tokens = Annotated[str | None, typer.Option(help="Instead of an amount: so many tokens.")]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help="Only calls where KEY=VALUE, of project, user, api_key, model or tag:NAME; repeated: all."
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(help="Alert at this share or amount: 80% or 50.00; repeat it. Default: 80%, 100%."),
]
Forecast = Annotated[
    list[str] | None, typer.Option(help="Alert when so much is forecast for the period's end; repeat it.")
]
Stops = Annotated[bool, typer.Option("--stops", help="Refuse reservations past it; else it only warns.")]
Start = Annotated[str | None, typer.Option("--from", help="When it begins; default: with this period.")]
End = Annotated[str | None, typer.Option("--to", help="When it ends; default: never.")]
Channel = Annotated[list[str] | None, typer.Option(help="Who is told; repeat it. Default: all channels.")]


@app.command()
def add(
    name: Name,
    *,
    per: Per,
    amount: Amount = None,
    tokens: Tokens = None,
    where: Only = None,
    at: At = None,
    forecast: Forecast = None,
    stops: Stops = False,
    timezone: Timezone = None,
    start: Start = None,
    end: End = None,
    channel: Channel = None,
    by: By = None,
    account: Account = DEFAULT_ACCOUNT,
    as_json: AsJson = False,
) -> None:
    """Add a budget. Calls that are posted already count.

    Added again the same way nothing is changed; another way it is refused.
    """
    new = NewBudget(
        account, name, per, amount, tokens, where or (), timezone, at, forecast or (), stops, _instant(start, "from"),
        _instant(end, "to"), channel or None,
    )  # fmt: skip
    now = datetime.now(UTC)
    with database() as engine:
        kept, created = add_budget(engine, new, by=decided_by(by), home=wiring.home(), now=now)
    if as_json:
        print_json({**budget_shape(kept), "created": created})
        return
    word = "added" if created else "kept, was added before:"
    print_line(f"{word} budget {name} of {_amount(budget_shape(kept))} per {per} for account {account}")


@app.command()
def change(
    name: Name,
    *,
    per: Per,
    amount: Amount = None,
    tokens: Tokens = None,
    where: Only = None,
    at: At = None,
    forecast: Forecast = None,
    stops: Stops = False,
    timezone: Timezone = None,
    start: Annotated[str | None, typer.Option("--from", help="When it begins; default: as it was.")] = None,
    end: End = None,
    channel: Channel = None,
    by: By = None,
    account: Account = DEFAULT_ACCOUNT,
    as_json: AsJson = False,
) -> None:
    """Change a budget: remove it and add it anew, both or neither. What is left out is as in `budget add`."""
    new = NewBudget(
        account, name, per, amount, tokens, where or (), timezone, at, forecast or (), stops, _instant(start, "from"),
        _instant(end, "to"), channel or None,
    )  # fmt: skip
    with database() as engine:
        kept, changed = change_budget(engine, new, by=decided_by(by), now=datetime.now(UTC))
    if as_json:
        print_json({**budget_shape(kept), "changed": changed})
        return
    word = "changed: it is now" if changed else "as it was:"
    print_line(f"budget {name} of account {account} {word} {_amount(budget_shape(kept))} per {per}")


def _instant(text: str | None, field: str) -> datetime | None:
    return None if text is None else parse_instant(text, field)


@app.command()
def show(name: Name, account: Account = DEFAULT_ACCOUNT, as_json: AsJson = False) -> None:
    """Show how a budget burns: day by day against an even pace, by what mostly, what is to come, past periods."""
    with snapshot() as connection:
        report = budget_report(connection, account, name, datetime.now(UTC))
    if as_json:
        print_json(report)
        return
    print_line(f"budget {name} of account {report['account']}, {_filters(report['filters'])}, per {report['per']}")
    if report["period"] is not None:
        used = f"spent {report['spent']} of {_amount(report)} ({report['used_percent']}%), left {report['left']}"
        print_line(f"{used}, until {report['period']['to'] or 'no end'}")
    _print_outlook(report["outlook"], report["unit"])
    if report["steps"] is not None:
        columns = {report["steps"]["per"]: "left", "spent": "amount", "so far": "amount", "even pace": "amount"}
        rows = [[one["label"], one["spent"], one["so_far"], one["even"] or ""] for one in report["steps"]["rows"]]
        print_table(columns, rows)
    if report["periods"]:
        past = [[one["from"], one["to"] or "", one["spent"], f"{one['used_percent']}%"] for one in report["periods"]]
        print_table({"period": "left", "until": "left", "spent": "amount", "used": "right"}, past)


def _print_outlook(outlook: dict[str, Any], unit: str) -> None:
    found = outlook["forecast"]
    if found is None:
        print_line(f"no forecast: {outlook['reason']}")
    else:
        print_line(f"forecast of the period: {found['amount']} {unit}, between {found['low']} and {found['high']}")
    if outlook["used_up_on"] is not None:
        print_line(f"used up on {outlook['used_up_on']} at this pace")


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
