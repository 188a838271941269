"""Somebody else's vectors for the 2026 rule (xyzs996/deepseek-peak-hours, CC0), which are not part of this project."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from costmeter.core.periods import parse_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, price_usage
from costmeter.core.usage import Usage
from costmeter.prices.read import builtin_book, read_book

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
VECTORS = SHARED / "fixtures" / "deepseek-peak-offpeak-vectors.json"
ONE_OF_EACH = Usage(cache_hit_tokens=1, cache_miss_tokens=1, output_tokens=1)

# 16:00-22:00 UTC on the weekdays of Beijing is 00:00-06:00 there: the UTC weekday is another one for all of it.
SYNTHETIC_BOOK = """
format = 1
provider = "deepseek"
checked = 2026-11-23

[meters."input.cache_hit"]
unit = "tokens"
per = 1_000_000
[meters."input.cache_miss"]
unit = "tokens"
per = 1_000_000
[meters.output]
unit = "tokens"
per = 1_000_000

[[tariffs]]
id = "demo/2026"
model = "demo"
from = 2026-08-22T16:00:00Z
basis = "completion"
band = "off_peak"
windows = [
  { band = "peak", start = "00:00", end = "06:00", zone = "Asia/Shanghai", days = ["mon", "tue", "wed", "thu", "fri"] },
]
source = "the synthetic schedule of the vectors"
checked = 2026-11-23
confidence = "A"
[tariffs.USD]
peak = { "input.cache_hit" = "0.02", "input.cache_miss" = "0.2", output = "2" }
off_peak = { "input.cache_hit" = "0.01", "input.cache_miss" = "0.1", output = "1" }

[[names]]
name = "demo"
spans = [{ model = "demo" }]
source = "the synthetic schedule of the vectors"
"""


@pytest.fixture(scope="module")
def fixture() -> Any:
    if VECTORS.exists():
        return json.loads(VECTORS.read_text(encoding="utf-8"))
    if os.environ.get("COSTMETER_REQUIRE_ALL") == "1":
        pytest.fail(f"{VECTORS} is missing and COSTMETER_REQUIRE_ALL=1")
    pytest.skip("the vectors are kept beside the project, and are not here")


def expected_bands(fixture: Any, schedule: str) -> dict[str, str]:
    spelling = {"peak": "peak", "offpeak": "off_peak"}
    return {instant: spelling[band] for name, instant, band in fixture["vectors"] if name == schedule}


def charge_at(book: PriceBook, model: str, instant: str) -> Charge:
    outcome = price_usage(book, model=model, usage=ONE_OF_EACH, completed_at=parse_instant(instant), currency="USD")
    assert isinstance(outcome, Charge)
    return outcome


@pytest.mark.parametrize("model", ["deepseek-v4-flash", "deepseek-v4-pro"])
def test_the_built_in_book_agrees_with_every_vector_of_the_live_schedule(fixture: Any, model: str) -> None:
    expected = expected_bands(fixture, "live")
    assert len(expected) == 12
    assert {instant: charge_at(builtin_book(), model, instant).band for instant in expected} == expected


def test_a_window_on_beijing_weekdays_agrees_with_every_vector_of_the_synthetic_schedule(fixture: Any) -> None:
    book = read_book([SYNTHETIC_BOOK])
    expected = expected_bands(fixture, "synthetic")
    assert len(expected) == 3
    assert {instant: charge_at(book, "demo", instant).band for instant in expected} == expected


@pytest.mark.parametrize(
    ("instant", "total"),
    [
        ("2026-08-30T15:59:59.999999Z", 1_110_000),
        ("2026-08-30T16:00:00Z", 2_220_000),
        ("2026-08-30T21:59:59.999999Z", 2_220_000),
        ("2026-08-30T22:00:00Z", 1_110_000),
        ("2026-09-04T16:00:00Z", 1_110_000),
    ],
    ids=["sunday night", "monday begins", "before six", "at six", "saturday begins"],
)
def test_a_window_opens_and_closes_by_the_clock_and_the_weekday_of_its_own_zone(instant: str, total: int) -> None:
    assert charge_at(read_book([SYNTHETIC_BOOK]), "demo", instant).total == total
