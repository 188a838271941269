"""Explore: any metric by any dimensions over any interval, as a chart, a table and a CSV."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from costmeter.reports.explore import METRICS, MOST_BY, explore_csv, explore_report
from costmeter.reports.explore_chart import SLOTS, TIMES
from costmeter.reports.spend import DIMENSIONS
from costmeter.web.access import visitor_of
from costmeter.web.explore_charts import bars, over_time, table
from costmeter.web.exploring import Asked, exploring
from costmeter.web.headers import PAGE
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
_SUGGESTED = 50  # filters
_NOTHING = (0, "0.00", None)


@router.get("/explore")
def explore(request: Request) -> Response:
    """What the address asks for: the rows, their chart, and everything that is not in them."""
    visitor, site = visitor_of(request), site_of(request)
    now = site.now()
    with site.reading() as connection:
        found = exploring(connection, visitor.grant, Asked.of(request.query_params), now)
        report = explore_report(connection, found.question, now)
    chart = report["chart"]
    is_drawn = chart is not None and chart["slots"] is not None
    return page(
        request,
        "explore",
        visitor=visitor,
        exploring=found,
        report=report,
        chart=chart,
        drawings=over_time(chart, report["metric"]) if is_drawn and chart["is_time"] else None,
        bars=bars(chart, report["metric"]) if is_drawn and not chart["is_time"] else None,
        filled=table(chart) if is_drawn else None,
        columns=_columns(report),
        suggested=_suggested(report),
        metrics=METRICS,
        dimensions=DIMENSIONS,
        most_by=MOST_BY,
        most_slots=SLOTS,
    )


@router.get("/explore.csv")
def csv(request: Request) -> Response:
    """All rows of what the address asks for, in the order of the page, as a file."""
    visitor, site = visitor_of(request), site_of(request)
    out = io.StringIO()
    with site.reading() as connection:
        found = exploring(connection, visitor.grant, Asked.of(request.query_params), site.now())
        explore_csv(connection, found.question, out)
    headers = {**PAGE, "Content-Disposition": 'attachment; filename="costmeter-spend.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _columns(report: Mapping[str, Any]) -> list[str]:
    """The metrics that are worth a column: first that which is asked for, then those that are not 0 in all rows."""
    kept = {"calls", "cost", report["sort"].removeprefix("-")}
    told = [*report["rows"], report["totals"], *([report["rest"]] if report["rest"] else [])]
    others = [name for name in METRICS if name in kept or any(row[name] not in _NOTHING for row in told)]
    return [*dict.fromkeys((report["metric"], *others))]


def _suggested(report: Mapping[str, Any]) -> list[str]:
    """Filters that somebody could mean: what the rows are told apart by."""
    names = [name for name in report["by"] if name not in ("account", *TIMES)]
    found = dict.fromkeys(f"{name}={row[name]}" for name in names for row in report["rows"] if row[name] is not None)
    return [*found][:_SUGGESTED]
