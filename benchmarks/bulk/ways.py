"""Three ways to price a round of calls; each comes to the sums of cache hits, cache misses, output and cost.

Ours prices by whatever the price book holds, checks what it is given, and says tariff, band, certainty and savings of
each call besides. The rivals know these two models and this year only, and no more than the sums.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from benchmarks.bulk.calls import END, NAMES, SECOND, START, Columns, calls_of
from benchmarks.turns.way import Way

Totals = list[int]
DAY, HOUR = 86_400 * SECOND, 3_600 * SECOND
# From 2025-02-08T16:00:00Z the chat model costs its full price; from 2025-02-26T16:30:00Z nights are off-peak.
FULL_PRICE, OFF_PEAK = 1_739_030_400 * SECOND, 1_740_587_400 * SECOND
NIGHT, MORNING = 16 * HOUR + HOUR // 2, HOUR // 2
# Units of 10^-12 USD a token, by model, and then at first, standard and off-peak.
RATES = {
    "cache_hit": ((14_000, 70_000, 35_000), (140_000, 140_000, 35_000)),
    "cache_miss": ((140_000, 270_000, 135_000), (550_000, 550_000, 135_000)),
    "output": ((280_000, 1_100_000, 550_000), (2_190_000, 2_190_000, 550_000)),
}
CHUNK = 65_536


def open_costmeter() -> Way:
    import numpy as np

    from costmeter.prices.read import builtin_book
    from costmeter.services.price_calls import NOT_KNOWN, Calls, exact_sum, price_calls

    book = builtin_book()

    def prepare(number: int, size: int) -> Calls:
        name, completed_at, *tokens = calls_of(number, size)
        return Calls(NAMES, name, completed_at, np.full(size, NOT_KNOWN), *tokens)

    def run(calls: Calls) -> Totals:
        totals = [0, 0, 0, 0]
        for prices in price_calls(book, calls, "USD"):
            for place, amounts in enumerate(prices[3:7]):
                totals[place] += exact_sum(amounts)
        return totals

    return Way(version("costmeter"), prepare, run, list)


def open_numpy() -> Way:
    """Chunks of 64k: one search for what is in force, one take for each rate."""
    import numpy as np

    days = np.arange(OFF_PEAK - OFF_PEAK % DAY, END + DAY, DAY)
    edges = np.sort(np.concatenate([[FULL_PRICE], days + NIGHT, days[1:] + MORNING]))
    states = np.array([0, 1, *(2 - place % 2 for place in range(len(edges) - 1))])
    rates = [np.array(listed).ravel() for listed in RATES.values()]

    def run(calls: Columns) -> Totals:
        totals = [0, 0, 0, 0]
        for start in range(0, len(calls.name), CHUNK):
            name, completed_at, *tokens = (column[start : start + CHUNK] for column in calls)
            places = states.take(np.searchsorted(edges, completed_at, side="right")) + 3 * name
            costs = [rate.take(places) * count for rate, count in zip(rates, tokens, strict=True)]
            for place, amounts in enumerate((*costs, costs[0] + costs[1] + costs[2])):
                totals[place] += int(amounts.sum())
        return totals

    return Way(version("numpy"), calls_of, run, list)


def open_polars() -> Way:
    """One lazy query with a when/then for each rate, on all cores."""
    import polars as pl

    at, clock = pl.col("completed_at"), pl.col("completed_at") % DAY
    is_night = (at >= OFF_PEAK) & ((clock >= NIGHT) | (clock < MORNING))

    def rate(first: int, standard: int, off_peak: int) -> Any:
        return pl.when(is_night).then(off_peak).when(at >= FULL_PRICE).then(standard).otherwise(first).cast(pl.Int64)

    is_chat = pl.col("name") == 0
    costs = [
        (pl.when(is_chat).then(rate(*chat)).otherwise(rate(*reasoner)) * pl.col(meter)).alias(meter)
        for meter, (chat, reasoner) in RATES.items()
    ]
    cost = sum(pl.col(meter) for meter in RATES)

    def prepare(number: int, size: int) -> Any:
        return pl.DataFrame(calls_of(number, size)._asdict())

    def run(frame: Any) -> Any:
        return frame.lazy().select(costs).with_columns(cost.alias("cost")).sum().collect()

    def answer(sums: Any) -> Totals:
        return list(sums.row(0))

    return Way(version("polars"), prepare, run, answer)


WAYS: dict[str, Callable[[], Way]] = {"costmeter": open_costmeter, "numpy": open_numpy, "polars": open_polars}
assert START < FULL_PRICE < OFF_PEAK < END
