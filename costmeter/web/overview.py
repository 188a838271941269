"""The first page: what a day and its month cost, what is to come, and what needs somebody."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    """What one model or project cost on one day in one band; or all that have no name in the chart together."""

    day: str
    name: str | None
    band: str | None
    calls: int
    cost: str
    are_others: bool = False


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
    costs: dict[str | None, int] = {}
    for row in rows:
        costs[row[view.by]] = costs.get(row[view.by], 0) + parse_total(row["cost"])
    ordered = sorted(costs, key=lambda name: (-costs[name], name or ""))
    places = {name: place for place, name in enumerate(ordered[:SERIES])}
    others = ordered[SERIES:]
    priced = {row[view.by] for row in rows if row["band"] is not None}
    series = [Series(name, 0, format_amount(costs[name]), name in priced) for name in places]
    if others:
        series.append(Series(None, len(others), format_amount(sum(costs[name] for name in others))))
    parts = _parts(rows, view.by, places)
    bars = [
        Bar(part.day, SERIES if part.are_others else places[part.name], part.band == OFF_PEAK, part.cost)
        for part in parts
        if part.cost != "0.00"
    ]
    days = [(view.day - timedelta(days=ago)).isoformat() for ago in reversed(range(DAYS))]
    total = format_amount(sum(costs.values()))
    return DaysChart(stacked_days(days, bars), series, parts, total, days[0], days[-1])


def _parts(rows: Sequence[Mapping[str, Any]], by: str, named: Collection[str | None]) -> list[Part]:
    """The rows, those without a name in the chart summed by day and band; the newest day first, the others last."""
    sums: dict[tuple[str, bool, str | None, str | None], tuple[int, int]] = {}
    for row in rows:
        is_named = row[by] in named
        key = (row["day"], not is_named, row[by] if is_named else None, row["band"])
        calls, cost = sums.get(key, (0, 0))
        sums[key] = (calls + row["calls"], cost + parse_total(row["cost"]))
    ordered = sorted(sums, key=lambda key: (key[1], key[2] or "", key[3] or ""))
    ordered.sort(key=lambda key: key[0], reverse=True)
    return [
        Part(day, name, band, sums[key][0], format_amount(sums[key][1]), are_others)
        for key in ordered
        for day, are_others, name, band in [key]
    ]
