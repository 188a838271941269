"""The bars and the chart of budgets, whatever the numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.budgets import TOKENS
from costmeter.core.money import format_amount
from costmeter.web.budget_charts import WHOLE, burn_bar, burn_chart

UNITS = st.integers(0, 10**16)


def state(spent: int, reserved: int, amount: int, forecast: int | None, thresholds: list[str]) -> dict[str, Any]:
    told = None if forecast is None else {"amount": format_amount(forecast)}
    sums = {"spent": spent, "reserved": reserved, "amount": amount}
    shape = {name: format_amount(units) for name, units in sums.items()}
    return {**shape, "unit": "USD", "thresholds": thresholds, "outlook": {"forecast": told}}


@given(
    st.integers(-(10**12), 10**16),
    UNITS,
    st.integers(1, 10**16),
    st.none() | UNITS,
    st.lists(st.sampled_from(("50%", "80%", "100%", "120%", "900%", "3.50", "forecast 110%")), unique=True),
)
def test_the_parts_of_a_bar_are_in_order_and_within_it(
    spent: int, reserved: int, amount: int, forecast: int | None, thresholds: list[str]
) -> None:
    bar = burn_bar(state(spent, reserved, amount, forecast, thresholds))
    assert 0 <= bar.spent <= bar.reserved <= bar.forecast <= WHOLE
    assert 0 <= bar.limit <= WHOLE
    assert all(0 <= mark <= WHOLE for mark in bar.marks)
    assert WHOLE in (bar.limit, bar.forecast, *bar.marks), "something is as wide as the bar"


def test_a_bar() -> None:
    bar = burn_bar(state(50 * 10**12, 10 * 10**12, 100 * 10**12, 125 * 10**12, ["80%", "100%", "25.00", "forecast 1%"]))
    assert bar == (400, 480, 1000, 800, [200, 640])


def test_a_bar_of_tokens() -> None:
    shape = {"spent": "500", "reserved": "0", "amount": "1000", "unit": TOKENS, "thresholds": ["250"]}
    assert burn_bar({**shape, "outlook": {"forecast": None}}) == (500, 500, 500, 1000, [250])


def step(number: int, spent: str, so_far: str, even: str | None) -> dict[str, Any]:
    return {"step": f"2026-11-{number:02d}", "spent": spent, "so_far": so_far, "even": even}


@pytest.mark.parametrize(
    ("end", "evens", "strokes"),
    [("2026-11-04T00:00:00Z", ["1.00", "2.00"], {"var(--muted)", "var(--bad)", "var(--series-1)"}),
     (None, [None, None], {"var(--bad)"})],
)  # fmt: skip
def test_a_chart(end: str | None, evens: list[str | None], strokes: set[str]) -> None:
    rows = [step(1, "2.00", "2.00", evens[0]), step(2, "-0.50", "1.50", evens[1])]
    forecast = None if end is None else {"amount": "2.50"}
    report = {
        "steps": {"per": "day", "left_out": 0, "rows": rows}, "timezone": "UTC", "unit": "USD", "amount": "3.00",
        "period": {"from": "2026-11-01T00:00:00Z", "to": end}, "outlook": {"forecast": forecast},
    }  # fmt: skip
    drawn = burn_chart(report)
    assert drawn is not None
    for drawing in drawn:
        assert "style=" not in drawing
        assert {part.split('"')[0] for part in drawing.split('stroke="')[1:]} >= strokes
        assert ("11-03" in drawing) == (end is not None), "days to come are of the period, too"
    assert burn_chart(report | {"steps": None}) is None
