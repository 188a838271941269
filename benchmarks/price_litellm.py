"""One call from counts: `costmeter.quote` against litellm's `cost_per_token`, each in its own venv, in turn.

litellm has one price for a model, whatever the date: the one that DeepSeek had from 2025-09-29 on. So the calls are of
October and November 2025, and both must come to the same amounts, call by call.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import NamedTuple

from benchmarks import row
from benchmarks.turns.take import OURS, Contender, in_own_venv, rows, take_turns
from benchmarks.turns.way import Way

CALLS, ROUNDS = 5_000, 7
START, SECONDS = datetime(2025, 10, 1, tzinfo=UTC), 60 * 86_400
UNITS = 10**12


class Call(NamedTuple):
    """One call: model, completion, and its counts of cache hits, cache misses and output."""

    model: str
    completed_at: datetime
    tokens: tuple[int, int, int]


def lines() -> Iterator[str]:
    """The table of this one row."""
    litellm, missing = in_own_venv("litellm", __name__)
    if litellm:
        taken = take_turns([Contender(OURS, __name__), *litellm], rounds=ROUNDS, size=CALLS)
        yield from row.lines(rows("quote from counts, against cost_per_token of", taken, CALLS))
    yield from missing


def calls_of(number: int, size: int) -> list[Call]:
    """The calls of a round, the same in every process."""
    chance = random.Random(number)
    return [_call(chance) for _ in range(size)]


def _call(chance: random.Random) -> Call:
    at = START + timedelta(seconds=chance.randrange(SECONDS))
    tokens = chance.randrange(200) * 64, chance.randrange(1, 8_000), chance.randrange(1, 4_000)
    return Call(chance.choice(("deepseek-chat", "deepseek-reasoner")), at, tokens)


def open_costmeter() -> Way:
    import costmeter
    from costmeter.core.usage import Usage

    def prepare(number: int, size: int) -> list[tuple[str, datetime, Usage]]:
        return [(model, at, Usage(*tokens)) for model, at, tokens in calls_of(number, size)]

    def run(calls: list[tuple[str, datetime, Usage]]) -> list[costmeter.Charge]:
        return [costmeter.quote(model=model, completed_at=at, usage=usage) for model, at, usage in calls]

    def answer(charges: list[costmeter.Charge]) -> list[int]:
        return [charge.total for charge in charges]

    return Way(version("costmeter"), prepare, run, answer)


def open_litellm() -> Way:
    """With the provider in the name, as its manual says, and its counts: the prompt has the cache hits in it."""
    import litellm

    def prepare(number: int, size: int) -> list[tuple[str, int, int, int]]:
        calls = calls_of(number, size)
        return [(f"deepseek/{model}", hits + misses, outputs, hits) for model, _, (hits, misses, outputs) in calls]

    def run(calls: list[tuple[str, int, int, int]]) -> list[tuple[float, float]]:
        price = litellm.cost_per_token
        return [
            price(model=model, prompt_tokens=prompt, completion_tokens=outputs, cache_read_input_tokens=hits)
            for model, prompt, outputs, hits in calls
        ]

    def answer(costs: list[tuple[float, float]]) -> list[int]:
        """To the nearest unit of 10^-12 and no further, since it counts in floats."""
        return [round((prompt + completion) * UNITS) for prompt, completion in costs]

    return Way(version("litellm"), prepare, run, answer)


WAYS: dict[str, Callable[[], Way]] = {"costmeter": open_costmeter, "litellm": open_litellm}
