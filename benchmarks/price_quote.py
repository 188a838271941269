"""`costmeter.quote` against genai-prices: one call with components and checks, at 2025 prices where both are right.

The rival is asked in its fastest form: provider and instant given. From the body, both read the provider's usage object
first; from counts, both are given counts.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import genai_prices

import costmeter
from benchmarks.row import Row, paired
from costmeter.core.money import format_amount
from costmeter.core.usage import Usage

CALLS = 5_000
START, END = datetime(2025, 2, 26, 16, 30, tzinfo=UTC), datetime(2025, 9, 5, 16, 0, tzinfo=UTC)


class Call(NamedTuple):
    """One call: model, instant, its usage as the provider sends it, and its counts in ours and the rival's form."""

    model: str
    completed_at: datetime
    body: dict[str, Any]
    counts: Usage
    rival_counts: Any


def rows() -> list[Row]:
    """Two rows; raises AssertionError where the two disagree on any price."""
    calls = _calls()
    assert _ours_from_body(calls) == _rival_from_body(calls)
    assert _ours_from_counts(calls) == _rival_from_counts(calls)
    return [
        paired(
            "quote from the usage body, against genai-prices extract_usage + calc_price",
            CALLS,
            lambda: _quote_bodies(calls),
            lambda: _calc_bodies(calls),
        ),
        paired(
            "quote from counts, against genai-prices calc_price",
            CALLS,
            lambda: _quote_counts(calls),
            lambda: _calc_counts(calls),
        ),
    ]


def _calls() -> list[Call]:
    chance = random.Random(20250226)
    return [_call(chance) for _ in range(CALLS)]


def _call(chance: random.Random) -> Call:
    hit, miss, output = chance.randrange(200) * 64, chance.randrange(1, 8_000), chance.randrange(1, 4_000)
    reasoning = chance.randrange(output)
    body = {
        "prompt_tokens": hit + miss,
        "completion_tokens": output,
        "total_tokens": hit + miss + output,
        "prompt_tokens_details": {"cached_tokens": hit},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        "prompt_cache_hit_tokens": hit,
        "prompt_cache_miss_tokens": miss,
    }
    seconds = int((END - START).total_seconds())
    instant = START + timedelta(seconds=chance.randrange(seconds))
    model = chance.choice(("deepseek-chat", "deepseek-reasoner"))
    rival = genai_prices.Usage(input_tokens=hit + miss, cache_read_tokens=hit, output_tokens=output)
    return Call(model, instant, body, Usage(hit, miss, output, reasoning), rival)


def _quote_bodies(calls: list[Call]) -> None:
    for call in calls:
        costmeter.quote(model=call.model, completed_at=call.completed_at, usage=call.body)


def _quote_counts(calls: list[Call]) -> None:
    for call in calls:
        costmeter.quote(model=call.model, completed_at=call.completed_at, usage=call.counts)


def _calc_bodies(calls: list[Call]) -> None:
    for call in calls:
        _calc_body(call)


def _calc_counts(calls: list[Call]) -> None:
    for call in calls:
        _calc(call, call.rival_counts)


def _calc_body(call: Call) -> Any:
    extracted = genai_prices.extract_usage(
        {"model": call.model, "usage": call.body}, provider_id="deepseek", api_flavor="chat"
    )
    return _calc(call, extracted.usage)


def _calc(call: Call, usage: Any) -> Any:
    return genai_prices.calc_price(usage, call.model, provider_id="deepseek", genai_request_timestamp=call.completed_at)


def _ours_from_body(calls: list[Call]) -> list[Decimal]:
    charges = [costmeter.quote(model=c.model, completed_at=c.completed_at, usage=c.body) for c in calls]
    return [Decimal(format_amount(charge.total)) for charge in charges]


def _ours_from_counts(calls: list[Call]) -> list[Decimal]:
    charges = [costmeter.quote(model=c.model, completed_at=c.completed_at, usage=c.counts) for c in calls]
    return [Decimal(format_amount(charge.total)) for charge in charges]


def _rival_from_body(calls: list[Call]) -> list[Decimal]:
    return [_calc_body(call).total_price for call in calls]


def _rival_from_counts(calls: list[Call]) -> list[Decimal]:
    return [_calc(call, call.rival_counts).total_price for call in calls]
