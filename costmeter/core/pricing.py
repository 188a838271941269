"""What one call costs: a pure function of its stored instants, its stored tokens and a dated tariff."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from costmeter.core.events import UsageEvent
from costmeter.core.money import MAX_AMOUNT, format_amount
from costmeter.core.periods import format_instant
from costmeter.core.price_book import TOKEN_METERS, PriceBook, Rate, Step, Tariff
from costmeter.core.usage import Usage

START_UNKNOWN = "start_unknown"  # the tariff goes by the start, which was not recorded: priced by completion

_new = tuple.__new__  # a named tuple's own constructor costs as much as pricing does


class Line(NamedTuple):
    """One meter of a charge: quantity x rate / per = amount (units of 10^-12)."""

    meter: str
    quantity: int
    unit: str
    rate: str
    per: int
    amount: int

    def as_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "amount": format_amount(self.amount)}


class Charge(NamedTuple):
    """What one call costs; amounts in units of 10^-12 of the currency."""

    model: str
    completed_at: datetime
    usage: Usage
    step: Step
    cost_cache_hit: int
    cost_cache_miss: int
    cost_output: int
    total: int
    flags: tuple[str, ...] = ()

    @property
    def tariff(self) -> Tariff:
        return self.step.tariff

    @property
    def band(self) -> str:
        return self.step.band

    @property
    def currency(self) -> str:
        return self.step.currency

    @property
    def provisional(self) -> bool:
        """Whether the holiday calendar it depends on is not published yet."""
        return self.step.provisional

    @property
    def lines(self) -> tuple[Line, ...]:
        """The charge meter by meter; a meter without a listed rate and without tokens has no line."""
        return price_quantities(self.step.rates, dict(zip(TOKEN_METERS, self.usage[:3], strict=True)))

    @property
    def cache_savings(self) -> int:
        """What the cache hits would have cost more as misses, at the charge's own band."""
        hits = self.usage.cache_hit_tokens
        return hits * (self.step.cache_miss or 0) - self.cost_cache_hit if hits else 0

    @property
    def off_peak_savings(self) -> int:
        """The amount in the tariff's dearest band less the amount charged."""
        if len(self.step.bands) == 1:
            return 0
        hits, misses, outputs, _, _ = self.usage
        return max(hits * hit + misses * miss + outputs * output for hit, miss, output in self.step.bands) - self.total

    def as_dict(self) -> dict[str, Any]:
        """The shape of `costmeter quote --json`."""
        return {
            "model": self.model,
            "completed_at": format_instant(self.completed_at),
            "currency": self.currency,
            "tariff": self.tariff.tariff_id,
            "band": self.band,
            "provisional": self.provisional,
            "lines": [line.as_dict() for line in self.lines],
            "total": format_amount(self.total),
        }


class Unpriced(NamedTuple):
    """A call that no tariff covers, and why; its cost is unknown, which is not 0."""

    model: str
    completed_at: datetime
    currency: str
    reason: str


def price_usage(
    book: PriceBook,
    *,
    model: str,
    usage: Usage,
    completed_at: datetime,
    started_at: datetime | None = None,
    currency: str = "USD",
) -> Charge | Unpriced:
    """Price a call at the rates in force at the instant that its tariff goes by.

    That is the completion (2025 price page: "The completion timestamp of each request determines its pricing tier")
    unless the tariff in force at completion says `basis = "start"`. Instants are aware UTC.
    """
    step = book.step_at(model, currency, completed_at)
    flags: tuple[str, ...] = ()
    if step is not None and step.tariff.basis == "start":
        if started_at is None:
            flags = (START_UNKNOWN,)
        else:
            step = book.step_at(model, currency, started_at)
    if step is None:
        return Unpriced(model, completed_at, currency, _no_tariff(book, model, currency))
    hits, misses, outputs, _, _ = usage
    _, _, _, _, rate_hit, rate_miss, rate_output, safe_tokens, _ = step
    if rate_hit is None or rate_miss is None or rate_output is None:
        for meter, quantity in zip(TOKEN_METERS, usage[:3], strict=True):
            if quantity and meter not in step.rates:
                reason = f"tariff {step.tariff.tariff_id} lists no rate for {meter}"
                return Unpriced(model, completed_at, currency, reason)
    cost_hit, cost_miss, cost_output = hits * (rate_hit or 0), misses * (rate_miss or 0), outputs * (rate_output or 0)
    total = cost_hit + cost_miss + cost_output
    charge = _new(Charge, (model, completed_at, usage, step, cost_hit, cost_miss, cost_output, total, flags))
    if hits + misses + outputs > safe_tokens and max(total, charge.cache_savings, charge.off_peak_savings) > MAX_AMOUNT:
        reason = f"the charge or its savings pass {format_amount(MAX_AMOUNT)} {currency}, the most that one can be"
        return Unpriced(model, completed_at, currency, reason)
    return charge


def price_event(book: PriceBook, event: UsageEvent, currency: str) -> Charge | Unpriced:
    """Price a measured call as it was recorded."""
    assert event.usage is not None, "only a measured call has a price"
    return price_usage(
        book,
        model=event.model,
        usage=event.usage,
        completed_at=event.completed_at,
        started_at=event.started_at,
        currency=currency,
    )


def price_quantities(rates: Mapping[str, Rate], quantities: Mapping[str, int]) -> tuple[Line, ...]:
    """The lines of any meters (tokens, requests, pages) at the given rates, in the order of the quantities.

    A quantity above 0 whose meter has no rate raises KeyError; with quantity 0 it has no line.
    """
    lines = []
    for meter, quantity in quantities.items():
        if quantity and meter not in rates:
            raise KeyError(meter)
        if meter in rates:
            rate = rates[meter]
            amount = quantity * rate.units
            lines.append(Line(meter, quantity, rate.meter.unit, rate.text, rate.meter.per, amount))
    return tuple(lines)


def _no_tariff(book: PriceBook, model: str, currency: str) -> str:
    if model not in book.names:
        return f"the price book has no model {model!r}"
    return f"the price book has no {currency} tariff for {model!r} at that instant"
