"""Charts: Vega-Lite specifications, drawn once; in a page by its script, elsewhere as an image."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from costmeter.core.errors import SetupError
from costmeter.core.notices import Chart

WIDTH, HEIGHT = 520, 150
SCALE = 2  # pixels of an image for one of the chart: screens have that many
COLOURS = ("#2f6fde", "#e08a1e", "#2e9e6b", "#a35bd0", "#d0475b", "#4aa3b8", "#8a7a5c", "#7a8699")
_TEXT, _LINE, _PAPER = "#41505f", "#dde3ea", "#ffffff"
_DAY = "length(datum.label) == 10 ? slice(datum.label, 5) : datum.label"  # the year of a date goes without saying


def bars(chart: Chart) -> dict[str, Any]:
    """The specification of a chart of bars over time; a bar of several parts has a colour for each."""
    _check_installed()
    import altair as alt

    rows = [{"time": label, "amount": float(amount), "part": part} for label, amount, part in chart.points]
    across = alt.X(
        "time:O",
        title=None,
        axis=alt.Axis(labelAngle=0, labelOverlap="greedy", labelSeparation=8, labelExpr=_DAY, grid=False),
    )
    up = alt.Y("amount:Q", title=None, axis=alt.Axis(tickCount=4, domain=False, ticks=False))
    drawn = alt.Chart(alt.InlineData(values=rows), title=chart.caption).encode(x=across, y=up)
    parts = list(dict.fromkeys(part for _, _, part in chart.points))
    if parts == [""]:
        drawn = drawn.mark_bar(color=COLOURS[0])
    else:
        scale = alt.Scale(domain=parts, range=list(COLOURS))
        drawn = drawn.mark_bar().encode(color=alt.Color("part:N", title=None, scale=scale))
    styled = drawn.properties(width=WIDTH, height=HEIGHT, background=_PAPER, padding=12)
    styled = styled.configure_axis(
        labelColor=_TEXT, titleColor=_TEXT, gridColor=_LINE, domainColor=_LINE, tickColor=_LINE
    )
    styled = styled.configure_title(color=_TEXT, anchor="start", fontSize=13).configure_view(stroke=None)
    specification: dict[str, Any] = styled.configure_legend(labelColor=_TEXT, orient="bottom").to_dict()
    return specification


def png(specification: dict[str, Any]) -> bytes:
    """The image of a specification; nothing is fetched for it."""
    _check_installed()
    import vl_convert

    image: bytes = vl_convert.vegalite_to_png(specification, scale=SCALE, allowed_base_urls=[])
    return image


def bars_png(chart: Chart) -> bytes:
    """A chart of bars as an image."""
    return png(bars(chart))


def _check_installed() -> None:
    missing = [name for name in ("altair", "vl_convert") if find_spec(name) is None]
    if missing:
        raise SetupError(f"{', '.join(missing)} not installed: run pip install 'costmeter[alerts]'")
