"""Millions of calls, priced in rounds, in turn by us and by each rival; all must come to the same sums."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import row
from benchmarks.turns.take import OURS, Contender, in_own_venv, peaks, rows, take_turns

CALLS = 10_000_000
ROUNDS = 10
WAYS = "benchmarks.bulk.ways"


def lines(calls: int = CALLS) -> Iterator[str]:
    """The table, and the memory that each process had at most."""
    size = max(calls // ROUNDS, 1)
    polars, missing = in_own_venv("polars", WAYS)
    taken = take_turns([Contender(OURS, WAYS), Contender("numpy", WAYS), *polars], rounds=ROUNDS, size=size)
    yield from row.lines(rows(f"{size * ROUNDS:,} calls in bulk, against", taken, size))
    yield peaks(taken, size)
    yield from missing
