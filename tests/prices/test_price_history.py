"""The book against the researched price history, which is kept beside the project: each period, band and currency.

The comparison reads the history itself and works with its decimals; of costmeter it asks only what is in force.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costmeter.core.price_book import CACHE_HIT, CACHE_MISS, OUTPUT, Step
from costmeter.prices.read import builtin_book

BOOK = builtin_book()
SPELLING = {"flat": "flat", "standard": "standard", "offpeak": "off_peak", "peak": "peak"}
MICROSECOND = timedelta(microseconds=1)
LATEST = datetime(2026, 11, 23, tzinfo=UTC)  # the history was made on this day


@pytest.fixture(scope="module")
def history(shared: Path) -> Any:
    text = (shared / "reference" / "deepseek_price_history.json").read_text(encoding="utf-8")
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def instant(text: str | None, otherwise: datetime) -> datetime:
    if text is None:
        return otherwise
    return datetime.fromisoformat(text if "T" in text else f"{text}T00:00:00Z").astimezone(UTC)


def minute_of(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def is_within(at: datetime, windows: list[list[str]]) -> bool:
    """Whether a UTC instant lies in one of the daily windows, which may run over midnight."""
    now = at.hour * 60 + at.minute
    for start, end in ((minute_of(a), minute_of(b)) for a, b in windows):
        if start <= now < end or (end < start and (now >= start or now < end)):
            return True
    return False


def is_peak(rule: Any, at: datetime) -> bool:
    beijing = at + timedelta(hours=8)
    if at >= instant(rule["weekends_offpeak_from"], at):
        if beijing.isoweekday() > 5:
            return False
        for days in rule["cn_holidays_2026"]:
            first, last = map(date.fromisoformat, days.split("/"))
            if first <= beijing.date() <= last:
                return False
    return is_within(at, rule["windows_utc"])


def band_at(history: Any, period: Any, at: datetime) -> str:
    bands = period["usd"].keys()
    if bands == {"flat"}:
        return "flat"
    if bands == {"standard", "offpeak"}:
        return "offpeak" if is_within(at, [period["offpeak_utc"]]) else "standard"
    return "peak" if is_peak(history["peak_rule_2026"], at) else "offpeak"


def moments(start: datetime, end: datetime) -> Iterator[datetime]:
    """The first instant and the last microsecond, and every quarter of an hour of three days at either end."""
    yield from (start, end - MICROSECOND)
    for quarter in range(3 * 96):
        for at in (start + quarter * timedelta(minutes=15), end - quarter * timedelta(minutes=15) - MICROSECOND):
            if start <= at < end:
                yield at


def rates_of(step: Step) -> list[Decimal | None]:
    listed = {meter: Decimal(rate.text) for meter, rate in step.rates.items()}
    return [listed.get(meter) for meter in (CACHE_HIT, CACHE_MISS, OUTPUT)]


def test_the_history_is_the_whole_one(history: Any) -> None:
    assert len(history["periods"]) == 17
    assert {model for period in history["periods"] for model in period["models"]} <= BOOK.names.keys()


@pytest.mark.parametrize("number", range(17))
@pytest.mark.parametrize("currency", ["USD", "CNY"])
def test_each_period_of_the_history_is_in_the_book_with_equal_rates(history: Any, number: int, currency: str) -> None:
    period = history["periods"][number]
    start, end = instant(period["start"], datetime(2024, 4, 1, tzinfo=UTC)), instant(period["end"], LATEST)
    lists = period[currency.lower()]

    seen = set()
    for model in period["models"]:
        for at in moments(start, end):
            band = band_at(history, period, at)
            step = BOOK.step_at(model, currency, at)
            assert step is not None, (model, at)
            assert (step.band, rates_of(step)) == (SPELLING[band], lists[band]), (model, at)
            seen.add(band)

    assert seen == lists.keys()


@pytest.mark.parametrize("number", range(17))
def test_each_period_begins_and_ends_in_the_book_when_it_does_in_the_history(history: Any, number: int) -> None:
    """A microsecond before and after it something else is in force: another tariff, or no price."""
    period = history["periods"][number]
    for model in period["models"]:
        for currency in ("USD", "CNY"):
            for edge in (period["start"], period["end"]):
                if edge is not None:
                    at = instant(edge, LATEST)
                    before, after = (BOOK.step_at(model, currency, i) for i in (at - MICROSECOND, at))
                    before_id, after_id = (step and step.tariff.tariff_id for step in (before, after))
                    assert before_id != after_id, (model, edge)


def test_outside_of_the_history_its_names_have_no_price(history: Any) -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    for model in {model for period in history["periods"] for model in period["models"]}:
        periods = [
            (instant(period["start"], noon), instant(period["end"], LATEST))
            for period in history["periods"]
            if model in period["models"]
        ]
        for at in (noon + timedelta(days=day) for day in range((LATEST - noon).days)):
            is_known = any(start <= at < end for start, end in periods)
            assert (BOOK.step_at(model, "USD", at) is not None) == is_known, (model, at)
