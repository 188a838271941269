"""How budgets burn, drawn: a bar for each, and the steps of a period against an even pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from costmeter.core.budgets import TOKENS
from costmeter.core.notices import units_of
from costmeter.core.periods import parse_instant
from costmeter.core.steps import HOUR, steps
from costmeter.web.charts import Drawings, draw

WHOLE = 1000  # the width of a bar, in its own units
_FARTHEST = 1500  # thousandths of the budget up to which a threshold widens the bar


class BurnBar(NamedTuple):
    """Where each part of a budget's bar ends, and where the budget and its thresholds stand, in thousandths."""

    spent: int
    reserved: int
    forecast: int
    limit: int
    marks: Sequence[int]


def burn_bar(state: Mapping[str, Any]) -> BurnBar:
    """The bar of a budget that has a present period: as wide as the budget, or as what is more than it."""
    unit, amount = state["unit"], units_of(state["amount"], state["unit"])
    spent = max(0, units_of(state["spent"], unit))
    held = spent + units_of(state["reserved"], unit)
    told = state["outlook"]["forecast"]
    foreseen = held if told is None else max(held, units_of(told["amount"], unit))
    marks = [_at(text, unit, amount) for text in state["thresholds"] if not text.startswith("forecast ")]
    near = [mark for mark in marks if mark * WHOLE <= amount * _FARTHEST]
    whole = max(amount, foreseen, *near)
    ends = {"spent": spent, "reserved": held, "forecast": foreseen, "limit": amount}
    places = {name: value * WHOLE // whole for name, value in ends.items()}
    shown = sorted({mark * WHOLE // whole for mark in marks if mark <= whole and mark != amount})
    return BurnBar(**places, marks=shown)


def _at(text: str, unit: str, amount: int) -> int:
    """The amount of a threshold as it is written, near enough for a picture."""
    return round(amount * float(text[:-1]) / 100) if text.endswith("%") else units_of(text, unit)


def burn_chart(report: Mapping[str, Any]) -> Drawings | None:
    """What was spent by the end of each step, the last step's part apart, against an even pace and the budget.

    None where there is nothing to draw: no period, or calls of it are detached.
    """
    told = report["steps"]
    if told is None:
        return None
    keys, rows = _keys(report), told["rows"]
    bars = [part for row in rows for part in _parts(row)]
    amount = float(report["amount"])
    layers = [_bars(bars), _rule(amount)]
    if rows[0]["even"] is not None:
        ends = [(rows[0]["step"], float(rows[0]["even"])), (keys[-1], amount)]
        layers.append(_line(ends, "var(--muted)", [6, 4]))
    if report["outlook"]["forecast"] is not None and rows[-1]["step"] != keys[-1]:
        ends = [
            (rows[-1]["step"], float(rows[-1]["so_far"])),
            (keys[-1], float(report["outlook"]["forecast"]["amount"])),
        ]
        layers.append(_line(ends, "var(--series-1)", [2, 3]))
    return draw({"encoding": {"x": _across(keys, told["per"]), "y": _up(report["unit"])}, "layer": layers})


def _keys(report: Mapping[str, Any]) -> list[str]:
    """Each step of the whole period, those to come too."""
    told, period = report["steps"], report["period"]
    if period["to"] is None:
        return [row["step"] for row in told["rows"]]
    start, end = parse_instant(period["from"]), parse_instant(period["to"])
    return [step.key for step in steps(told["per"], start, end, report["timezone"])][told["left_out"] :]


def _parts(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A bar of two parts: what was spent before, paler, and in the step itself; heights are pixels, and floats."""
    so_far, spent = max(0.0, float(row["so_far"])), max(0.0, float(row["spent"]))
    spent = min(spent, so_far)
    return [{"step": row["step"], "at": 0, "amount": so_far - spent}, {"step": row["step"], "at": 1, "amount": spent}]


def _bars(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    fills = {"domain": [0, 1], "range": ["var(--series-1-pale)", "var(--series-1)"]}
    return {
        "data": {"values": values},
        "mark": {"type": "bar", "cornerRadius": 1, "aria": False},
        "encoding": {
            "fill": {"field": "at", "type": "ordinal", "legend": None, "scale": fills},
            "order": {"field": "at"},
        },
    }


def _rule(amount: float) -> dict[str, Any]:
    return {
        "data": {"values": [{"amount": amount}]},
        "mark": {"type": "rule", "stroke": "var(--bad)", "strokeWidth": 1.5, "aria": False},
        "encoding": {"x": None},
    }


def _line(ends: Sequence[tuple[str, float]], stroke: str, dash: Sequence[int]) -> dict[str, Any]:
    return {
        "data": {"values": [{"step": step, "amount": amount} for step, amount in ends]},
        "mark": {"type": "line", "stroke": stroke, "strokeDash": dash, "strokeWidth": 1.75, "aria": False},
    }


def _across(keys: Sequence[str], per: str) -> dict[str, Any]:
    label = "slice(datum.label, 11, 16)" if per == HOUR else "slice(datum.label, 5)"
    return {
        "field": "step",
        "type": "ordinal",
        "title": None,
        "scale": {"domain": [*keys], "paddingInner": 0.25},
        "axis": {"labelExpr": label, "labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 12},
    }


def _up(unit: str) -> dict[str, Any]:
    axis = {"tickCount": 4} | ({"format": "~s"} if unit == TOKENS else {})
    return {"field": "amount", "type": "quantitative", "title": None, "axis": axis}
