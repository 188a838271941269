"""What a digest says: what a day, week or month came to, for what, and how long the balance lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from costmeter.core.notices import Chart, Notice, Said, Table, counted, exact, in_url, money, when

_OF = {"daily": "Day", "weekly": "Week", "monthly": "Month"}
_REST = "others"
MOST_BUDGETS = 10  # that a digest names


def digest(notice: Notice) -> Said:
    """The numbers of a digest, what they are made of, and a chart of the last days."""
    facts = notice.facts
    unit, spend = facts["currency"], facts["spend"]
    of, whose = f"{_OF[facts['digest']]} {facts['name']}", _whose(facts)
    cost = money(spend["cost"], unit)
    title = f"{of}: {cost} spent, {whose}"
    text = f"{counted(spend['calls'], 'call')} of {whose} cost {cost}{_against(spend, unit)}."
    tables = [_shares(facts[f"by_{name}"], name, unit) for name in ("project", "model", "band")]
    tables.append(_budgets(facts["budgets"]))
    account = facts["account"]
    path = f"/accounts/{in_url(account)}" if account else "/"
    month = facts["name"][: len("YYYY-MM")] if facts["digest"] != "weekly" else facts["from"][: len("YYYY-MM")]
    command = f"costmeter report --month {month}" + (f" --account {account}" if account else f" --currency {unit}")
    lines = [*_lines(facts), *_ahead(facts)]
    return Said(title, text, lines, path, command, [table for table in tables if table.rows], _chart(facts))


def _whose(facts: Mapping[str, Any]) -> str:
    return f"account {facts['account']}" if facts["account"] else f"{facts['accounts']:,} accounts"


def _against(spend: Mapping[str, Any], unit: str) -> str:
    if spend["before"] is None or spend["change_percent"] is None:
        return ""
    more = "less" if spend["change"].startswith("-") else "more"
    change = f"{spend['change_percent'].removeprefix('-')} % {more}"
    return f", {change} than the {money(spend['before'], unit)} of the time before"


def _lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    unit, spend, zone_name = facts["currency"], facts["spend"], facts["timezone"]
    start = when(facts["from"], zone_name).removesuffix(f" ({zone_name})")
    lines = [("Cost", exact(spend["cost"], unit)), ("Calls", f"{spend['calls']:,}")]
    lines += [("Saved by the cache", money(spend["cache_savings"], unit))]
    lines += [("Saved by cheap hours", money(spend["off_peak_savings"], unit))]
    doubts = ", ".join(f"{count:,} {name}" for name, count in facts["doubts"].items() if count)
    lines += [("Not in it, or in doubt", doubts)] * bool(doubts)
    return [*lines, ("Period", f"{start} to {when(facts['to'], zone_name)}")]


def _ahead(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The forecast of the month, and how long the balance lasts, where they are known."""
    unit, lines = facts["currency"], []
    expected = (facts["forecast"] or {}).get("forecast")
    if expected:
        amount, low, high = (money(expected[name], unit) for name in ("amount", "low", "high"))
        lines.append(("This month, forecast", f"{amount}, between {low} and {high}"))
    total = (facts["runway"] or {}).get("total")
    if total:
        lasts = f", lasts to {total['runs_out_on']}" if total.get("runs_out_on") else ""
        lines.append(("Balance", f"{money(total['balance'], unit)}{lasts}"))
    return lines


def _shares(shares: Mapping[str, Any], name: str, unit: str) -> Table:
    rows = [
        [one["name"] or f"no {name}", money(one["cost"], unit), f"{one['percent']} %" if one["percent"] else ""]
        for one in shares["top"]
    ]
    others = shares["others"]
    rows += [[f"{others['count']:,} others", money(others["cost"], unit), ""]] * bool(others["count"])
    return Table(f"By {name}", (name, "cost", "share"), rows)


def _budgets(budgets: Sequence[Mapping[str, Any]]) -> Table:
    """The budgets as they stand now, those that are used most first."""
    rows = [
        [one["budget"], f"{exact(one['spent'], one['unit'])} of {exact(one['amount'], one['unit'])} per {one['per']}",
         f"{one['used_percent']} %"]
        for one in budgets[:MOST_BUDGETS]
    ]  # fmt: skip
    rows += [[f"{len(budgets) - MOST_BUDGETS:,} others", "", ""]] * (len(budgets) > MOST_BUDGETS)
    return Table("Budgets", ("budget", "spent", "used"), rows)


def _chart(facts: Mapping[str, Any]) -> Chart | None:
    days = facts["days"]
    if days is None or not days["rows"]:
        return None
    first, end = (date.fromisoformat(days[edge]) for edge in ("from", "to"))
    every = [(first + timedelta(days=number)).isoformat() for number in range((end - first).days)]
    amounts = {(day, model): "0.00" for day in every for model in days["models"]}  # a day without calls is shown too
    amounts |= {(row["day"], row["model"] or _REST): row["cost"] for row in days["rows"]}
    points = [(day, amount, model) for (day, model), amount in amounts.items()]
    return Chart(f"Spent by day and model, {facts['currency']}", facts["currency"], points)
