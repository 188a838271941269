"""The few kinds of panels that the dashboards are made of, and the questions that they ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.prometheus import Dataquery as Figure
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    FieldTextAlignment,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

# Which database and which Prometheus, the reader chooses: a variable of the dashboard.
DATABASE = models.DataSourceRef(type_val="grafana-postgresql-datasource", uid="${database}")
PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${prometheus}")
GREEN, ORANGE, RED = "green", "orange", "red"
WIDTH = 24  # columns of Grafana's grid


class _SqlQuery(Dataquery):
    """A question to PostgreSQL, which the SDK has no type for."""

    def __init__(self, ref_id: str, sql: str, layout: str) -> None:
        self._json = {
            "refId": ref_id,
            "datasource": DATABASE,
            "editorMode": "code",
            "format": layout,
            "rawQuery": True,
            "rawSql": sql,
        }

    def to_json(self) -> dict[str, object]:
        return self._json


class Sql(Builder[Dataquery]):
    """A question to the reporting views. Over time it gives the columns time, metric and value; else a table."""

    def __init__(self, sql: str, *, over_time: bool = False) -> None:
        self._sql, self._layout = " ".join(sql.split()), "time_series" if over_time else "table"

    def build(self) -> Dataquery:
        return _SqlQuery("A", self._sql, self._layout)


Panel = stat.Panel | timeseries.Panel | table.Panel | bargauge.Panel


def figure(expression: str, legend: str = "", *, ref: str = "A", now: bool = False) -> Figure:
    """A question to Prometheus: over the time that is looked at, or of now, as a table's row for each series."""
    asked = Figure().expr(" ".join(expression.split())).ref_id(ref).datasource(PROMETHEUS).legend_format(legend)
    return asked.instant().format(PromQueryFormat.TABLE) if now else asked.range()


def number(*, color: bool = False) -> stat.Panel:
    """One number, large; in the colour of its threshold where it has one."""
    mode = BigValueColorMode.BACKGROUND if color else BigValueColorMode.NONE
    shown = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    return stat.Panel().color_mode(mode).graph_mode(BigValueGraphMode.NONE).reduce_options(shown).height(4)


def lines() -> timeseries.Panel:
    """Lines over time."""
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    drawn = timeseries.Panel().legend(legend.show_legend(True)).tooltip(tooltip).height(8)
    return drawn.show_points(VisibilityMode.NEVER).line_width(1).fill_opacity(10).min(0)


def bars() -> timeseries.Panel:
    """Bars over time that stand on each other."""
    stacked = common.StackingConfig().mode(StackingMode.NORMAL).group("A")
    return lines().draw_style(GraphDrawStyle.BARS).fill_opacity(80).line_width(0).stacking(stacked)


def rows() -> table.Panel:
    """A table."""
    return table.Panel().align(FieldTextAlignment.AUTO).inspect(False).height(8)


def gauges() -> bargauge.Panel:
    """A bar for each row of a table."""
    each = common.ReduceDataOptions().calcs(["lastNotNull"]).values(True)
    return bargauge.Panel().reduce_options(each).orientation(VizOrientation.HORIZONTAL).height(8)


def thresholds(*steps: tuple[float, str], base: str = GREEN) -> builders.ThresholdsConfig:
    """The colours from values on, in order."""
    made = [models.Threshold(value=None, color=base), *(models.Threshold(value=at, color=color) for at, color in steps)]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def column(name: str, **properties: Any) -> tuple[str, list[models.DynamicConfigValue]]:
    """How a table shows one of its columns."""
    return name, [
        models.DynamicConfigValue(id_val=key.replace("__", "."), value=value) for key, value in properties.items()
    ]


class Sheet:
    """A dashboard that grows by rows of panels, from left to right, with ids in order."""

    def __init__(self, uid: str, title: str, description: str, source: models.DataSourceRef) -> None:
        self.dashboard = builders.Dashboard(title).uid(uid).description(description).tags(["costmeter"])
        self.dashboard.timezone("browser").readonly().tooltip(models.DashboardCursorSync.CROSSHAIR)
        self._source, self._ids = source, 0

    def _next(self) -> int:
        self._ids += 1
        return self._ids

    def row(self, title: str, *panels: tuple[int, str, str, Panel, Sequence[Builder[Dataquery]]]) -> None:
        """A heading, and below it panels: columns wide, title, what it says, and what it asks."""
        self.dashboard.with_row(builders.Row(title).id(self._next()))
        for span, name, says, panel, asked in panels:
            panel.id(self._next()).title(name).description(says).datasource(self._source).span(span)
            for target in asked:
                panel.with_target(target)
            self.dashboard.with_panel(panel)
