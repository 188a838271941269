"""Charts of pages: Vega-Lite specifications, drawn on the server as SVG that the page's own colours fill.

What is drawn names no colour but the page's custom properties, so that light and dark are one drawing; and it has no
style attribute, which the page's Content-Security-Policy would not apply.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from markupsafe import Markup

WIDE, NARROW = (760, 220), (320, 200)  # width and height of the plot: for desktops, and for phones
SERIES = 7  # that have a colour of their own; what costs less than these is summed
_KEPT = 256  # drawings


class Bar(NamedTuple):
    """A part of a day's bar: which series it is of, whether it is paler than the others, and its height."""

    day: str
    series: int
    pale: bool
    amount: str


class Drawings(NamedTuple):
    """One chart for wide screens and one for narrow ones."""

    wide: Markup
    narrow: Markup


def stacked_days(days: Sequence[str], bars: Sequence[Bar]) -> Drawings:
    """A stacked bar for each day, also for those without one; a height is a float only here, where it is pixels."""
    values = [{"day": one.day, "at": one.series * 2 + one.pale, "amount": float(one.amount)} for one in bars]
    return draw({
        "data": {"values": values},
        "mark": {"type": "bar", "cornerRadius": 1, "aria": False},
        "encoding": {
            "x": {"field": "day", "type": "ordinal", "title": None, "scale": {"domain": [*days], "paddingInner": 0.25},
                  "axis": {"labelExpr": "slice(datum.label, 5)", "labelAngle": 0, "labelOverlap": "greedy",
                           "labelSeparation": 12}},
            "y": {"field": "amount", "type": "quantitative", "title": None, "axis": {"tickCount": 4}},
            "fill": {"field": "at", "type": "ordinal", "legend": None, "scale": _fills()},
            "order": {"field": "at"},
        },
    })  # fmt: skip


def draw(specification: Mapping[str, Any]) -> Drawings:
    """A Vega-Lite specification in the look of the pages, for wide and narrow screens; it holds no text of users."""
    wide, narrow = (_drawn(json.dumps(_framed(specification, size))) for size in (WIDE, NARROW))
    return Drawings(Markup(wide), Markup(narrow))  # noqa: S704  drawn here, of numbers and dates alone


def _framed(specification: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": size[0],
        "height": size[1],
        "background": None,
        "padding": 4,
        "config": {
            "aria": False,
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {"labelColor": "var(--muted)", "gridColor": "var(--rule)",
                     "labelFontSize": 11, "domain": False, "ticks": False, "labelPadding": 6},
            "axisX": {"grid": False},
        },
        **specification,
    }  # fmt: skip


def _fills() -> dict[str, Any]:
    """A colour for each series, and a paler one beside it."""
    places = range(SERIES + 1)
    colours = [f"var(--series-{place + 1}{pale})" for place in places for pale in ("", "-pale")]
    return {"domain": [*range(len(colours))], "range": colours}


@lru_cache(maxsize=_KEPT)
def _drawn(specification: str) -> str:
    import vl_convert

    drawing: str = vl_convert.vegalite_to_svg(json.loads(specification), allowed_base_urls=[])
    return drawing
