"""Quote a call: what it costs by the price book; records nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from costmeter.core.errors import NoPriceError
from costmeter.core.money import CURRENCIES, check_currency
from costmeter.core.periods import format_instant, parse_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, Unpriced, price_usage
from costmeter.core.usage import Usage, check_usage, read_usage


def quote_call(
    book: PriceBook,
    *,
    model: str,
    completed_at: datetime | str,
    usage: Usage | Mapping[str, Any],
    currency: str = "USD",
    started_at: datetime | str | None = None,
) -> Charge:
    """The charge of one call; NoPriceError where no tariff or rate covers it, InputError for bad input."""
    counts = check_usage(usage) if isinstance(usage, Usage) else read_usage(usage)
    if type(completed_at) is not datetime or completed_at.tzinfo is not UTC:
        completed_at = parse_instant(completed_at, "completed_at")
    if started_at is not None:
        started_at = parse_instant(started_at, "started_at")
    if currency not in CURRENCIES:
        check_currency(currency)
    priced = price_usage(
        book, model=model, usage=counts, completed_at=completed_at, started_at=started_at, currency=currency
    )
    if isinstance(priced, Unpriced):
        at = format_instant(priced.completed_at)
        raise NoPriceError(f"no price for model {model!r} at {at} in {currency}: {priced.reason}")
    return priced
