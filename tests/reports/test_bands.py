"""The band that models are in now, and when that changes."""

from __future__ import annotations

import pytest

from costmeter.reports.prices import bands_at
from tests.make import at, book

FLASH, PRO = "deepseek-flash", "deepseek-v4-pro"


@pytest.mark.parametrize(
    ("now", "band", "until", "following"),
    [
        ("2026-11-18T09:59:59.999999Z", "peak", "2026-11-18T10:00:00Z", "off_peak"),
        ("2026-11-18T10:00:00Z", "off_peak", "2026-11-19T01:00:00Z", "peak"),  # nine o'clock in Shanghai
        ("2026-11-20T12:00:00Z", "off_peak", "2026-11-23T01:00:00Z", "peak"),  # over the weekend
        ("2026-09-30T12:00:00Z", "off_peak", "2026-10-08T01:00:00Z", "peak"),  # over the holidays of October
    ],
)
def test_models_that_change_alike_stand_together(now: str, band: str, until: str, following: str) -> None:
    found = bands_at(book(), {PRO, FLASH}, "USD", at(now))
    assert found == [{"band": band, "models": [FLASH, PRO], "until": until, "next_band": following}]


def test_a_new_tariff_of_the_same_band_is_a_change() -> None:
    (found,) = bands_at(book(), ["deepseek-chat"], "USD", at("2025-09-28T00:00:00Z"))
    assert (found["band"], found["until"], found["next_band"]) == ("flat", "2025-09-29T00:00:00Z", "flat")


def test_what_never_changes_says_no_end_and_what_has_no_price_is_left_out() -> None:
    found = bands_at(book(), ["deepseek-search", "deepseek-chat", "unheard-of"], "USD", at("2026-11-18T09:00:00Z"))
    assert found == [{"band": "flat", "models": ["deepseek-search"], "until": None, "next_band": None}]


def test_a_price_that_ends_is_followed_by_none() -> None:
    (found,) = bands_at(book(), ["deepseek-chat"], "USD", at("2026-07-24T12:00:00Z"))
    assert (found["band"], found["until"], found["next_band"]) == ("flat", "2026-07-24T15:59:00Z", None)
