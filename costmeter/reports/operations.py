"""Operations: whether calls come in, are posted and add up, and what of the installation needs a hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection

from costmeter.core.errors import DetachedError
from costmeter.core.periods import Period, day_period, format_instant, zone
from costmeter.reports.database import database_report
from costmeter.reports.machine import Machine
from costmeter.reports.operation_concerns import concerns
from costmeter.reports.overview import View
from costmeter.reports.quarantine import open_report
from costmeter.reports.scheduler import jobs_report
from costmeter.reports.spend import spend_report
from costmeter.store import accounts, checkpoints, events, freezes, journal, notices, watched
from costmeter.store.accounts import Account
from costmeter.store.freezes import FROZEN
from costmeter.store.scope import Scope

HOURS, DAYS = 24, 30  # that are told one by one
LATELY = timedelta(days=7)  # in which notices that were given up are told
MOST = 20  # accounts that are named of those that wait or were not verified


def operations_report(connection: Connection, view: View, machine: Machine | None, now: datetime) -> dict[str, Any]:
    """What the page of the same name shows, of the accounts of a view.

    `machine` is for who may see the whole installation: without it, what is of no account is null. For who sees some
    projects only, so is what belongs to whole accounts.
    """
    in_scope = _in_scope(connection, view)
    told: dict[str, Any] = {"calls": _calls(connection, view, in_scope, now), "books": None, "installation": None}
    if view.is_whole:
        told["books"] = _books(connection, view, in_scope)
    if machine is not None:
        told["installation"] = _installation(connection, machine, now)
    return {**told, "concerns": concerns(told["books"], told["installation"], now)}


def _in_scope(connection: Connection, view: View) -> list[Account]:
    return accounts.listed(connection) if view.account is None else [accounts.get(connection, view.account)]


def _calls(connection: Connection, view: View, in_scope: Sequence[Account], now: datetime) -> dict[str, Any] | None:
    """The measured and posted calls of the last hours and days, by completion; null where some are detached."""
    hour = now.astimezone(zone(view.timezone)).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    begins = [hour - timedelta(hours=ago) for ago in reversed(range(HOURS))]
    days = [view.day - timedelta(days=ago) for ago in reversed(range(DAYS))]
    of_hours = Period(begins[0], hour + timedelta(hours=1))
    of_days = Period(day_period(days[0], view.timezone).start, day_period(view.day, view.timezone).end)
    shown = [at.astimezone(zone(view.timezone)).isoformat().replace("+00:00", "Z") for at in begins]
    try:
        return {
            "hours": _counted(connection, view, in_scope, "hour", period=of_hours, shown=shown),
            "days": _counted(connection, view, in_scope, "day", period=of_days, shown=[f"{day}" for day in days]),
        }
    except DetachedError:
        return None


def _counted(
    connection: Connection,
    view: View,
    in_scope: Sequence[Account],
    unit: Literal["hour", "day"],
    *,
    period: Period,
    shown: Sequence[str],
) -> dict[str, Any]:
    """The calls of each hour or day, also of those without one, whatever the currency: calls are no money."""
    rows = dict.fromkeys(shown, 0)
    totals = dict.fromkeys(("calls", "failed", "unmetered"), 0)
    where = {} if view.project is None else {"project": view.project}
    for currency in sorted({one.currency for one in in_scope}):
        scope = Scope(period=period, account=view.account, currency=currency, where=where)
        found = spend_report(connection, scope, by=(unit,), timezone=view.timezone).as_dict()
        for row in found["rows"]:
            rows[row[unit]] = rows.get(row[unit], 0) + row["calls"]
        for name in totals:
            totals[name] += found["totals"][name]
    assert period.start is not None
    assert period.end is not None
    return {
        "from": format_instant(period.start),
        "to": format_instant(period.end),
        "rows": [{unit: at, "calls": calls} for at, calls in sorted(rows.items())],
        **totals,
    }


def _books(connection: Connection, view: View, in_scope: Sequence[Account]) -> dict[str, Any]:
    """What of whole accounts waits, is frozen, was verified or could not be used."""
    names = None if view.account is None else [view.account]
    newest, booked = events.newest(connection, names), journal.last_booked(connection, names)
    return {
        "newest_call": None if newest is None else _instants(newest._asdict()),
        "posting": {**_waiting(connection, names), "last_booked_at": format_instant(booked) if booked else None},
        "frozen": [_frozen(connection, one) for one in in_scope if one.frozen_at is not None],
        "verified": _verified(connection, names),
        "quarantine": open_report(connection, view.account),
    }


def _waiting(connection: Connection, names: Sequence[str] | None) -> dict[str, Any]:
    """The calls that are not posted yet: those that wait the longest first, MOST accounts by name."""
    found = sorted(watched.waiting(connection, names).items(), key=lambda one: (one[1].since, one[0]))
    listed = [{"account": name, "calls": one.calls, "since": format_instant(one.since)} for name, one in found[:MOST]]
    return {"unposted": sum(one.calls for _, one in found), "accounts": listed, "left_out": max(len(found) - MOST, 0)}


def _frozen(connection: Connection, account: Account) -> dict[str, Any]:
    assert account.frozen_at is not None
    reason = [one.reason for one in freezes.of_account(connection, account.account) if one.kind == FROZEN][-1]
    return {"account": account.account, "since": format_instant(account.frozen_at), "reason": reason}


def _verified(connection: Connection, names: Sequence[str] | None) -> dict[str, Any]:
    """How far ledgers were verified: those with the most facts since then first, MOST of them by name."""
    found = checkpoints.verified(connection, names)
    behind = [_instants(one._asdict()) for one in found if one.facts]
    return {
        "accounts": len(found),
        "whole": len(found) - len(behind),
        "behind": behind[:MOST],
        "left_out": max(len(behind) - MOST, 0),
    }


def _installation(connection: Connection, machine: Machine, now: datetime) -> dict[str, Any]:
    """What belongs to no account: the database, the scheduler, and this process with its machine."""
    failing = machine.poster.failing_since
    return {
        "poster": {
            "is_alive": machine.poster.is_alive,
            "failing_since": format_instant(failing) if failing else None,
        },
        "scheduler": {**jobs_report(connection, machine.plan, now), "plan_error": machine.plan_error},
        "database": database_report(connection, now),
        "given_up": notices.given_up_since(connection, now - LATELY),
        "spool": None
        if machine.spool is None
        else {**machine.spool._asdict(), "lanes": [lane._asdict() for lane in machine.spool.lanes]},
        "gateway": None if machine.gateway is None else machine.gateway._asdict(),
    }


def _instants(shape: dict[str, Any]) -> dict[str, Any]:
    return {name: format_instant(value) if isinstance(value, datetime) else value for name, value in shape.items()}
