"""What DeepSeek charged when: the periods that the simulator can be set to, in both of DeepSeek's price lists.

Sources: https://api-docs.deepseek.com/quick_start/pricing (and pricing-details-usd, and the Chinese pages for CNY),
as they stood in each period. The two lists are published separately; neither is a conversion of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from costmeter.simulator import bands
from costmeter.simulator.money import UNIT, parse_amount

MILLION = 10**6


@dataclass(frozen=True)
class Rates:
    """Units of 10^-12 of the currency for one token."""

    cache_hit: int
    cache_miss: int
    output: int

    def cost(self, *, cache_hit: int, cache_miss: int, output: int) -> int:
        """Reasoning tokens are part of the output and cost the same."""
        return cache_hit * self.cache_hit + cache_miss * self.cache_miss + output * self.output


@dataclass(frozen=True)
class Tariff:
    """The rates of some models from one instant to another (exclusive; none: still in force)."""

    models: tuple[str, ...]
    start: datetime
    end: datetime | None
    band_at: Callable[[datetime], str]
    rates: Mapping[str, Mapping[str, Rates]]  # by currency, then by band

    def is_in_force(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


def find_tariff(model: str, at: datetime) -> Tariff | None:
    """The tariff of the model at that instant, if it had one then."""
    return next((tariff for tariff in TARIFFS if model in tariff.models and tariff.is_in_force(at)), None)


def models_at(at: datetime) -> Iterator[str]:
    """The models that can be called at that instant."""
    return (model for tariff in TARIFFS if tariff.is_in_force(at) for model in tariff.models)


def _rates(listed: str) -> Rates:
    """Rates as the page lists them, per million tokens: cache hit, cache miss, output."""
    return Rates(*(_per_token(rate) for rate in listed.split()))


def _per_token(rate: str) -> int:
    units, rest = divmod(parse_amount(rate, "rate"), MILLION)
    if rest:
        raise ValueError(f"a rate of {rate} per million tokens is finer than 1/{UNIT} per token")
    return units


def _both(usd: Mapping[str, str], cny: Mapping[str, str]) -> dict[str, dict[str, Rates]]:
    lists = {"USD": usd, "CNY": cny}
    return {currency: {band: _rates(text) for band, text in listed.items()} for currency, listed in lists.items()}


def _utc(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)  # type: ignore[arg-type, misc]  # year to minute


# "until 2025-02-08 16:00 (UTC)" the launch price of V3 was in force; this is where the list of 2025 begins.
V3_LIST_PRICE = _utc(2025, 2, 8, 16)
# The discount was announced on 2025-02-26; its first window began at 16:30 UTC, 00:30 of the 27th in Beijing.
OFF_PEAK_BEGINS = _utc(2025, 2, 26, 16, 30)
# "Starting from 16:00 UTC Time on Sept 5th, 2025, we will apply the following price list and cancel the nighttime
# discount."
OFF_PEAK_ENDS = _utc(2025, 9, 5, 16)
# The list of V4.1-Flash took effect on 2026-09-10 at 12:00 in Beijing; the old name deepseek-v4-flash is billed by it
# too.
V41_FLASH = _utc(2026, 9, 10, 4)

TARIFFS = (
    Tariff(
        ("deepseek-chat",),
        V3_LIST_PRICE,
        OFF_PEAK_BEGINS,
        bands.no_bands,
        _both({bands.FLAT: "0.07 0.27 1.10"}, {bands.FLAT: "0.5 2 8"}),
    ),
    Tariff(
        ("deepseek-reasoner",),
        V3_LIST_PRICE,  # The same price since 2025-01-20, but the simulator starts with the list of 2025.
        OFF_PEAK_BEGINS,
        bands.no_bands,
        _both({bands.FLAT: "0.14 0.55 2.19"}, {bands.FLAT: "1 4 16"}),
    ),
    Tariff(
        ("deepseek-chat",),
        OFF_PEAK_BEGINS,
        OFF_PEAK_ENDS,
        bands.bands_of_2025,
        _both(
            {bands.STANDARD: "0.07 0.27 1.10", bands.OFF_PEAK: "0.035 0.135 0.550"},
            {bands.STANDARD: "0.5 2 8", bands.OFF_PEAK: "0.25 1 4"},
        ),
    ),
    Tariff(
        ("deepseek-reasoner",),
        OFF_PEAK_BEGINS,
        OFF_PEAK_ENDS,
        bands.bands_of_2025,
        _both(  # Listed prices: "75% OFF" is only nearly right, 0.550 is not a quarter of 2.19.
            {bands.STANDARD: "0.14 0.55 2.19", bands.OFF_PEAK: "0.035 0.135 0.550"},
            {bands.STANDARD: "1 4 16", bands.OFF_PEAK: "0.25 1 4"},
        ),
    ),
    Tariff(
        ("deepseek-flash", "deepseek-v4-flash"),
        V41_FLASH,
        None,
        bands.bands_of_2026,
        _both(
            {bands.PEAK: "0.006 0.30 1.20", bands.OFF_PEAK: "0.003 0.15 0.60"},
            {bands.PEAK: "0.04 2 8", bands.OFF_PEAK: "0.02 1 4"},
        ),
    ),
    Tariff(
        ("deepseek-v4-pro",),
        V41_FLASH,  # The same price since 2026-08-16, but the simulator starts where the flash list does.
        None,
        bands.bands_of_2026,
        _both(
            {bands.PEAK: "0.044 1.32 3.96", bands.OFF_PEAK: "0.022 0.66 1.98"},
            {bands.PEAK: "0.30 9 27", bands.OFF_PEAK: "0.15 4.5 13.5"},
        ),
    ),
)
