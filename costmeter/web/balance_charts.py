"""The charts of a balance: what there was on each day, and what moved a month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from costmeter.core.money import format_amount, parse_total
from costmeter.web.charts import Drawings, draw

_WIDTH, _ROW = 280, 32  # of a waterfall's plot, and the height of one step: it is as readable on a phone as on a desk
_NAMED = 84  # the width of the names beside it, in whatever font
_NAMES = {  # what fits beside a bar; the table says it in full
    "opening": "Opened with",
    "credit": "Credits",
    "void": "Voided",
    "correction": "Corrected",
    "usage": "Usage",
    "adjustment": "Adjusted",
    "expiry": "Expired",
}


class Step(NamedTuple):
    """A bar of a waterfall: from where to where, in units of 10^-12."""

    name: str
    start: int
    end: int
    colour: str


def balance_chart(rows: Sequence[Mapping[str, str]]) -> Drawings:
    """A step for each day; granted balance stands on what is topped up, and what is overdrawn hangs below zero."""
    values = [_day(row) for row in rows]
    across = {"field": "day", "type": "temporal", "title": None, "scale": {"type": "utc"},
              "axis": {"format": "%m-%d", "labelOverlap": "greedy", "labelSeparation": 12, "tickCount": 8}}  # fmt: skip
    return draw({
        "data": {"values": values, "format": {"parse": {"day": "utc:'%Y-%m-%d'"}}},
        "encoding": {"x": across},
        "layer": [_area(2, "granted_from", "granted_to"), _area(1, "zero", "topped_up")],
    })  # fmt: skip


def _day(row: Mapping[str, str]) -> dict[str, Any]:
    granted, topped_up = (parse_total(row[name]) for name in ("granted", "topped_up"))
    base = max(topped_up, 0)
    heights = {"granted_from": base, "granted_to": base + granted, "zero": 0, "topped_up": topped_up}
    return {"day": row["day"], **{name: _height(units) for name, units in heights.items()}}


def _area(series: int, start: str, end: str) -> dict[str, Any]:
    colour = f"var(--series-{series})"
    return {
        "mark": {"type": "area", "interpolate": "step", "aria": False, "fill": f"var(--series-{series}-pale)",
                 "line": {"stroke": colour, "strokeWidth": 1.5, "aria": False}},
        "encoding": {
            "y": {"field": end, "type": "quantitative", "title": None, "axis": {"tickCount": 4}},
            "y2": {"field": start},
        },
    }  # fmt: skip


def waterfall(month: Mapping[str, Any]) -> Drawings:
    """A month from top to bottom: what there was, each movement where the one before ended, and what there is."""
    steps = _steps(month)
    values = [
        {"at": place, "name": step.name, "start": _height(step.start), "end": _height(step.end), "colour": step.colour}
        for place, step in enumerate(steps)
    ]
    colours = sorted({step.colour for step in steps})
    return draw({
        "width": _WIDTH,
        "height": _ROW * len(steps),
        "data": {"values": values},
        "mark": {"type": "bar", "aria": False, "cornerRadius": 1, "height": {"band": 0.62}},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "title": None, "sort": None,
                  "axis": {"grid": False, "minExtent": _NAMED}},
            "x": {"field": "start", "type": "quantitative", "title": None,
                  "axis": {"grid": True, "tickCount": 4}},
            "x2": {"field": "end"},
            "fill": {"field": "colour", "type": "nominal", "legend": None,
                     "scale": {"domain": colours, "range": colours}},
        },
    })  # fmt: skip


def _steps(month: Mapping[str, Any]) -> list[Step]:
    opening = parse_total(month["opening"]["total"])
    moved = [parse_total(row["total"]) for row in month["movements"]]
    ends = [*accumulate(moved, initial=opening)]
    found = [Step("Beginning", 0, opening, "var(--series-1)")]
    for row, start, end in zip(month["movements"], ends, ends[1:], strict=False):
        found.append(Step(_NAMES[row["kind"]], start, end, "var(--gain)" if end >= start else "var(--loss)"))
    return [*found, Step("End", 0, ends[-1], "var(--series-1)")]


def _height(units: int) -> float:
    """Of a bar; a float only here, where it is pixels."""
    return float(format_amount(units))
