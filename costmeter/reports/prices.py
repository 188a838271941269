"""The price book as others see it: what is in force at an instant, and every tariff with its source and doubts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from costmeter.core.errors import NotFoundError
from costmeter.core.periods import Period, format_instant
from costmeter.core.price_book import Name, OutputLimit, PriceBook, Step, Tariff, Window
from costmeter.prices.check import problems

AHEAD = timedelta(days=31)  # how far the next change of a price is looked for
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def prices_at(book: PriceBook, at: datetime) -> dict[str, Any]:
    """What each model costs at an instant."""
    prices = [row for name in book.names for row in _prices_of(book, name, at)]
    return {"at": format_instant(at), "edition": book.edition, "prices": prices}


def tariff_at(book: PriceBook, model: str, at: datetime) -> Tariff:
    """The tariff of a model at an instant; NotFoundError where there is no such model, or no tariff then."""
    name = known_name(book, model)
    tariff = next((tariff for tariff, period in book.tariffs_of(model) if at in period), None)
    if tariff is None:
        raise NotFoundError(f"no tariff for {model!r} at {format_instant(at)}. {name.retired or ''}".rstrip())
    return tariff


def price_shape(book: PriceBook, model: str, at: datetime) -> dict[str, Any]:
    """The tariff of a model at an instant, its band then, and what its name leaves in doubt."""
    tariff, name = tariff_at(book, model, at), known_name(book, model)
    shape = {"model": model, **tariff_shape(tariff), "band_at": {format_instant(at): tariff.band_at(at)}}
    limit = limit_at(book, model, at)
    shape["output_limit"] = None if limit is None else limit_shape(limit)
    return shape | {"doubt_of_name": name.doubt} if name.doubt else shape


def limit_at(book: PriceBook, model: str, at: datetime) -> OutputLimit | None:
    """How long an answer of a model can be at an instant; None where nobody says."""
    tariff = tariff_at(book, model, at)
    return next((limit for limit in book.limits if limit.model == tariff.model and at in limit.period), None)


def limit_shape(limit: OutputLimit) -> dict[str, Any]:
    return {
        "tokens": limit.tokens,
        **bounds(limit.period),
        "source": limit.source,
        "checked": limit.checked.isoformat(),
        "confidence": limit.confidence,
        "doubt": limit.doubt,
    }


def price_history(book: PriceBook, model: str) -> list[dict[str, Any]]:
    """Every tariff that a model was ever billed by."""
    known_name(book, model)
    return [{**tariff_shape(tariff), **bounds(period)} for tariff, period in book.tariffs_of(model)]


def checked_prices(book: PriceBook, now: datetime) -> dict[str, Any]:
    """What is wrong with the book: gaps, calendars that are about to end."""
    return {"edition": book.edition, "problems": problems(book, now)}


def names_shape(book: PriceBook) -> list[dict[str, Any]]:
    """What each name stood for when, with the source of that; a name that stands for itself alone included."""
    return [
        {
            "name": name.name,
            "spans": [{"model": span.model, **bounds(span.period)} for span in name.spans],
            "source": name.source,
            "retired": name.retired,
            "doubt": name.doubt,
        }
        for name in book.names.values()
    ]


def rate_steps(book: PriceBook, model: str, currency: str) -> list[dict[str, Any]]:
    """The history of a model's rates in a currency: for each meter and band, from when to when which rate was listed.

    Rates are as they are printed; `from` is null where nobody knows the beginning, `to` where no end is known.
    """
    known_name(book, model)
    return [
        {"meter": meter, "band": band, "rate": rate.text, "tariff": tariff.tariff_id, **bounds(period)}
        for tariff, period in book.tariffs_of(model)
        if currency in tariff.rates
        for band, rates in tariff.rates[currency].bands.items()
        for meter, rate in rates.items()
    ]


def _prices_of(book: PriceBook, name: str, instant: datetime) -> list[dict[str, Any]]:
    steps = [book.step_at(name, currency, instant) for currency in ("USD", "CNY")]
    return [
        {
            "model": name,
            "tariff": step.tariff.tariff_id,
            "band": step.band,
            "provisional": step.provisional,
            "currency": step.currency,
            "rates": {m: {"rate": r.text, "per": r.meter.per, "unit": r.meter.unit} for m, r in step.rates.items()},
        }
        for step in steps
        if step is not None
    ]


def bands_at(book: PriceBook, names: Collection[str], currency: str, at: datetime) -> list[dict[str, Any]]:
    """The band that models are in at an instant, when that changes next and into what; those alike stand together.

    `until` is null where nothing changes for AHEAD, `next_band` where no price follows. A model without a price then is
    left out.
    """
    found: dict[tuple[str, datetime | None, str | None], list[str]] = {}
    for name in sorted(names):
        step = book.step_at(name, currency, at)
        if step is not None:
            found.setdefault((step.band, *_next_change(book, name, step, at)), []).append(name)
    return [
        {"band": band, "models": models, "until": until and format_instant(until), "next_band": following}
        for (band, until, following), models in found.items()
    ]


def _next_change(book: PriceBook, name: str, step: Step, at: datetime) -> tuple[datetime | None, str | None]:
    """When a price in force ends, and the band after it."""
    edges, steps = book.steps_between(name, step.currency, at, at + AHEAD)
    for edge, following in zip(edges, steps[1:], strict=True):
        if following is None or (following.band, following.rates) != (step.band, step.rates):
            return edge, following and following.band
    return None, None


def tariff_shape(tariff: Tariff) -> dict[str, Any]:
    return {
        "tariff": tariff.tariff_id,
        **bounds(tariff.period),
        "basis": tariff.basis,
        "band_outside_windows": tariff.band,
        "windows": [window_text(window) for window in tariff.windows],
        "rates": {
            currency: {
                "source": listed.source,
                "confidence": listed.confidence,
                "bands": {b: {m: r.text for m, r in rates.items()} for b, rates in listed.bands.items()},
            }
            for currency, listed in tariff.rates.items()
        },
        "source": tariff.source,
        "checked": tariff.checked.isoformat(),
        "confidence": tariff.confidence,
        "doubt": tariff.doubt,
    }


def window_text(window: Window) -> str:
    days = "every day" if len(window.days) == 7 else ", ".join(_DAYS[day] for day in sorted(window.days))
    holidays = f" except holidays of {window.calendar.name}" if window.calendar else ""
    return f"{window.band} {window.start:%H:%M}-{window.end:%H:%M} {window.zone.key}, {days}{holidays}"


def bounds(period: Period) -> dict[str, str | None]:
    return {
        "from": format_instant(period.start) if period.start else None,
        "to": format_instant(period.end) if period.end else None,
    }


def known_name(book: PriceBook, model: str) -> Name:
    if model not in book.names:
        raise NotFoundError(f"the price book has no model {model!r}; it has {', '.join(book.names)}")
    return book.names[model]
