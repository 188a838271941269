"""The first page: what a day and its month cost, what is to come, and what needs somebody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response

from costmeter.core.money import format_amount, parse_total
from costmeter.reports.overview import DAYS, View, overview_report
from costmeter.web.access import visitor_of
from costmeter.web.charts import SERIES, Bar, Drawings, stacked_days
from costmeter.web.filters import Asked, filters_of
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
OFF_PEAK = "off_peak"


class Part(NamedTuple):
    """What one model or project cost on one day in one band."""

    day: str
    name: str | None
    band: str | None
    calls: int
    cost: str


class Series(NamedTuple):
    """What a colour of the chart stands for; `others` of them are summed in the last one."""

    name: str | None
    others: int
    cost: str
    is_priced: bool = True  # whether any call of it has a price


class DaysChart(NamedTuple):
    """The cost of the last days as a chart, and the same numbers as a table."""

    drawings: Drawings
    series: Sequence[Series]
    parts: Sequence[Part]
    total: str
    first: str
    last: str


@router.get("/")
def overview(request: Request) -> Response:
    """The overview, of what the filters in its address choose."""
    visitor, site = visitor_of(request), site_of(request)
    now = site.now()
    with site.reading() as connection:
        filters = filters_of(connection, visitor.grant, Asked.of(request.query_params), now)
        report = overview_report(connection, filters.view, site.book, now)
    return page(
        request,
        "overview",
        visitor=visitor,
        filters=filters,
        view=filters.view,
        report=report,
        chart=None if report["days"] is None else days_chart(report["days"]["rows"], filters.view),
        chart_days=DAYS,
        now=now,
    )


def days_chart(rows: Sequence[Mapping[str, Any]], view: View) -> DaysChart:
    """The chart of a report by day, model or project, and band: what cost the most by name, the rest together."""
    parts = _parts(rows, view.by)
    costs: dict[str | None, int] = {}
    for part in parts:
        costs[part.name] = costs.get(part.name, 0) + parse_total(part.cost)
    ordered = sorted(costs, key=lambda name: (-costs[name], name or ""))
    named, others = ordered[:SERIES], ordered[SERIES:]
    priced = {part.name for part in parts if part.band is not None}
    series = [Series(name, 0, format_amount(costs[name]), name in priced) for name in named]
    if others:
        series.append(Series(None, len(others), format_amount(sum(costs[name] for name in others))))
    days = [(view.day - timedelta(days=ago)).isoformat() for ago in reversed(range(DAYS))]
    bars = [
        Bar(part.day, min(ordered.index(part.name), SERIES), part.band == OFF_PEAK, part.cost)
        for part in parts
        if part.cost != "0.00"
    ]
    total = format_amount(sum(costs.values()))
    return DaysChart(stacked_days(days, bars), series, parts, total, days[0], days[-1])


def _parts(rows: Sequence[Mapping[str, Any]], by: str) -> list[Part]:
    """The rows without the models that a chart by project does not tell apart; the newest day first."""
    sums: dict[tuple[str, str | None, str | None], tuple[int, int]] = {}
    for row in rows:
        key = (row["day"], row[by], row["band"])
        calls, cost = sums.get(key, (0, 0))
        sums[key] = (calls + row["calls"], cost + parse_total(row["cost"]))
    ordered = sorted(sums, key=lambda key: (key[1] or "", key[2] or ""))
    ordered.sort(key=lambda key: key[0], reverse=True)
    return [Part(*key, sums[key][0], format_amount(sums[key][1])) for key in ordered]
