"""What a month or a budget's period will come to, and how long the balance lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from costmeter.core.budgets import TOKENS
from costmeter.core.errors import DetachedError, InputError
from costmeter.core.forecast import COVERAGE, Forecast, Pace, Unknown, find_pace, forecast, still_to_come
from costmeter.core.lessons import percent
from costmeter.core.money import format_amount
from costmeter.core.periods import Period, format_instant, month_before, month_of, zone
from costmeter.core.runway import HORIZON, Lasting, find_runway
from costmeter.store import accounts, balances, credits
from costmeter.store.accounts import Account
from costmeter.store.days import measure, spent_before
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums


def forecast_report(
    connection: Connection,
    account: str,
    *,
    now: datetime,
    month: str | None = None,
    where: Sequence[str] = (),
    unit: str | None = None,
) -> dict[str, Any]:
    """The shape of `costmeter forecast --json`: a billing month of an account, by default the present, and a runway.

    A month that is over comes to what was spent; one that has not begun is refused by an InputError, as is a unit other
    than the account's currency or tokens. The runway is that of the whole account: it is null where calls are filtered,
    or tokens are counted.
    """
    found = accounts.get(connection, account)
    if unit not in (None, TOKENS, found.currency):
        raise InputError("unit", unit, f"use {found.currency}, the currency of account {found.account!r}, or {TOKENS}")
    scope = Scope.checked(month=month or month_of(now, found.timezone), account=found.account, where=where)
    told = month_forecast(connection, scope, now, unit=unit)
    has_runway = not where and unit != TOKENS
    return {"account": found.account, **told, "runway": runway_report(connection, found, now) if has_runway else None}


def month_forecast(connection: Connection, scope: Scope, now: datetime, *, unit: str | None = None) -> dict[str, Any]:
    """What a billing month comes to, of one account or of all of a currency, against the month before."""
    assert scope.month is not None
    in_scope = scope.accounts(connection)
    timezone = accounts.shared_zone(in_scope)
    if scope.month > month_of(now, timezone):
        raise InputError("month", scope.month, "has not begun; leave it out for the present month")
    unit = unit or scope.currency or in_scope[0].currency
    period = scope.interval(timezone)
    spent, unpriced = _spent(connection, scope, in_scope, unit)
    past = spent_before(connection, scope, in_scope, timezone, _today(now, timezone), unit=unit)
    pace = find_pace(past, _today(now, timezone))
    found = forecast_of_period(spent, period, pace, now, timezone)
    amount = found.amount if isinstance(found, Forecast) else None
    assert period.start is not None
    assert period.end is not None
    return {
        "month": scope.month,
        "from": format_instant(period.start),
        "to": format_instant(period.end),
        "timezone": timezone,
        "as_of": format_instant(now),
        "unit": unit,
        "where": dict(scope.where),
        "spent": _shown(spent, unit),
        "unpriced": unpriced,
        **forecast_shape(found, unit, _today(now, timezone)),
        "last_month": _last_month(connection, scope, amount, unit),
    }


def period_forecast(
    connection: Connection,
    account: Account,
    where: Mapping[str, str],
    period: Period,
    unit: str,
    *,
    timezone: str,
    now: datetime,
) -> Forecast | Unknown:
    """What a budget's period will come to: calls of an account, filtered as reports are, in its currency or tokens.

    Days are those of the time zone. Unknown, with the reason, where the period has no end or the past is too short.
    DetachedError where calls of the period are detached.
    """
    if period.start is None or period.end is None:
        return Unknown("the period has no end")
    scope = Scope(period=period, account=account.account, where=where)
    spent, _ = _spent(connection, scope, scope.accounts(connection), unit)
    pace = pace_of_calls(connection, account, where, unit, timezone=timezone, now=now)
    return forecast_of_period(spent, period, pace, now, timezone)


def pace_of_calls(
    connection: Connection, account: Account, where: Mapping[str, str], unit: str, *, timezone: str, now: datetime
) -> Pace | Unknown:
    """What calls of an account, filtered as reports are, take on a day to come; days are those of the time zone."""
    scope, today = Scope(account=account.account, where=where), _today(now, timezone)
    return find_pace(spent_before(connection, scope, [account], timezone, today, unit=unit), today)


def forecast_of_period(
    spent: int, period: Period, pace: Pace | Unknown, now: datetime, timezone: str
) -> Forecast | Unknown:
    """What a period comes to of which this much is spent; what is over comes to just that."""
    rest = still_to_come(period, now, timezone)
    if not rest:
        return Forecast(spent, spent, spent, spent, 0)
    return pace if isinstance(pace, Unknown) else forecast(spent, rest, pace)


def runway_report(connection: Connection, account: Account, now: datetime) -> dict[str, Any]:
    """Days of balance left, of grants and of topped-up credits apart: null for each where nothing tells.

    `days` are whole days, `horizon_days` where it lasts beyond them: then no day on which it runs out is told.
    """
    today = _today(now, account.timezone)
    scope = Scope(account=account.account)
    past = spent_before(connection, scope, [account], account.timezone, today, unit=account.currency)
    pace = find_pace(past, today)
    balance = balances.balance_now(connection, account, now)
    purse, _ = credits.held(connection, [account])[account.account]
    had = {"granted": balance.granted, "topped_up": balance.topped_up, "total": balance.total}
    shape: dict[str, Any] = {"currency": account.currency, "horizon_days": HORIZON, "reason": None}
    if purse.opened_at is None or isinstance(pace, Unknown):
        reason = "no credit was ever added: the balance is not tracked"
        if purse.opened_at is not None and isinstance(pace, Unknown):
            reason = pace.reason
        unknown = {name: {"balance": format_amount(amount), **_lasting(None)} for name, amount in had.items()}
        return {**shape, "reason": reason, **unknown, "expires_unspent": None}
    found = find_runway(purse, pace, now, account.timezone)
    parts = {name: {"balance": format_amount(had[name]), **_lasting(getattr(found, name))} for name in had}
    return {**shape, **parts, "expires_unspent": format_amount(found.expires)}


def forecast_shape(found: Forecast | Unknown, unit: str, today: date) -> dict[str, Any]:
    """A forecast as JSON has it: null, with the reason, where there is none."""
    if isinstance(found, Unknown):
        return {"forecast": None, "reason": found.reason}
    amounts = {name: _shown(getattr(found, name), unit) for name in ("amount", "low", "high")}
    since = (today - timedelta(days=found.days)).isoformat() if found.days else None
    basis = {"days": found.days, "since": since}
    return {"forecast": {**amounts, "coverage_percent": COVERAGE, "basis": basis}, "reason": None}


def _spent(connection: Connection, scope: Scope, in_scope: Sequence[Account], unit: str) -> tuple[int, int]:
    """What calls in scope took, and how many of them have no price."""
    (record,) = read_sums(connection, scope, in_scope, (), "UTC")
    return measure(record, unit), record["unpriced"]


def _last_month(connection: Connection, scope: Scope, amount: int | None, unit: str) -> dict[str, Any] | None:
    """The month before, and how the forecast differs from it; None where calls of that are detached."""
    assert scope.month is not None
    earlier = replace(scope, month=month_before(scope.month))
    try:
        spent, _ = _spent(connection, earlier, earlier.accounts(connection), unit)
    except DetachedError:
        return None
    change = None if amount is None else amount - spent
    return {
        "month": earlier.month,
        "spent": _shown(spent, unit),
        "change": None if change is None else _shown(change, unit),
        "change_percent": None if change is None else percent(change, spent),
    }


def _shown(amount: int, unit: str) -> str | int:
    return amount if unit == TOKENS else format_amount(amount)


def _lasting(found: Lasting | None) -> dict[str, Any]:
    if found is None or found.days is None:
        return {"days": None, "runs_out_on": None}
    return {"days": found.days, "runs_out_on": found.runs_out_on.isoformat() if found.runs_out_on else None}


def _today(now: datetime, timezone: str) -> date:
    return now.astimezone(zone(timezone)).date()
