"""Usage rows of FOCUS: what was used of each meter at each rate on a day, and what of it granted balance paid."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from costmeter.core.money import UNITS, format_amount
from costmeter.core.price_book import CACHE_HIT, CACHE_MISS, OUTPUT
from costmeter.exports.day_sums import Day
from costmeter.exports.focus_format import VENDOR, Cells, Mode, charge_class
from costmeter.exports.listed_prices import ListedPrices, check_cost
from costmeter.store.tables import ChargeRow, EventRow

# What days are summed by and of, as the functions below take them apart.
KEYS = (
    EventRow.project, EventRow.api_key, EventRow.model, ChargeRow.band, ChargeRow.tariff, ChargeRow.status,
    ChargeRow.adjusts, ChargeRow.edition,
)  # fmt: skip
AMOUNTS = (
    EventRow.cache_hit_tokens * ChargeRow.sign, EventRow.cache_miss_tokens * ChargeRow.sign,
    EventRow.output_tokens * ChargeRow.sign, ChargeRow.cost_cache_hit, ChargeRow.cost_cache_miss,
    ChargeRow.cost_output, EventRow.reasoning_tokens * ChargeRow.sign, ChargeRow.granted,
)  # fmt: skip


PER = 1_000_000  # tokens that a price is for


class Meter(NamedTuple):
    """How a meter is called: in a SKU, in words, and by the keys of SkuPriceDetails.

    FOCUS has keys of its own for tokens in a draft of 1.5 only; until then they are custom ones.
    """

    sku: str
    words: str
    details: Mapping[str, str]


METERS = {
    CACHE_HIT: Meter(
        "input-hit", "Cache Read Input Tokens", {"x_TokenDirection": "Input", "x_TokenCacheAction": "Read"}
    ),
    CACHE_MISS: Meter("input-miss", "Input Tokens", {"x_TokenDirection": "Input", "x_TokenCacheAction": "Uncached"}),
    OUTPUT: Meter("output", "Output Tokens", {"x_TokenDirection": "Output"}),
}


class _Line(NamedTuple):
    """Whose usage a row is, of what, and by which price: `units` of 10^-12 for one token."""

    project: str | None
    api_key: str | None
    model: str
    band: str
    tariff: str
    status: str
    adjusts: str | None
    meter: str
    units: int

    @property
    def price(self) -> int:
        """For as many tokens as the vendor prints it for: a whole number of 10^-12, as is that of one."""
        return self.units * PER


class _Sums(NamedTuple):
    quantity: int
    cost: int
    reasoning: int


def usage_cells(day: Day, prices: ListedPrices, mode: Mode) -> Iterator[Cells]:
    """The day's usage: a row a meter and rate, so that list price x quantity = cost holds exactly in each."""
    for line, sums in _lines(day, prices).items():
        yield _whose(line) | _sku(line, day.account.currency) | _amounts(line, sums, mode)


def granted_by_month(day: Day) -> dict[str | None, int]:
    """What granted balance paid of the day's charges, by the closed month that they adjust."""
    found: dict[str | None, int] = {}
    for (*_, adjusts, _edition), (*_, granted) in day.sums.items():
        found[adjusts] = found.get(adjusts, 0) + granted
    return {adjusts: granted for adjusts, granted in found.items() if granted}


def _lines(day: Day, prices: ListedPrices) -> dict[_Line, _Sums]:
    """Editions that list the same rate make one line; a charge that was taken back in the same month leaves none."""
    found: dict[_Line, _Sums] = {}
    for (project, api_key, model, band, tariff, status, adjusts, edition), sums in day.sums.items():
        *by_meter, reasoning, _ = sums
        for meter, quantity, cost in zip(METERS, by_meter[:3], by_meter[3:], strict=True):
            if tariff is None or band is None or not (quantity or cost):
                continue  # unpriced, or nothing used
            rate = prices.rate(edition or "", tariff, band, day.account.currency, meter)
            check_cost(rate, tariff, quantity, cost)
            line = _Line(project, api_key, model or "", band, tariff, status or "", adjusts, meter, rate.units)
            before = found.get(line, _Sums(0, 0, 0))
            thought = reasoning if meter == OUTPUT else 0
            found[line] = _Sums(before.quantity + quantity, before.cost + cost, before.reasoning + thought)
    return {line: sums for line, sums in found.items() if any(sums)}


def _whose(line: _Line) -> Cells:
    return {
        "ChargeCategory": "Usage",
        **charge_class(line.adjusts),
        "ChargeDescription": f"{METERS[line.meter].words} of {line.model} by {line.tariff}, {line.band}",
        "ChargeFrequency": "Usage-Based",
        "SubAccountId": line.project,
        "SubAccountName": line.project,
        "SubAccountType": None if line.project is None else "Project",
        "x_ApiKey": line.api_key,
        "x_Model": line.model,
        "x_Band": line.band,
        "x_Tariff": line.tariff,
        "x_PriceStatus": line.status,
    }


def _sku(line: _Line, currency: str) -> Cells:
    """What was used; a corrected rate is another price, though the tariff is the same."""
    meter = METERS[line.meter]
    sku = f"deepseek:{line.model}:{meter.sku}"
    details = {"x_ModelId": line.model, "x_ModelDeveloper": VENDOR, **meter.details}
    details |= {"x_Tariff": line.tariff, "x_Band": line.band}
    return {
        "SkuId": sku,
        "SkuMeter": meter.words,
        "SkuPriceId": f"{sku}:{line.tariff}:{line.band}:{currency}:{format_amount(line.price)}",
        "SkuPriceDetails": json.dumps(details, ensure_ascii=False, separators=(",", ":")),
        "PricingCategory": "Standard",  # a listed price, though it may go by the time of the day
    }


def _amounts(line: _Line, sums: _Sums, mode: Mode) -> Cells:
    """Price, quantity and cost, none of them rounded."""
    price, cost = Decimal(line.price) / UNITS, sums.cost
    return {
        "PricingQuantity": Decimal(sums.quantity) / PER,
        "PricingUnit": f"{PER} Tokens",
        "ConsumedQuantity": sums.quantity,
        "ConsumedUnit": "Tokens",
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "ListCost": cost,
        "ContractedCost": cost,
        "BilledCost": cost if mode is Mode.ACCRUAL else 0,
        "EffectiveCost": cost,
        "x_ReasoningTokens": sums.reasoning if line.meter == OUTPUT else None,
    }
