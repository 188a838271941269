"""Reads how long the answers of models can be: `[[limits]]` of a price book."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime

from costmeter.core.errors import PriceBookError
from costmeter.core.periods import Period, format_instant
from costmeter.core.price_book import OutputLimit
from costmeter.prices.table import Table

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


def read_limit(table: Table, confidences: Sequence[str]) -> OutputLimit:
    """One limit as it stands in its table."""
    limit = OutputLimit(
        table.text("model"),
        table.period(),
        table.take("output", int),
        table.text("source"),
        table.take("checked", date),
        table.text("confidence", confidences),
        table.text("doubt", default=None),
    )
    if limit.tokens < 1:
        raise PriceBookError(f"{table.name}.output", limit.tokens, "must be 1 token or more")
    table.end()
    return limit


def checked_limits(limits: Iterable[OutputLimit], models: Collection[str]) -> tuple[OutputLimit, ...]:
    """The limits in order; an open one ends where the next of its model begins, any other overlap is refused."""
    found: list[OutputLimit] = []
    for limit in sorted(limits, key=lambda limit: (limit.model, limit.period.start or _BEFORE_ALL)):
        start = limit.period.start
        if limit.model not in models:
            raise PriceBookError("limits.model", limit.model, "has no tariff")
        if found and found[-1].model == limit.model:
            before = found[-1].period
            if start is None or start == before.start or (before.end is not None and start < before.end):
                shown = start and format_instant(start)
                raise PriceBookError("limits.from", shown, f"overlaps another limit of {limit.model}")
            if before.end is None:
                found[-1] = found[-1]._replace(period=Period(before.start, start))
        found.append(limit)
    return tuple(found)
