"""The same calls priced by genai-prices: equal to the digit where it is right, and where it is known not to be, how."""

import random
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import genai_prices
import pytest

from costmeter.core.money import format_amount
from costmeter.core.periods import parse_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, price_usage
from costmeter.core.usage import Usage, read_usage
from costmeter.prices.read import builtin_book

# The one period whose every instant genai-prices 0.2.3 can express: the night discount of 2025.
FIRST = parse_instant("2025-02-26T16:30:00Z")
END = parse_instant("2025-09-05T16:00:00Z")
CALLS = 10_000
A_MILLION_OF_EACH = Usage(cache_hit_tokens=1_000_000, cache_miss_tokens=1_000_000, output_tokens=1_000_000)


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return builtin_book()


def our_price(book: PriceBook, model: str, usage: Usage, instant: datetime) -> Decimal | None:
    outcome = price_usage(book, model=model, usage=usage, completed_at=instant, currency="USD")
    return Decimal(format_amount(outcome.total)) if isinstance(outcome, Charge) else None


def their_price(model: str, usage: Usage, instant: datetime) -> Decimal:
    their_usage = genai_prices.Usage(
        input_tokens=usage.cache_hit_tokens + usage.cache_miss_tokens,
        cache_read_tokens=usage.cache_hit_tokens,
        output_tokens=usage.output_tokens,
    )
    calculation = genai_prices.calc_price(their_usage, model, provider_id="deepseek", genai_request_timestamp=instant)
    return calculation.total_price


def random_call(dice: random.Random) -> tuple[Usage, datetime]:
    usage = Usage(
        cache_hit_tokens=dice.randrange(10 ** dice.randrange(1, 8)),
        cache_miss_tokens=dice.randrange(10 ** dice.randrange(1, 8)),
        output_tokens=dice.randrange(10 ** dice.randrange(1, 7)),
    )
    return usage, FIRST + timedelta(microseconds=dice.randrange((END - FIRST) // timedelta(microseconds=1)))


@pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-reasoner"])
def test_random_calls_under_the_night_discount_cost_the_same_to_the_digit(book: PriceBook, model: str) -> None:
    dice = random.Random(f"{model} 20250226")
    calls = [random_call(dice) for _ in range(CALLS)]
    different = [
        (usage, instant)
        for usage, instant in calls
        if our_price(book, model, usage, instant) != their_price(model, usage, instant)
    ]
    assert different == []


@pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-reasoner"])
@pytest.mark.parametrize("edge", ["2025-03-01T00:30:00Z", "2025-03-01T16:30:00Z"])
@pytest.mark.parametrize("hours", [-8.0, 0.0, 5.5, 8.0, 14.0])
def test_a_moment_costs_the_same_in_whatever_zone_it_is_written(
    book: PriceBook, model: str, edge: str, hours: float
) -> None:
    """genai-prices was wrong here until it began to compare in UTC; 0.2.3 is right."""
    zone = timezone(timedelta(hours=hours))
    for instant in (parse_instant(edge) - timedelta(microseconds=1), parse_instant(edge)):
        price = our_price(book, model, A_MILLION_OF_EACH, instant)
        assert our_price(book, model, A_MILLION_OF_EACH, instant.astimezone(zone)) == price
        assert their_price(model, A_MILLION_OF_EACH, instant.astimezone(zone)) == price


@pytest.mark.parametrize(
    ("model", "instant", "ours", "theirs"),
    [
        pytest.param("deepseek-chat", "2025-02-25T16:30:00Z", "1.44", "0.72", id="a night before the discount"),
        pytest.param("deepseek-chat", "2025-09-05T16:30:00Z", "2.31", "0.72", id="the discount withdrawn"),
        pytest.param("deepseek-reasoner", "2025-12-01T12:00:00Z", "0.728", "2.88", id="a later price cut"),
        pytest.param("deepseek-chat", "2026-11-01T12:00:00Z", None, "1.44", id="a retired name"),
        pytest.param("deepseek-v4-flash", "2026-08-14T02:00:00Z", "0.4228", "1.506", id="an hour not yet peak"),
        pytest.param("deepseek-v4-flash", "2026-08-16T16:00:00Z", "0.887", "0.4228", id="a change within a day"),
        pytest.param("deepseek-v4-flash", "2026-08-17T02:00:00Z", "1.774", "1.506", id="a peak price since replaced"),
        pytest.param("deepseek-flash", "2026-09-12T02:00:00Z", "0.753", "1.506", id="a weekend"),
        pytest.param("deepseek-flash", "2026-09-25T02:00:00Z", "0.753", "1.506", id="a public holiday"),
        pytest.param("deepseek-v4-pro", "2026-04-24T12:00:00Z", "5.365", "1.308625", id="a launch price"),
    ],
)
def test_genai_prices_is_known_to_misprice(
    book: PriceBook, model: str, instant: str, ours: str | None, theirs: str
) -> None:
    at = parse_instant(instant)
    assert our_price(book, model, A_MILLION_OF_EACH, at) == (None if ours is None else Decimal(ours))
    assert their_price(model, A_MILLION_OF_EACH, at) == Decimal(theirs)


def test_genai_prices_is_known_to_lose_hits_when_only_the_documented_fields_report_them() -> None:
    usage = {
        "prompt_tokens": 563,
        "completion_tokens": 116,
        "total_tokens": 679,
        "prompt_cache_hit_tokens": 512,
        "prompt_cache_miss_tokens": 51,
    }
    body = {"model": "deepseek-chat", "usage": usage}
    theirs = genai_prices.extract_usage(body, provider_id="deepseek", api_flavor="chat").usage
    assert theirs == genai_prices.Usage(input_tokens=563, output_tokens=116)
    ours = read_usage(usage)
    assert (ours.cache_hit_tokens, ours.cache_miss_tokens, ours.output_tokens) == (512, 51, 116)
