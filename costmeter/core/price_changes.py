"""What the price book says will change: tariffs that begin or end, and calendars that do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from costmeter.core.periods import MICROSECOND, Period
from costmeter.core.price_book import Calendar, PriceBook, Tariff


class PriceChange(NamedTuple):
    """From an instant on some names are billed by another tariff; None is no price."""

    at: datetime
    before: Tariff | None
    after: Tariff | None
    names: frozenset[str]

    @property
    def tariff_id(self) -> str:
        """The tariff that begins, or that ends where none follows."""
        tariff = self.after or self.before
        assert tariff is not None
        return tariff.tariff_id


def price_changes(book: PriceBook, currency: str, period: Period) -> list[PriceChange]:
    """What changes in a period for calls in a currency, the next first; another tariff at equal rates is no change."""
    found: dict[tuple[datetime, str, str], PriceChange] = {}
    for name in book.names:
        parts = [(tariff, when) for tariff, when in book.tariffs_of(name) if currency in tariff.rates]
        for at in {edge for _, when in parts for edge in when if edge is not None and edge in period}:
            before, after = (_in_force(parts, instant) for instant in (at - MICROSECOND, at))
            if _price(before, currency) != _price(after, currency):
                key = (at, before.tariff_id if before else "", after.tariff_id if after else "")
                names = found[key].names if key in found else frozenset()
                found[key] = PriceChange(at, before, after, names | {name})
    return [found[key] for key in sorted(found)]


def changed_rates(change: PriceChange, currency: str) -> list[dict[str, Any]]:
    """The old and the new rate of each meter in each band, as the vendor prints them; None where there is none."""
    old, new = (_rates(tariff, currency) for tariff in (change.before, change.after))
    rows = []
    for band, meter in sorted({*old, *new}):
        was, becomes = old.get((band, meter)), new.get((band, meter))
        per = (becomes or was).meter.per  # type: ignore[union-attr]  # one of the two is there
        texts = {"old": was.text if was else None, "new": becomes.text if becomes else None}
        rows.append({"band": band, "meter": meter, "per": per, **texts})
    return rows


def calendars_in_use(book: PriceBook, now: datetime) -> list[Calendar]:
    """The calendars that tariffs in force or to come depend on."""
    used = {
        window.calendar.name: window.calendar
        for tariff in book.tariffs
        for window in tariff.windows
        if window.calendar is not None and (tariff.period.end is None or tariff.period.end > now)
    }
    return list(used.values())


def calendars_that_end(book: PriceBook, now: datetime, days: int) -> Iterator[Calendar]:
    """The calendars in use of which so many days, or fewer, are left."""
    for calendar in calendars_in_use(book, now):
        if (calendar.published_to - now.astimezone(calendar.zone).date()).days <= days:
            yield calendar


def end_of(calendar: Calendar) -> str:
    """In words, when a calendar ends and what that means."""
    last = calendar.published_to - timedelta(days=1)
    return f"calendar {calendar.name} ends on {last}; prices that depend on it are provisional after that"


def _in_force(parts: list[tuple[Tariff, Period]], instant: datetime) -> Tariff | None:
    return next((tariff for tariff, period in parts if instant in period), None)


def _price(tariff: Tariff | None, currency: str) -> object:
    """What two tariffs must have in common to be the same price."""
    if tariff is None:
        return None
    rates = {key: rate.units for key, rate in _rates(tariff, currency).items()}
    return rates, tariff.windows, tariff.band, tariff.basis


def _rates(tariff: Tariff | None, currency: str) -> dict[tuple[str, str], Any]:
    bands = {} if tariff is None else tariff.rates[currency].bands
    return {(band, meter): rate for band, rates in bands.items() for meter, rate in rates.items()}
