"""The simulator's own price table, at its edges."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from costmeter.simulator.prices import TARIFFS, Rates, find_tariff

# Rates in units of 10^-12 per token: cache hit, cache miss, output.
STANDARD_CHAT = Rates(70_000, 270_000, 1_100_000)
STANDARD_REASONER = Rates(140_000, 550_000, 2_190_000)
OFF_PEAK_2025 = Rates(35_000, 135_000, 550_000)
FLASH, FLASH_PEAK = Rates(3_000, 150_000, 600_000), Rates(6_000, 300_000, 1_200_000)
PRO, PRO_PEAK = Rates(22_000, 660_000, 1_980_000), Rates(44_000, 1_320_000, 3_960_000)

EDGES = [
    ("deepseek-chat", "2025-02-08T16:00:00Z", "flat", STANDARD_CHAT),
    ("deepseek-reasoner", "2025-02-26T16:29:59.999999Z", "flat", STANDARD_REASONER),
    ("deepseek-reasoner", "2025-02-26T16:30:00Z", "off_peak", OFF_PEAK_2025),
    ("deepseek-chat", "2025-06-01T00:00:00Z", "off_peak", OFF_PEAK_2025),
    ("deepseek-chat", "2025-06-01T00:30:00Z", "standard", STANDARD_CHAT),
    ("deepseek-chat", "2025-06-01T18:00:00+02:00", "standard", STANDARD_CHAT),
    ("deepseek-reasoner", "2025-09-05T15:59:59.999999Z", "standard", STANDARD_REASONER),
    ("deepseek-flash", "2026-09-10T04:00:00Z", "off_peak", FLASH),  # Thursday, 12:00 in Beijing
    ("deepseek-v4-flash", "2026-09-10T06:00:00Z", "peak", FLASH_PEAK),  # 14:00 in Beijing
    ("deepseek-v4-pro", "2026-09-10T09:59:59.999999Z", "peak", PRO_PEAK),
    ("deepseek-v4-pro", "2026-09-10T10:00:00Z", "off_peak", PRO),
    ("deepseek-flash", "2026-09-11T00:59:59.999999Z", "off_peak", FLASH),
    ("deepseek-flash", "2026-09-11T01:00:00Z", "peak", FLASH_PEAK),  # Friday, 9:00 in Beijing
    ("deepseek-flash", "2026-09-12T01:00:00Z", "off_peak", FLASH),  # Saturday
    ("deepseek-flash", "2026-09-20T07:00:00Z", "off_peak", FLASH),  # Sunday, a make-up working day in China
    ("deepseek-flash", "2026-09-24T01:00:00Z", "peak", FLASH_PEAK),  # the day before Mid-Autumn
    ("deepseek-flash", "2026-09-25T01:00:00Z", "off_peak", FLASH),  # Mid-Autumn, a Friday
    ("deepseek-flash", "2026-10-01T02:00:00Z", "off_peak", FLASH),  # the first of the National Day holidays
    ("deepseek-flash", "2026-10-07T09:00:00Z", "off_peak", FLASH),  # and the last
    ("deepseek-flash", "2026-10-08T01:00:00Z", "peak", FLASH_PEAK),
]


@pytest.mark.parametrize(("model", "instant", "band", "rates"), EDGES)
def test_a_price_holds_from_its_first_instant_to_its_last(model: str, instant: str, band: str, rates: Rates) -> None:
    at = datetime.fromisoformat(instant)
    tariff = find_tariff(model, at)

    assert tariff is not None
    assert (tariff.band_at(at), tariff.rates["USD"][tariff.band_at(at)]) == (band, rates)


@pytest.mark.parametrize(
    ("model", "instant"),
    [
        ("deepseek-chat", "2025-02-08T15:59:59.999999Z"),
        ("deepseek-reasoner", "2025-09-05T16:00:00Z"),
        ("deepseek-chat", "2026-11-23T00:00:00Z"),
        ("deepseek-flash", "2026-09-10T03:59:59.999999Z"),
        ("deepseek-v4-pro", "2025-03-01T00:00:00Z"),
        ("gpt-4", "2025-03-01T00:00:00Z"),
    ],
)
def test_there_is_no_price_outside_the_table(model: str, instant: str) -> None:
    assert find_tariff(model, datetime.fromisoformat(instant)) is None


def test_no_model_has_two_prices_at_once() -> None:
    for tariff in TARIFFS:
        for other in TARIFFS:
            if tariff is not other and set(tariff.models) & set(other.models):
                assert not tariff.is_in_force(other.start)
                assert tariff.end is None or not other.is_in_force(tariff.end - timedelta(microseconds=1))


def test_both_lists_price_the_same_bands() -> None:
    for tariff in TARIFFS:
        assert set(tariff.rates) == {"USD", "CNY"}
        assert set(tariff.rates["USD"]) == set(tariff.rates["CNY"])


def test_a_cost_is_tokens_times_rates() -> None:
    """512 x 0.07 + 51 x 0.27 + 116 x 1.10 by the million is 0.00017721."""
    assert STANDARD_CHAT.cost(cache_hit=512, cache_miss=51, output=116) == 177_210_000
