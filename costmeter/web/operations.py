"""The page of operations: whether calls come in, are posted and add up, and what needs a hand."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from costmeter.reports.operations import operations_report
from costmeter.web.access import visitor_of
from costmeter.web.filters import Asked, filters_of
from costmeter.web.operations_charts import counted_bars
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None
UNITS = ("hour", "day")


@router.get("/operations")
def operations(request: Request, account: Text = None, project: Text = None, timezone: Text = None) -> Response:
    """How everything stands; who is limited to accounts or projects gets what is of those."""
    visitor, site = visitor_of(request), site_of(request)
    now = site.now()
    asked = Asked(account=account or None, project=project or None, timezone=timezone or None)
    machine = None if visitor.grant.is_limited() else site.machine()
    with site.reading() as connection:
        filters = filters_of(connection, visitor.grant, asked, now)
        report = operations_report(connection, filters.view, machine, now)
    calls = report["calls"]
    return page(
        request,
        "operations",
        visitor=visitor,
        filters=filters,
        view=filters.view,
        report=report,
        charts=None
        if calls is None
        else {f"{unit}s": counted_bars(calls[f"{unit}s"]["rows"], unit) for unit in ("hour", "day")},
        timezone=filters.view.timezone,
        now=now,
    )
