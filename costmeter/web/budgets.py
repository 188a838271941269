"""Budgets: all of them at a glance, and one of them with how it burns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from costmeter.core.access import FINANCE
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.periods import format_instant, parse_instant, zone
from costmeter.reports.alerts import alert_shape
from costmeter.reports.budget_list import budget_list
from costmeter.reports.burn import budget_report
from costmeter.reports.reservations import reservations_of
from costmeter.store import accounts, alerts
from costmeter.web.access import visitor_of
from costmeter.web.budget_charts import burn_bar, burn_chart
from costmeter.web.route import PageRoute
from costmeter.web.seen import accounts_seen, page_number
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None
AT_ONCE = 20  # budgets of a page
ALERTS = 10  # of a budget, the newest
EXPLORED_BY = ("project", "user", "api_key", "model")


@router.get("/budgets")
def budgets(request: Request, account: Text = None, timezone: Text = None) -> Response:
    """Every budget that the reader may see: what is spent, what is left, and until when it lasts."""
    visitor, site = visitor_of(request), site_of(request)
    place, now = page_number(request.query_params.get("page")), site.now()
    with site.reading() as connection:
        seen = accounts_seen(connection, visitor.grant, account, timezone)
        report = budget_list(connection, seen.names, now, first=(place - 1) * AT_ONCE, limit=AT_ONCE)
    return page(
        request,
        "budgets",
        visitor=visitor,
        seen=seen,
        report=report,
        bars=[burn_bar(one) if one["period"] else None for one in report["budgets"]],
        place=place,
        may_change=visitor.grant.may(FINANCE),
        now=now,
        said_now=format_instant(now),
    )


@router.get("/budgets/{name}")
def budget(request: Request, name: str, account: Text = None, timezone: Text = None, before: Text = None) -> Response:
    """A budget: its period step by step, by what mostly, what is to come, what it told and what is held back of it."""
    visitor, site = visitor_of(request), site_of(request)
    own, now = visitor.grant.whole_account(account or DEFAULT_ACCOUNT), site.now()
    instant = parse_instant(before, "before") if before else None
    with site.reading() as connection:
        report = budget_report(connection, own, name, now, before=instant)
        held = reservations_of(connection, own, report["number"], report["unit"])
        told = alerts.listed(connection, [own], rule=f"budget {report['number']}", limit=ALERTS + 1)
        shown_zone = timezone or accounts.get(connection, own).timezone
    zone(shown_zone)
    return page(
        request,
        "budget",
        visitor=visitor,
        budget=report,
        bar=burn_bar(report) if report["period"] else None,
        chart=burn_chart(report),
        alerts=[alert_shape(one) for one in told[:ALERTS]],
        has_more_alerts=len(told) > ALERTS,
        held=held,
        explore={by: explore_path(report, by) for by in EXPLORED_BY},
        timezone=shown_zone,
        may_change=visitor.grant.may(FINANCE),
        now=now,
        said_now=format_instant(now),
    )


def explore_path(report: Mapping[str, Any], by: str, value: str | None = None) -> str | None:
    """Where the calls of a budget's period are looked at by a dimension, or those of one value of it."""
    if report["steps"] is None:
        return None
    filters = report["filters"] | ({} if value is None else {by: value})
    asked = [("account", report["account"]), *(("where", f"{key}={one}") for key, one in filters.items())]
    asked += [("by", by), ("from", report["period"]["from"]), ("to", report["steps"]["to"])]
    return f"/explore?{urlencode([*asked, ('timezone', report['timezone'])])}"
