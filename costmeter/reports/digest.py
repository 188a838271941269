"""The digest of a day, week or month: the numbers that a mail or a message tells, and what its chart needs.

They are the facts of a notice: JSON with amounts as decimal strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from costmeter.core.digests import MONTHLY, Digest, before, last_over
from costmeter.core.errors import DetachedError
from costmeter.core.lessons import percent
from costmeter.core.money import format_amount
from costmeter.core.periods import Period, day_period, format_instant, month_of
from costmeter.reports.budgets import budget_states
from costmeter.reports.forecast import month_forecast, runway_report
from costmeter.store import accounts
from costmeter.store.accounts import Account
from costmeter.store.rollups import TOKENS
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums
from costmeter.store.uncounted import count_uncounted

TOP = 5  # projects and models that are told by name
CHART_DAYS = 30
_MONEY = ("cost", "cache_savings", "off_peak_savings")
_BY = ("project", "model", "band")
_DOUBTS = ("failed", "unmetered", "unpriced", "provisional", "quarantined", "unposted")
_OF_BUDGET = (
    "account", "budget", "filters", "per", "unit", "amount", "spent", "left", "used_percent", "crossed", "period",
)  # fmt: skip
Record = Mapping[str, Any]


def digest_report(
    connection: Connection, kind: str, now: datetime, *, account: str | None = None, currency: str | None = None
) -> dict[str, Any]:
    """The shape of `costmeter digest --json`: the last day, week or month that is over, against the one before.

    Of one account, or of all of a currency; two currencies in scope are an InputError. A day or week has the calls that
    completed in it, a month those that were booked in it, as its statement has. The forecast is of the present month;
    the balance and how long it lasts are told of a single account.
    """
    everything = Scope(month=month_of(now, "UTC"), account=account, currency=currency)
    in_scope = everything.accounts(connection)
    timezone = accounts.shared_zone(in_scope)
    digest = last_over(kind, now, timezone)
    scope = _scope_of(digest, everything, timezone)
    found = _sums(connection, scope, timezone)
    earlier = _earlier(connection, _scope_of(before(digest), everything, timezone), timezone)
    single = in_scope[0] if len(in_scope) == 1 else None
    present = replace(everything, month=month_of(now, timezone))
    return {
        **_head(digest, in_scope, timezone, single, currency),
        "spend": _spend(found, earlier),
        **{f"by_{name}": _shares(name, found, earlier) for name in _BY},
        "doubts": _doubts(connection, scope, in_scope, found),
        "forecast": month_forecast(connection, present, now) if in_scope else None,
        "runway": runway_report(connection, single, now) if single else None,
        "budgets": _budgets(connection, in_scope, now),
        "days": _days(connection, everything, digest, timezone),
    }


def _head(
    digest: Digest, in_scope: Sequence[Account], timezone: str, single: Account | None, currency: str | None
) -> dict[str, Any]:
    start, end = digest.period(timezone)
    assert start is not None
    assert end is not None
    return {
        "digest": digest.kind,
        "name": digest.name,
        "account": single.account if single else None,
        "accounts": len(in_scope),
        "currency": in_scope[0].currency if in_scope else currency,
        "from": format_instant(start),
        "to": format_instant(end),
        "timezone": timezone,
    }


def _scope_of(digest: Digest, everything: Scope, timezone: str) -> Scope:
    if digest.kind == MONTHLY:
        return replace(everything, month=digest.name)
    return replace(everything, month=None, period=digest.period(timezone))


def _sums(connection: Connection, scope: Scope, timezone: str, by: Sequence[str] = _BY) -> list[dict[str, Any]]:
    return [*read_sums(connection, scope, scope.accounts(connection), by, timezone)]


def _earlier(connection: Connection, scope: Scope, timezone: str) -> list[dict[str, Any]] | None:
    """The sums of the time before; None where calls of that are detached."""
    try:
        return _sums(connection, scope, timezone)
    except DetachedError:
        return None


def _spend(found: Sequence[Record], earlier: Sequence[Record] | None) -> dict[str, Any]:
    sums = {name: sum(record[name] for record in found) for name in ("calls", *TOKENS, *_MONEY)}
    shown = {name: format_amount(amount) if name in _MONEY else amount for name, amount in sums.items()}
    return {**shown, **_change(sums["cost"], None if earlier is None else sum(record["cost"] for record in earlier))}


def _change(cost: int, earlier: int | None) -> dict[str, Any]:
    if earlier is None:
        return {"before": None, "change": None, "change_percent": None}
    change = cost - earlier
    return {
        "before": format_amount(earlier),
        "change": format_amount(change),
        "change_percent": percent(change, earlier),
    }


def _shares(name: str, found: Sequence[Record], earlier: Sequence[Record] | None) -> dict[str, Any]:
    """What cost the most by name, with its share of the whole, and what the others cost together."""
    costs, were = _costs(name, found), None if earlier is None else _costs(name, earlier)
    total = sum(costs.values())
    ordered = sorted(costs, key=lambda key: (-costs[key], key or ""))
    top = [
        {
            "name": key,
            "cost": format_amount(costs[key]),
            "percent": percent(costs[key], total),
            **_change(costs[key], None if were is None else were.get(key, 0)),
        }
        for key in ordered[:TOP]
    ]
    rest = ordered[TOP:]
    others = {"count": len(rest), "cost": format_amount(sum(costs[key] for key in rest))}
    return {"top": top, "others": others}


def _costs(name: str, records: Sequence[Record]) -> dict[str | None, int]:
    costs: dict[str | None, int] = {}
    for record in records:
        costs[record[name]] = costs.get(record[name], 0) + record["cost"]
    return costs


def _doubts(
    connection: Connection, scope: Scope, in_scope: Sequence[Account], found: Sequence[Record]
) -> dict[str, int]:
    """What is not in the cost, or not for certain."""
    counted = {name: sum(record[name] for record in found) for name in ("unpriced", "provisional")}
    counted |= count_uncounted(connection, scope, in_scope)
    return {name: counted[name] for name in _DOUBTS}


def _budgets(connection: Connection, in_scope: Sequence[Account], now: datetime) -> list[dict[str, Any]]:
    """The budgets in force that have a present period, those that are used most first."""
    states = budget_states(connection, [account.account for account in in_scope], now)
    told = [{name: state[name] for name in _OF_BUDGET} for state in states if state["period"] is not None]
    return sorted(told, key=lambda state: (-Decimal(state["used_percent"]), state["account"], state["budget"]))


def _days(connection: Connection, everything: Scope, digest: Digest, timezone: str) -> dict[str, Any] | None:
    """What the models cost on each of the last days, for a chart: those that cost the most by name, the rest as null.

    None where calls of these days are detached.
    """
    first = digest.end - timedelta(days=CHART_DAYS)
    period = Period(day_period(first, timezone).start, digest.period(timezone).end)
    try:
        found = _sums(connection, replace(everything, month=None, period=period), timezone, ("day", "model"))
    except DetachedError:
        return None
    costs = _costs("model", found)
    models = sorted((name for name in costs if name), key=lambda name: (-costs[name], name))[:TOP]
    by_day: dict[tuple[str, str | None], int] = {}
    for record in found:
        key = (record["day"], record["model"] if record["model"] in models else None)
        by_day[key] = by_day.get(key, 0) + record["cost"]
    rows = [
        {"day": day, "model": model, "cost": format_amount(cost)}
        for (day, model), cost in sorted(by_day.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    ]
    return {"from": first.isoformat(), "to": digest.end.isoformat(), "models": models, "rows": rows}
