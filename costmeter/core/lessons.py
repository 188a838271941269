"""What a month teaches: what the cache and the cheap hours saved, what they could have saved, and what moved.

Off-peak missed is what a call cost more than in the cheapest band of its own tariff. Nothing is assumed about hours to
come: every tariff has hours of each of its bands, and a flat one has nothing to miss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from costmeter.core.money import UNITS, format_amount
from costmeter.core.periods import Period, month_before
from costmeter.core.price_book import TOKEN_METERS, PriceBook, RateList, overlap

MONEY = ("cost", "cache_savings", "off_peak_savings", "off_peak_missed")
COUNTS = ("calls", "unpriced", "cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens")
MEASURES = (
    "calls", "unpriced", "cost", "cache_hit_tokens", "cache_miss_tokens", "cache_hit_percent", "cache_savings",
    "off_peak_savings", "off_peak_missed", "output_tokens", "reasoning_tokens", "reasoning_percent",
)  # fmt: skip
MOVERS = 10  # how many of each kind are told
Tokens = tuple[int, ...]  # cache hits, cache misses, output


class Group(NamedTuple):
    """Whose calls a row sums."""

    project: str | None
    model: str


class Mover(NamedTuple):
    """A project or a model whose cost changed, in units of 10^-12; `state` is new, gone or changed."""

    name: str | None
    before: int
    now: int
    state: Literal["new", "gone", "changed"]

    @property
    def change(self) -> int:
        return self.now - self.before

    def as_dict(self) -> dict[str, Any]:
        """The percentage is of the cost before; where that was none there is none."""
        amounts = {name: format_amount(getattr(self, name)) for name in ("before", "now", "change")}
        percentage = percent(self.change, self.before)
        return {"name": self.name, **amounts, "change_percent": percentage, "state": self.state}


@dataclass(frozen=True, slots=True)
class Lessons:
    """One month of one account: sums of MONEY (units of 10^-12) and COUNTS by project and model.

    `before` is what each cost in the month before; None where calls of that are detached.
    """

    account: str
    month: str
    currency: str
    rows: Mapping[Group, Mapping[str, int]]
    before: Mapping[Group, int] | None

    def as_dict(self) -> dict[str, Any]:
        """The shape of `costmeter lessons --json`: exact decimal strings, and percentages with two decimals."""
        ordered = sorted(self.rows.items(), key=lambda item: (item[0].project or "", item[0].model))
        movers = {name: [one.as_dict() for one in self.movers(name)] for name in ("project", "model")}
        return {
            "account": self.account,
            "month": self.month,
            "month_before": month_before(self.month),
            "currency": self.currency,
            "rows": [{**group._asdict(), **_shown(sums)} for group, sums in ordered],
            "totals": _shown(_summed([*self.rows.values()])),
            "movers": None if self.before is None else movers,
        }

    def movers(self, name: Literal["project", "model"]) -> list[Mover]:
        """What changed the most against the month before, whichever way; what did not change is none."""
        now = _by(name, {group: sums["cost"] for group, sums in self.rows.items()})
        before = _by(name, self.before or {})
        found = [
            Mover(key, before.get(key, 0), now.get(key, 0), _state(key in before, key in now))
            for key in {**before, **now}
        ]
        moved = [one for one in found if one.change]
        return sorted(moved, key=lambda one: (-abs(one.change), one.name or ""))[:MOVERS]


def percent(part: int, whole: int) -> str | None:
    """A share in percent with two decimals, half to even; None where there is nothing to share."""
    if whole <= 0:
        return None
    return format_amount(round(Fraction(part * 10_000, whole)) * (UNITS // 100))


def excess(rates: RateList, band: str) -> Tokens | None:
    """What one token of each meter costs more in a band than in the cheapest band of the list.

    None where that depends on the call: no band is the cheapest in every meter, or one lists other meters.
    """
    listed = [{meter: one[meter].units for meter in TOKEN_METERS if meter in one} for one in rates.bands.values()]
    if any(one.keys() != listed[0].keys() for one in listed):
        return None
    low = {meter: min(one[meter] for one in listed) for meter in listed[0]}
    if low not in listed:
        return None
    own = rates.bands[band]
    return tuple(own[meter].units - low[meter] if meter in low else 0 for meter in TOKEN_METERS)


def missed(rates: RateList, band: str, tokens: Tokens) -> int:
    """What one call of a band cost more than in the cheapest band that lists every meter which it used."""
    used = {meter: quantity for meter, quantity in zip(TOKEN_METERS, tokens, strict=True) if quantity}
    amounts = {
        name: sum(quantity * listed[meter].units for meter, quantity in used.items())
        for name, listed in rates.bands.items()
        if used.keys() <= listed.keys()
    }
    return amounts[band] - min(amounts.values())


def excess_between(books: Sequence[PriceBook], model: str, currency: str, band: str, period: Period) -> Tokens | None:
    """The excess of every call of a name and a band that completed in a period, whichever of the books priced it.

    None where they or their tariffs of that period disagree, or where one goes by the start of a call.
    """
    found: set[Tokens | None] = set()
    for book in books:
        for tariff, in_force in book.tariffs_of(model):
            rates = tariff.rates.get(currency)
            if overlap(in_force, period) and tariff.basis == "start":
                return None
            if overlap(in_force, period) and rates is not None and band in rates.bands:
                found.add(excess(rates, band))
    return found.pop() if len(found) == 1 else None


def _state(was: bool, is_now: bool) -> Literal["new", "gone", "changed"]:
    return "changed" if was and is_now else "new" if is_now else "gone"


def _by(name: Literal["project", "model"], costs: Mapping[Group, int]) -> dict[str | None, int]:
    sums: dict[str | None, int] = {}
    for group, cost in costs.items():
        key = getattr(group, name)
        sums[key] = sums.get(key, 0) + cost
    return sums


def _summed(rows: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in (*COUNTS, *MONEY)}


def _shown(sums: Mapping[str, int]) -> dict[str, Any]:
    """A row as others see it."""
    hits, output = sums["cache_hit_tokens"], sums["output_tokens"]
    shown: dict[str, Any] = {name: sums[name] for name in COUNTS}
    shown |= {name: format_amount(sums[name]) for name in MONEY}
    shown["cache_hit_percent"] = percent(hits, hits + sums["cache_miss_tokens"])
    shown["reasoning_percent"] = percent(sums["reasoning_tokens"], output)
    return {name: shown[name] for name in MEASURES}
