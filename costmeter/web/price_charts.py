"""The charts of prices: how the rate of each meter went up and down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from costmeter.core.periods import format_instant, parse_instant
from costmeter.web.charts import draw

_SIZE = {"width": 290, "height": 150}  # of a plot, three of which stand beside each other
_BEFORE = timedelta(days=60)  # that are drawn of a rate whose beginning nobody knows
CHEAP = "off_peak"


def rate_chart(steps: Sequence[Mapping[str, Any]], now: datetime) -> Markup:
    """The rates of one meter over time, up to now: a line for off-peak hours, and one for all others."""
    values = [
        point
        for is_cheap in (False, True)
        for point in _line([step for step in steps if (step["band"] == CHEAP) == is_cheap], steps, now)
    ]
    return draw({
        **_SIZE,
        "padding": {"left": 4, "right": 8, "top": 10, "bottom": 4},
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": "step-after", "aria": False, "strokeWidth": 2},
        "encoding": {
            "x": {"field": "at", "type": "temporal", "title": None, "scale": {"type": "utc"},
                  "axis": {"format": "%Y-%m", "tickCount": 4, "labelOverlap": "greedy", "labelSeparation": 8}},
            "y": {"field": "rate", "type": "quantitative", "title": None, "scale": {"zero": True},
                  "axis": {"tickCount": 4, "minExtent": 34}},
            "detail": {"field": "run", "type": "nominal"},
            "stroke": {"field": "cheap", "type": "nominal", "legend": None,
                       "scale": {"domain": [False, True], "range": ["var(--series-1)", "var(--series-2)"]}},
        },
    }).wide  # fmt: skip


def _line(
    own: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]], now: datetime
) -> Iterator[dict[str, Any]]:
    """Where rates begin and end, as far as that is known and not to come; those that follow each other are one run.

    A rate is a float only here, where it is pixels.
    """
    known = [parse_instant(step[edge]) for step in steps for edge in ("from", "to") if step[edge]]
    before, run = None, 0
    for step in own:
        start = parse_instant(step["from"]) if step["from"] else min(known, default=now) - _BEFORE
        end = min(parse_instant(step["to"]) if step["to"] else now, now)
        run += start != before
        before = end
        said = {"run": f"{step['band'] == CHEAP} {run}", "rate": float(step["rate"]), "cheap": step["band"] == CHEAP}
        if start < end:
            yield from ({"at": format_instant(edge), **said} for edge in (start, end))
