"""Editions of the price book that differ from the built-in one, for the tests of pricing again."""

from __future__ import annotations

from functools import cache

from benchmarks.quarter import THIRD_MODEL
from costmeter.core.price_book import PriceBook
from costmeter.prices.read import builtin_text, read_book

MARCH_2025 = 'id = "deepseek-v3/2025-02-26"\n'


@cache
def with_new_model() -> PriceBook:
    """The built-in book with a tariff for deepseek-9: 2.00 USD per million output tokens from 2025 on."""
    return read_book([builtin_text(), THIRD_MODEL])


@cache
def with_other_rate() -> PriceBook:
    """The built-in book, but deepseek-chat cost 1.50 USD per million output tokens in March 2025 outside off-peak."""
    before, head, after = builtin_text().partition(MARCH_2025)
    old = 'output = "1.10" }'
    assert old in after
    return read_book([before + head + after.replace(old, 'output = "1.50" }', 1)])


@cache
def with_a_later_calendar() -> PriceBook:
    """The built-in book with the holidays of 2027 published: January 18th, a Monday, is one."""
    text = builtin_text().replace("published_to = 2027-01-01", "published_to = 2028-01-01", 1)
    days = "days_off = ["
    assert days in text
    return read_book([text.replace(days, days + '"2027-01-18/2027-01-18", ', 1)])
