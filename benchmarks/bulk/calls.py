"""The calls of a round: two models at the prices of January to September 2025, in order of completion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NAMES = ("deepseek-chat", "deepseek-reasoner")
SECOND = 1_000_000  # microseconds
START, END = 1_737_331_200 * SECOND, 1_757_088_000 * SECOND  # 2025-01-20T00:00:00Z, 2025-09-05T16:00:00Z


class Columns(NamedTuple):
    """The calls' names by their place, completions in microseconds since 1970, and counts of tokens."""

    name: NDArray[np.int8]
    completed_at: NDArray[np.int64]
    cache_hit: NDArray[np.int64]
    cache_miss: NDArray[np.int64]
    output: NDArray[np.int64]


def calls_of(number: int, size: int) -> Columns:
    """The calls of a round, the same in every process."""
    chance = np.random.default_rng(number)
    return Columns(
        chance.integers(0, len(NAMES), size, dtype=np.int8),
        np.sort(chance.integers(START, END, size)),
        chance.integers(0, 200, size) * 64,
        chance.integers(0, 8_000, size),
        chance.integers(1, 4_000, size),
    )
