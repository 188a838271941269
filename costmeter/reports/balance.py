"""What an account has and had: each day's balance, its credits, what moved a month, and what DeepSeek said of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from costmeter.core.errors import DetachedError, FrozenError
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.core.watch import Thresholds
from costmeter.reports.forecast import runway_report
from costmeter.reports.movements import month_movements
from costmeter.reports.shapes import account_detail, credit_shape, observation_shape
from costmeter.store import credits, observations
from costmeter.store.accounts import Account
from costmeter.store.balance_days import balance_days
from costmeter.store.balances import balance_now
from costmeter.store.observations import OPEN, Observation

CREDITS = 25  # that are told at once, the newest first
SEEN = 10  # observations that are told at once, the newest first
SOON = timedelta(days=max(Thresholds().grant_days))  # before it expires a grant is told of


@dataclass(frozen=True, slots=True)
class View:
    """What is told of an account: days of a time zone, both included, and a billing month.

    `credits_before` and `seen_before` are the numbers of a credit and of an observation: only older ones are told.
    """

    account: Account
    first: date
    last: date
    timezone: str
    month: str
    credits_before: int | None = None
    seen_before: int | None = None


def balance_report(connection: Connection, view: View, now: datetime) -> dict[str, Any]:
    """What the page of the balance shows.

    `now` is in DeepSeek's own shape. `days` and `month` have a `reason` where they cannot be told.
    """
    account = view.account
    return {
        "account": account_detail(connection, account),
        "now": balance_now(connection, account, now).as_dict(),
        "runway": runway_report(connection, account, now),
        "days": _days(connection, view, now),
        "month": _month(connection, view, now),
        **_credits(connection, view, now),
        **_observations(connection, view),
    }


def _days(connection: Connection, view: View, now: datetime) -> dict[str, Any]:
    """What the account had at the end of each day, and what its days cost before it was tracked.

    `reason` says why that cannot be told, where it cannot.
    """
    days = [view.first + timedelta(days=number) for number in range((view.last - view.first).days + 1)]
    try:
        found = balance_days(connection, view.account, days, view.timezone, now)
    except DetachedError as error:
        return {"rows": [], "untracked": None, "reason": str(error)}
    return {
        "reason": None,
        "rows": [
            {
                "day": one.day.isoformat(),
                "at": format_instant(one.at),
                "granted": format_amount(one.balance.granted),
                "topped_up": format_amount(one.balance.topped_up),
                "total": format_amount(one.balance.total),
            }
            for one in found
        ],
        "untracked": format_amount(sum(one.untracked for one in found)),
    }


def _month(connection: Connection, view: View, now: datetime) -> dict[str, Any]:
    """What moved the month; `reason` says why that cannot be told, where it cannot."""
    try:
        return {**month_movements(connection, view.account, view.month, now), "reason": None}
    except (DetachedError, FrozenError) as error:
        return {"month": view.month, "reason": str(error)}


def _credits(connection: Connection, view: View, now: datetime) -> dict[str, Any]:
    """Credits, the newest first, each with what it has left; `more_credits` is where the next ones begin."""
    left = credits.balances(connection, view.account.account)
    booked = credits.of_account(connection, view.account.account)[::-1]
    if view.credits_before is not None:
        booked = [one for one in booked if one.credit.credit_id < view.credits_before]
    shown = [credit_shape(one, left[one.credit.credit_id]) for one in booked[:CREDITS]]
    expiring = [
        shape["credit_id"]
        for one, shape in zip(booked, shown, strict=False)
        if one.credit.expires_at is not None
        and now < one.credit.expires_at <= now + SOON
        and one.void is None
        and shape["remaining"] != "0.00"
    ]
    more = shown[-1]["credit_id"] if len(booked) > CREDITS else None
    return {"credits": shown, "expiring": expiring, "more_credits": more}


def _observations(connection: Connection, view: View) -> dict[str, Any]:
    """Observations, the newest first; `settled_by` is the number of what settled one whose difference was open."""
    name = view.account.account
    seen = observations.listed(connection, name, before=view.seen_before, limit=SEEN + 1)
    settled = observations.last_settled(connection, name)
    shown = [{**observation_shape(one), "settled_by": settles(one, settled)} for one in seen[:SEEN]]
    return {"observations": shown, "more_observations": shown[-1]["number"] if len(seen) > SEEN else None}


def settles(one: Observation, settled: Observation | None) -> int | None:
    """The number of a later observation that settled an open one: a balance tells of all that came before it."""
    if one.status != OPEN or settled is None or settled.number < one.number:
        return None
    return settled.number
