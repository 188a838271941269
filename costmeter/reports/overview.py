"""The overview: what a day and its month cost, what is to come, what needs somebody; all of it from other reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from costmeter.core.errors import DetachedError
from costmeter.core.lessons import percent
from costmeter.core.money import format_amount
from costmeter.core.notice_kinds import KINDS
from costmeter.core.periods import Period, day_period, format_instant, month_of
from costmeter.core.price_book import PriceBook
from costmeter.reports.alerts import message_of
from costmeter.reports.calls import Call, call_shape, calls_until, list_calls
from costmeter.reports.forecast import forecast_report, month_forecast, runway_report
from costmeter.reports.lessons import month_missed
from costmeter.reports.prices import bands_at
from costmeter.reports.spend import DOUBTS, spend_report, spend_rows
from costmeter.store import accounts, alerts, observations
from costmeter.store.accounts import Account
from costmeter.store.scope import Scope

DAYS = 30  # that are told day by day
MOST = 5  # accounts whose balances, savings missed and latest calls are told together
CALLS = 10  # the latest ones
GROUPS = ("model", "project")


@dataclass(frozen=True, slots=True)
class View:
    """What an overview is of: accounts of one currency, perhaps of one project, up to the end of a day.

    `names` are the accounts that its reader may see, None for all there are; without `account` it is of all of those.
    `by` is what costs are told apart by, one of GROUPS.
    """

    account: str | None
    currency: str | None
    project: str | None
    timezone: str
    day: date
    by: str
    names: Sequence[str] | None = None
    may_see_accounts: bool = True

    @property
    def where(self) -> list[str]:
        return [] if self.project is None else [f"project={self.project}"]

    @property
    def is_whole(self) -> bool:
        """Whether it is of whole accounts: balances and books have no projects."""
        return self.project is None and self.may_see_accounts


def overview_report(connection: Connection, view: View, book: PriceBook, now: datetime) -> dict[str, Any]:
    """What the page of the same name shows. `today` and `spend` are spend reports, `days` has rows of one, with less.

    `days` is null where calls of the last DAYS are detached; of older days and months DetachedError is raised.
    """
    day = day_period(view.day, view.timezone)
    assert day.start is not None
    everything = Scope(period=day, account=view.account, currency=view.currency, where=_filters(view))
    in_scope = everything.accounts(connection)
    month = min(f"{view.day:%Y-%m}", month_of(now, accounts.shared_zone(in_scope)))
    monthly = replace(everything, period=None, month=month)
    first = day_period(view.day - timedelta(days=DAYS - 1), view.timezone)
    recent = replace(everything, period=Period(first.start, day.end))
    days = _days(connection, recent, view)
    of_month = spend_report(connection, monthly, by=("band",)).as_dict()
    return {
        "day": view.day.isoformat(),
        "month": month,
        "accounts": len(in_scope),
        "today": spend_report(connection, everything, by=("band",), timezone=view.timezone).as_dict(),
        "spend": of_month,
        "savings": _savings(connection, view, in_scope, month, of_month["totals"]),
        "forecast": _forecast(connection, monthly, view, in_scope, now),
        "balances": _balances(connection, view, in_scope, now),
        "days": days,
        "bands": _bands(connection, recent, book, days, now),
        "concerns": _concerns(connection, view, in_scope, of_month["totals"]),
        "calls": _calls(connection, view, in_scope, day, now),
    }


def _filters(view: View) -> dict[str, str]:
    return {} if view.project is None else {"project": view.project}


def _days(connection: Connection, recent: Scope, view: View) -> dict[str, Any] | None:
    """What was spent on the last days by model or project, and by band."""
    by = ("day", view.by, "band")
    try:
        found = spend_rows(connection, recent, by=by, sums=("calls", "cost"), timezone=view.timezone)
    except DetachedError:
        return None
    return {"by": list(by), "rows": [one | {"cost": format_amount(one["cost"])} for one in found]}


def _savings(
    connection: Connection, view: View, in_scope: Sequence[Account], month: str, totals: dict[str, Any]
) -> dict[str, Any]:
    """What the cache and the cheap hours saved in the month; what was missed is null for more than MOST accounts."""
    hits, misses = totals["cache_hit_tokens"], totals["cache_miss_tokens"]
    missed = None
    if len(in_scope) <= MOST:
        each = (month_missed(connection, one.account, month, view.project) for one in in_scope)
        missed = format_amount(sum(each))
    return {
        "cache_hit_percent": percent(hits, hits + misses),
        "cache_savings": totals["cache_savings"],
        "off_peak_savings": totals["off_peak_savings"],
        "off_peak_missed": missed,
    }


def _forecast(
    connection: Connection, monthly: Scope, view: View, in_scope: Sequence[Account], now: datetime
) -> dict[str, Any] | None:
    if not in_scope:
        return None
    if view.account is not None:
        return forecast_report(connection, view.account, now=now, month=monthly.month, where=view.where)
    return month_forecast(connection, monthly, now)


def _balances(
    connection: Connection, view: View, in_scope: Sequence[Account], now: datetime
) -> list[dict[str, Any]] | None:
    """What each account has and how long it lasts; null for more than MOST accounts, or parts of them."""
    if not view.is_whole or len(in_scope) > MOST:
        return None
    return [{"account": one.account, **runway_report(connection, one, now)} for one in in_scope]


def _bands(
    connection: Connection, recent: Scope, book: PriceBook, days: dict[str, Any] | None, now: datetime
) -> list[dict[str, Any]]:
    """The bands of the models that were used on the last days."""
    if days is None or recent.currency is None:
        return []
    rows = days["rows"]
    if "model" not in days["by"]:
        rows = spend_rows(connection, recent, by=("model",), sums=("calls",), timezone="UTC")
    return bands_at(book, {row["model"] for row in rows if row["model"]}, recent.currency, now)


def _concerns(
    connection: Connection, view: View, in_scope: Sequence[Account], totals: dict[str, Any]
) -> dict[str, Any]:
    """What is not in the month's cost or not for certain, and, of whole accounts, what waits for somebody."""
    found = {"doubts": {name: totals[name] for name in DOUBTS}, "frozen": [], "differences": [], "alerts": []}
    if not view.is_whole:
        return found
    names = {one.account for one in in_scope}
    opened = [name for name in observations.open_accounts(connection) if name in names]
    differences = [one for name in opened for one in _open(connection, name)]
    if view.names is None and view.account is None:
        names.add(alerts.NO_ACCOUNT)
    return found | {
        "frozen": [one.account for one in in_scope if one.frozen_at is not None],
        "differences": [
            {
                "account": one.account,
                "observed_at": format_instant(one.observed_at),
                "difference": format_amount(one.difference.total),
                "currency": one.currency,
            }
            for one in differences
        ],
        "alerts": [_alert(one) for one in alerts.standing_of(connection, None, tuple(KINDS)) if one.account in names],
    }


def _open(connection: Connection, account: str) -> list[observations.Observation]:
    """The newest observation of an account, where it differs and nothing has settled it."""
    settled = observations.last_settled(connection, account)
    return observations.open_since(connection, account, settled.number if settled else 0, 1)


def _alert(alert: alerts.Alert) -> dict[str, Any]:
    """A standing alert in the words in which it was told."""
    return {"title": message_of(alert).title, "raised_at": format_instant(alert.raised_at)}


def _calls(
    connection: Connection, view: View, in_scope: Sequence[Account], day: Period, now: datetime
) -> list[dict[str, Any]] | None:
    """The latest calls, the last that came first; of a day that is over those that completed last before its end.

    Null for more than MOST accounts.
    """
    if len(in_scope) > MOST:
        return None
    found: list[Call] = []
    if day.end is None or day.end > now:
        for one in in_scope:
            found += list_calls(connection, one.account, project=view.project, limit=CALLS)
        newest = sorted(found, key=lambda call: call.event_key, reverse=True)[:CALLS]
    else:
        for one in in_scope:
            found += calls_until(connection, one.account, day.end, project=view.project, limit=CALLS)
        newest = sorted(found, key=lambda call: (call.event.completed_at, call.event_key), reverse=True)[:CALLS]
    return [call_shape(call) for call in newest]
