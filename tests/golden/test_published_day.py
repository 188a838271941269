"""The day that DeepSeek published: 2025-02-27 12:00 to 02-28 12:00 Beijing time, billed as if all were R1 by day."""

from costmeter.core.money import format_amount
from costmeter.core.periods import parse_instant
from costmeter.core.pricing import Charge, price_usage
from costmeter.core.usage import Usage
from costmeter.prices.read import builtin_book

BILLION = 1_000_000_000
DOLLAR = 10**12


def published_day() -> Charge:
    usage = Usage(cache_hit_tokens=342 * BILLION, cache_miss_tokens=266 * BILLION, output_tokens=168 * BILLION)
    noon_in_beijing = parse_instant("2025-02-27T12:00:00+08:00")
    charge = price_usage(builtin_book(), model="deepseek-reasoner", usage=usage, completed_at=noon_in_beijing)
    assert isinstance(charge, Charge)
    return charge


def test_the_published_day_costs_562100_dollars_at_the_standard_rates() -> None:
    charge = published_day()
    assert charge.band == "standard"
    costs = charge.cost_cache_hit, charge.cost_cache_miss, charge.cost_output, charge.total
    assert [format_amount(cost) for cost in costs] == ["47880.00", "146300.00", "367920.00", "562100.00"]


def test_the_published_total_differs_by_no_more_than_its_rounded_counts_allow() -> None:
    half_a_billion_of_each = 500 * (140_000_000_000 + 550_000_000_000 + 2_190_000_000_000)
    assert abs(published_day().total - 562_027 * DOLLAR) <= half_a_billion_of_each
