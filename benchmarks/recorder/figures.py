"""From samples that belong together, round by round, to what recording added, in microseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any, NamedTuple

from benchmarks.recorder.calls import Sample

BARE, AGAIN, RECORDED = "bare", "again", "recorded"  # the ways of calling in one process


class Added(NamedTuple):
    """What one way of calling took above the bare SDK."""

    bare: float  # the median of the bare call
    p50: float  # of the paired differences
    p99: float
    p99_apart: float  # the p99 of this way minus the p99 of the bare call

    @property
    def share(self) -> float:
        """The median of what was added, of the median of the bare call."""
        return self.p50 / self.bare


class Figures(NamedTuple):
    """What one way of calling added to one kind of call."""

    wall: Added
    thread: Added
    process: Added
    first: Added
    in_all: float  # CPU of a call with its delivery, of all threads


def figures(found: Mapping[str, Any], kind: str, way: str) -> Figures:
    """What `way` added to the kind of call, from what one process or several found."""
    samples, blocks = found[kind], found[f"{kind} in all"]
    wall, thread, process, first = (_added(samples, way, field) for field in Sample._fields)
    in_all = median((after - before) / 1e3 for after, before in zip(blocks[way], blocks[BARE], strict=True))
    return Figures(wall, thread, process, first, in_all)


def _added(samples: Mapping[str, Sequence[Sequence[int]]], way: str, field: str) -> Added:
    place = Sample._fields.index(field)
    bare, other = ([sample[place] / 1e3 for sample in samples[name]] for name in (BARE, way))
    differences = [after - before for after, before in zip(other, bare, strict=True)]
    return Added(median(bare), median(differences), _p99(differences), _p99(other) - _p99(bare))


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98]
