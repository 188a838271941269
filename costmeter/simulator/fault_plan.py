"""Which calls are disturbed."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from costmeter.simulator.errors import BadInputError
from costmeter.simulator.faults import Fault, parse_fault

MOST_CALLS = 1_000_000  # that one request can disturb


class FaultPlan:
    """A call's own wish comes first, then what was asked for the next calls, then chance.

    Chance is a rate for each fault, written as the header writes it, such as {"429": 0.01, "reset;after=3": 0.02}.
    It depends on the seed and on how many calls it was asked for before, on nothing else; where a fault leaves open
    after how many chunks it comes, chance decides that too.
    """

    def __init__(self, rates: Mapping[str, float], seed: int) -> None:
        for text, rate in rates.items():
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
                raise BadInputError(f"rate of {text}", rate, "give a share of the calls from 0 to 1")
        if math.fsum(rates.values()) > 1:
            raise BadInputError("faults", dict(rates), "choose rates that add up to 1 at most")
        self._rates = [(parse_fault(text), rate) for text, rate in rates.items()]
        self._dice = random.Random(seed)
        self._next: deque[Fault] = deque()

    @property
    def waiting(self) -> int:
        """For how many of the next calls a fault was asked."""
        return len(self._next)

    def disturb_next(self, fault: Fault, count: object) -> None:
        """Asks for a fault of so many calls, after those asked for already."""
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_CALLS:
            raise BadInputError("count", count, f"give a number of calls from 1 to {MOST_CALLS}")
        self._next.extend([fault] * count)

    def for_call(self, wish: str | None) -> Fault | None:
        """The fault of the call that comes in now; it is spent even if the vendor refuses that call anyway."""
        if wish is not None:
            return parse_fault(wish)
        return self._next.popleft() if self._next else self._by_chance()

    def _by_chance(self) -> Fault | None:
        if not self._rates:
            return None
        point, share = self._dice.random(), self._dice.random()
        for fault, rate in self._rates:
            if point < rate:
                return replace(fault, share=share)
            point -= rate
        return None


def parse_rates(text: str) -> dict[str, float]:
    """Rates as the command line writes them: `429:0.01,reset;after=3:0.02`."""
    rates: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        fault, _, rate = part.strip().rpartition(":")
        if fault in rates:
            raise BadInputError("faults", text, f"give {fault} one rate")
        try:
            rates[fault] = float(rate)
        except ValueError:
            raise BadInputError("faults", part, "write a fault, a colon and its rate, such as reset:0.01") from None
    return rates
