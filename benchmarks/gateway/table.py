"""From rounds to tables: what each contender did, beside the one that the others are compared with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.gateway.rounds import CONNECTIONS, FIRST, SECONDS, SLOW_ROUNDS, SLOW_SECONDS, Found, Kind, Taken

LEGEND = f"""Proxies on one core; upstream, wrk and the databases on the other. {CONNECTIONS} connections that are kept,
{SECONDS} s a turn, the contenders in turn, round after round, each settled before the next begins; the slow have
{SLOW_SECONDS} s in the first {SLOW_ROUNDS} rounds only. CPU: microseconds of the contender's processes for an answer,
with everything that they did of it after its turn; what was cut off at the end of a turn is in it."""


def lines(found: Found, base: str) -> Iterator[str]:
    """A table for each kind; ratios are paired by round, of what `base` did."""
    yield LEGEND
    yield f"Load of the machine at the end: {os.getloadavg()[0]:.1f}; this benchmark by itself makes 2."
    for kind, taken in found.taken.items():
        yield ""
        yield from (_first_lines if kind is FIRST else _kind_lines)(kind, taken, base)
    yield from ("", *found.missing)


def paired(ours: Sequence[Taken], other: Sequence[Taken], field: str) -> list[float]:
    """How many times the other's figure ours is, round by round; nothing where the other came to none.

    One of them may have taken part in the first rounds only.
    """
    pairs = [(getattr(one, field), getattr(two, field)) for one, two in zip(ours, other, strict=False)]
    return [one / two for one, two in pairs if two]


def spread(ratios: Sequence[float]) -> str:
    """The median, and from where to where."""
    if not ratios:
        return "-"
    return f"{_shown(median(ratios))}x  {_shown(min(ratios))} .. {_shown(max(ratios))}"


def middle(taken: Sequence[Taken], field: str) -> float:
    return float(median(getattr(turn, field) for turn in taken))


def _kind_lines(kind: Kind, taken: dict[str, list[Taken]], base: str) -> Iterator[str]:
    width = max(map(len, taken))
    yield f"{kind.title}:"
    yield f"  {'':<{width}}{'a second':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'errors':>8}  of {base}: rate, CPU"
    for name, turns in taken.items():
        figures = f"{_shown(middle(turns, 'per_second')):>10}{_shown(middle(turns, 'p50')):>9}"
        figures += f"{_shown(middle(turns, 'p99')):>9}{middle(turns, 'cpu'):>9,.0f}{sum(t.errors for t in turns):>8}"
        rate = spread(paired(turns, taken[base], "per_second"))
        cpu = spread(paired(turns, taken[base], "cpu") if middle(turns, "cpu") else ())
        yield f"  {name:<{width}}{figures}  {rate:<24}{cpu}"


def _first_lines(kind: Kind, taken: dict[str, list[Taken]], _: str) -> Iterator[str]:
    width = max(map(len, taken))
    direct = next(iter(taken.values()))
    yield f"{kind.title}:"
    yield f"  {'':<{width}}{'p50':>9}{'p99':>9}  p50 above direct, low .. high"
    for name, turns in taken.items():
        added = [one.p50 - other.p50 for one, other in zip(turns, direct, strict=False)]
        figures = f"{middle(turns, 'p50'):>9,.0f}{middle(turns, 'p99'):>9,.0f}"
        yield f"  {name:<{width}}{figures}  {median(added):+,.0f}  {min(added):+,.0f} .. {max(added):+,.0f}"


def _shown(figure: float) -> str:
    """With three digits that count, or the whole number."""
    return f"{figure:.3g}" if figure < 100 else f"{figure:,.0f}"
