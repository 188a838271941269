"""The listed rates that charges were made by, from the edition of the price book that each charge names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from costmeter.core.errors import CostmeterError
from costmeter.core.money import format_amount
from costmeter.core.price_book import Rate
from costmeter.prices.read import read_edition
from costmeter.store import editions


@dataclass
class ListedPrices:
    """Rates by meter, of a tariff's band in a currency, as an edition has them; each is looked up once."""

    connection: Connection
    _found: dict[tuple[str, str, str, str], Mapping[str, Rate]] = field(default_factory=dict)

    def rate(self, edition: str, tariff: str, band: str, currency: str, meter: str) -> Rate:
        """The rate of a meter; CostmeterError where the edition has none, since then it cannot have been charged."""
        key = (edition, tariff, band, currency)
        if key not in self._found:
            book = read_edition(editions.text_of(self.connection, edition))
            lists = [listed.rates[currency].bands for listed in book.tariffs if listed.tariff_id == tariff]
            self._found[key] = next((bands[band] for bands in lists if band in bands), {})
        rate = self._found[key].get(meter)
        if rate is None:
            raise CostmeterError(
                f"charges of {meter} by tariff {tariff!r}, band {band!r}, have no {currency} rate in the price book "
                f"that they name ({edition}); see: costmeter verify"
            )
        return rate


def check_cost(rate: Rate, tariff: str, quantity: int, cost: int) -> None:
    """CostmeterError where a quantity at its listed rate is not what was charged for it, to the digit."""
    if quantity * rate.units != cost:
        raise CostmeterError(
            f"{quantity} {rate.meter.unit} of {rate.meter.name} by tariff {tariff!r} at {rate.text} per "
            f"{rate.meter.per} cost {format_amount(quantity * rate.units)}, and {format_amount(cost)} was charged; "
            "see: costmeter verify"
        )
