"""The charts of operations: how many calls there were in each hour or day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from costmeter.web.charts import Drawings, draw

_HOUR, _DAY = "slice(datum.label, 11, 16)", "slice(datum.label, 5)"  # of the labels, what an axis has room for

_FEW = 5


def counted_bars(rows: Sequence[Mapping[str, Any]], unit: str) -> Drawings:
    """A bar for each hour or day, also for those without a call."""
    label = _HOUR if unit == "hour" else _DAY
    most = max(row["calls"] for row in rows)
    ticks = {"values": [*range(most + 1)]} if most < _FEW else {"tickCount": 4}  # there is no half of a call
    return draw({
        "data": {"values": [{"at": row[unit], "calls": row["calls"]} for row in rows]},
        "mark": {"type": "bar", "cornerRadius": 1, "aria": False, "fill": "var(--series-1)"},
        "encoding": {
            "x": {"field": "at", "type": "ordinal", "title": None,
                  "scale": {"domain": [row[unit] for row in rows], "paddingInner": 0.25},
                  "axis": {"labelExpr": label, "labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 12}},
            "y": {"field": "calls", "type": "quantitative", "title": None,
                  "axis": {**ticks, "format": "~s"}},
        },
    })  # fmt: skip
