"""A chart is one specification: valid Vega-Lite of the exact points, and an image of it that needs nothing else."""

from __future__ import annotations

import struct

import altair
import pytest

from costmeter.core.notices import Chart
from costmeter.reports.charts import HEIGHT, SCALE, WIDTH, bars, bars_png

ONE = Chart("Spent by day, USD", "USD", [("2025-03-01", "1.10", ""), ("2025-03-02", "0.00", "")])
PARTS = Chart(
    "Spent by day and model, USD", "USD",
    [("2025-03-01", "1.10", "deepseek-chat"), ("2025-03-01", "0.40", "others"), ("2025-03-02", "2.00", "others")],
)  # fmt: skip


@pytest.mark.parametrize("chart", [ONE, PARTS])
def test_a_specification_is_vega_lite_with_every_point(chart: Chart) -> None:
    found = bars(chart)
    altair.Chart.from_dict(found).to_dict(validate=True)
    assert found["datasets"][found["data"]["name"]] == [
        {"time": label, "amount": float(amount), "part": part} for label, amount, part in chart.points
    ]
    assert found["title"] == chart.caption
    assert ("color" in found["encoding"]) == (chart is PARTS)


@pytest.mark.parametrize("chart", [ONE, PARTS, Chart("None", "tokens", [("2025-03-01", "0", "")])])
def test_its_image_is_a_png_of_its_size_and_the_same_each_time(chart: Chart) -> None:
    image = bars_png(chart)
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", image[16:24])
    assert width >= WIDTH * SCALE
    assert height >= HEIGHT * SCALE
    assert bars_png(chart) == image
