"""What DeepSeek's console exported beside what is recorded: by interval, model, meter and price, and by wallet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from costmeter.core.console_export import ConsoleExport, Interval, contradictions
from costmeter.core.ledger import GRANTED
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.core.price_book import TOKEN_METERS

TOKENS, PRICE, COST = "tokens", "price", "cost"
GRANTED_PART, TOPPED_UP_PART = "cost_from_granted", "cost_from_topped_up"
FILES_DISAGREE = "files_disagree"

Prices = Mapping[int | None, int]  # tokens (or requests) by the price of one, None where there is none


class Amounts(NamedTuple):
    """What one side has of a model in an interval: of each meter the tokens by price, and what they cost.

    `granted` is None where the split is not known: usage from before the account's balance was kept.
    """

    meters: Mapping[str, Prices]
    cost: int
    granted: int | None


class Difference(NamedTuple):
    """One thing that the two sides tell otherwise; tokens and prices are of one meter, costs in units of 10^-12."""

    interval: Interval
    model: str
    kind: str
    meter: str | None
    price: int | None
    ours: int
    theirs: int

    def as_dict(self) -> dict[str, Any]:
        is_count = self.kind in (TOKENS, PRICE)
        shown = str if is_count else format_amount
        return {
            "from": format_instant(self.interval.start),
            "to": format_instant(self.interval.end),
            "model": self.model,
            "kind": self.kind,
            "meter": self.meter,
            "price_per_million": None if self.price is None else format_amount(self.price * 10**6),
            "recorded": shown(self.ours),
            "exported": shown(self.theirs),
            "difference": shown(self.theirs - self.ours),
        }


Side = Mapping[tuple[Interval, str], Amounts]  # by interval and model
NOTHING = Amounts({}, 0, 0)


def exported(export: ConsoleExport) -> dict[tuple[Interval, str], Amounts]:
    """The export by interval and model; its keys are summed, since costs have none."""
    meters: dict[tuple[Interval, str], dict[str, dict[int | None, int]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(int))
    )
    costs: dict[tuple[Interval, str], list[int]] = defaultdict(lambda: [0, 0])
    for used in export.usage:
        meters[used.interval, used.model][used.meter][used.price] += used.amount
    for paid in export.costs:
        costs[paid.interval, paid.model][0] += paid.cost
        costs[paid.interval, paid.model][1] += paid.cost if paid.wallet == GRANTED else 0
    slots = {*meters, *costs}
    return {slot: Amounts(meters.get(slot, {}), *costs.get(slot, (0, 0))) for slot in slots}


def compare(export: ConsoleExport, recorded: Side) -> list[Difference]:
    """Every difference by interval and model; none where both sides say the same to the last digit.

    What the export's own files contradict each other in is told too: sum(price x amount) is sum(cost).
    """
    theirs = exported(export)
    found = [
        Difference(one.interval, one.model, FILES_DISAGREE, None, None, one.priced, one.cost)
        for one in contradictions(export)
    ]
    for interval, model in sorted({*theirs, *recorded}):
        one, other = recorded.get((interval, model), NOTHING), theirs.get((interval, model), NOTHING)
        found += _meters(interval, model, one, other)
        found += _costs(interval, model, one, other)
    return found


def _meters(interval: Interval, model: str, ours: Amounts, theirs: Amounts) -> Iterator[Difference]:
    for meter in sorted({*ours.meters, *theirs.meters}):
        mine, other = _used(ours.meters.get(meter, {})), _used(theirs.meters.get(meter, {}))
        # The same tokens at other prices are one thing, tokens that one side has not are another.
        is_price = meter in TOKEN_METERS and sum(mine.values()) == sum(other.values())
        for price in sorted({*mine, *other}, key=lambda one: (one is None, one or 0)):
            counts = mine.get(price, 0), other.get(price, 0)
            if counts[0] != counts[1]:
                yield Difference(interval, model, PRICE if is_price else TOKENS, meter, price, *counts)


def _used(prices: Prices) -> dict[int | None, int]:
    return {price: count for price, count in prices.items() if count}


def _costs(interval: Interval, model: str, ours: Amounts, theirs: Amounts) -> Iterable[Difference]:
    if ours.cost != theirs.cost:
        yield Difference(interval, model, COST, None, None, ours.cost, theirs.cost)
    if ours.granted is None or theirs.granted is None or ours.granted == theirs.granted:
        return
    yield Difference(interval, model, GRANTED_PART, None, None, ours.granted, theirs.granted)
    if (rest := ours.cost - ours.granted) != (other := theirs.cost - theirs.granted):
        yield Difference(interval, model, TOPPED_UP_PART, None, None, rest, other)
