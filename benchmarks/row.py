"""One row: two ways to do the same work, timed in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """Microseconds per call of ours and of the rival, round by round."""

    name: str
    ours: tuple[float, ...]
    rival: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times faster ours was, in each round."""
        return tuple(rival / ours for ours, rival in zip(self.ours, self.rival, strict=True))

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def ours_us(self) -> float:
        return median(self.ours)

    @property
    def rival_us(self) -> float:
        return median(self.rival)


def paired(name: str, calls: int, ours: Callable[[], object], rival: Callable[[], object], rounds: int = 7) -> Row:
    """Time both in turn, after one round that is not counted; each does `calls` calls."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for work, kept in zip((ours, rival), times, strict=True):
            began = time.perf_counter()
            work()
            if number:
                kept.append((time.perf_counter() - began) / calls * 1e6)
    return Row(name, tuple(times[0]), tuple(times[1]))


def lines(rows: list[Row]) -> Iterator[str]:
    """A table of rows; a ratio is the median of paired rounds in one process."""
    width = max(len(row.name) for row in rows)
    yield f"{'microseconds':<{width}} {'ours':>9} {'rival':>9} {'ratio':>7}  low .. high"
    for row in rows:
        lowest, *_, highest = sorted(row.ratios)
        figures = f"{_shown(row.ours_us):>9} {_shown(row.rival_us):>9} {_shown(row.ratio):>6}x"
        yield f"{row.name:<{width}} {figures}  {_shown(lowest)} .. {_shown(highest)}"


def _shown(figure: float) -> str:
    """With three digits that count, or the whole number."""
    return f"{figure:.3g}" if figure < 100 else f"{figure:.0f}"
