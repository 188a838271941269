"""Checks of a price book that loads: what would make a call unpriced or provisional without anybody knowing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from costmeter.core.periods import format_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.price_changes import calendars_that_end, end_of

CALENDAR_NOTICE = 60  # days


def problems(book: PriceBook, now: datetime) -> list[str]:
    """Unexplained gaps, and calendars in use that end within 60 days; overlaps and missing sources do not load."""
    return [*_gaps(book), *_calendars_that_end(book, now)]


def _gaps(book: PriceBook) -> Iterator[str]:
    for name in book.names.values():
        currencies = {currency for tariff, _ in book.tariffs_of(name.name) for currency in tariff.rates}
        for currency in sorted(currencies):
            timeline = book.timeline(name.name, currency)
            begun = timeline.steps[0] is not None
            for position, step in enumerate(timeline.steps[1:]):
                at_the_end = position == len(timeline.edges) - 1
                if step is None and begun and not (at_the_end and name.retired):
                    since = format_instant(timeline.edges[position])
                    yield f"{name.name} has no {currency} price from {since} on, and nothing explains it"
                begun = begun or step is not None


def _calendars_that_end(book: PriceBook, now: datetime) -> Iterator[str]:
    return map(end_of, calendars_that_end(book, now, CALENDAR_NOTICE))
