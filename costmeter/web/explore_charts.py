"""Charts of Explore: drawn over time, else a bar beside each name, since names of users stay out of drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from costmeter.reports.explore_chart import HITS, SERIES
from costmeter.web.charts import Drawings, draw

Shape = Mapping[str, Any]
_HOUR = "replace(slice(datum.label, 5, 16), 'T', ' ')"
_COLOURS = [f"var(--series-{place + 1})" for place in range(SERIES + 1)]


class Part(NamedTuple):
    """A part of a bar: its series, and from where to where it goes, in hundredths of the longest bar."""

    series: int
    start: str
    width: str


def over_time(shape: Shape, metric: str) -> Drawings:
    """A stacked bar for each day or hour; shares are lines, as they do not add up."""
    axis = {"labelExpr": "slice(datum.label, 5)" if shape["across"] == "day" else _HOUR, "labelAngle": 0,
            "labelOverlap": "greedy", "labelSeparation": 12}  # fmt: skip
    times = [one["name"] for one in shape["slots"]]
    gaps = {"paddingInner": 0.25} if metric != HITS else {"padding": 0.5}
    encoding: dict[str, dict[str, Any]] = {
        "x": {"field": "time", "type": "ordinal", "title": None, "axis": axis, "scale": {"domain": times, **gaps}},
        "y": {"field": "value", "type": "quantitative", "title": None, "axis": {"tickCount": 4, "format": "~s"}},
        "color": {"field": "series", "type": "ordinal", "legend": None,
                  "scale": {"domain": [*range(SERIES + 1)], "range": _COLOURS}},
    }  # fmt: skip
    if metric == HITS:
        encoding["y"] = {**encoding["y"], "scale": {"domain": [0, 100]}, "axis": {"tickCount": 4}}
        points = {"type": "circle", "size": 22, "opacity": 1, "aria": False}
        marks = [{"mark": {"type": "line", "strokeWidth": 2, "aria": False}}, {"mark": points}]
        return draw({"data": {"values": _every(shape)}, "encoding": encoding, "layer": marks})
    values = [{**one, "value": float(one["value"])} for one in _every(shape) if one["value"] is not None]
    bars = {"mark": {"type": "bar", "cornerRadius": 1, "aria": False}}
    return draw({"data": {"values": values}, **bars, "encoding": {**encoding, "order": {"field": "series"}}})


def bars(shape: Shape, metric: str) -> list[list[Part]]:
    """The parts of each bar; that of the others has none, as together they may be longer than all that are told."""
    own = [place for place, one in enumerate(shape["slots"]) if not one["others"]]
    if metric == HITS:
        whole = [[Part(0, "0", _length(shape["slots"][place]["value"], 100.0))] for place in own]
        return whole + [[]] * (len(shape["slots"]) - len(own))
    parts = [sorted(_parts_of(shape, place)) for place in own]
    longest = max((sum(value for _, value in one) for one in parts), default=0.0) or 1.0
    drawn = [_stacked(one, longest) for one in parts]
    return drawn + [[]] * (len(shape["slots"]) - len(own))


def table(shape: Shape) -> list[dict[str, Any]]:
    """The bars that there is something of, each with the value of every series; a series without a call has none."""
    found = {(one["slot"], one["series"]): one["value"] for one in shape["parts"]}
    rows = [
        {**slot, "values": [(found.get((place, at)), (place, at) in found) for at in range(len(shape["series"]))]}
        for place, slot in enumerate(shape["slots"])
    ]
    return [row for row in rows if any(is_any for _, is_any in row["values"])]


def _every(shape: Shape) -> list[dict[str, Any]]:
    """A value for each time and series; None where nothing is known of it, which breaks a line."""
    found = {(one["slot"], one["series"]): one["value"] for one in shape["parts"]}
    return [
        {"time": slot["name"], "series": series, "value": found.get((place, series))}
        for place, slot in enumerate(shape["slots"])
        for series in range(len(shape["series"]))
    ]


def _parts_of(shape: Shape, slot: int) -> list[tuple[int, float]]:
    """The series and lengths of one bar; what was taken back more than given has no length."""
    return [(one["series"], max(0.0, float(one["value"] or 0))) for one in shape["parts"] if one["slot"] == slot]


def _stacked(parts: Sequence[tuple[int, float]], longest: float) -> list[Part]:
    drawn, start = [], 0.0
    for series, value in parts:
        drawn.append(Part(series, f"{start:.3f}", _length(value, longest)))
        start += 100 * value / longest
    return drawn


def _length(value: str | float | None, longest: float) -> str:
    return f"{100 * float(value or 0) / longest:.3f}"
