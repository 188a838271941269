"""What is printed: by the clock and by CPU for each kind of call, then the aims beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.recorder.answers import CHUNKS, completion_body
from benchmarks.recorder.compare import Outcome
from benchmarks.recorder.figures import AGAIN, RECORDED, Added, Figures, figures

LEGEND = """\
Microseconds. In each process the bare SDK, the bare SDK again (the noise) and the recording client call in shuffled
order; the client has the first core, the server the last. Each event of a stream is an HTTP chunk of its own; all are
written at once. p50, p99: of the paired differences; p99 apart: the p99 of the one minus the p99 of the other; share:
added p50 of the bare p50. "Delivering meanwhile": the recorder's thread stores, prices and posts while the next calls
are made; "after": it is flushed after each round, not timed. In all: CPU of every thread over blocks of calls with a
flush, so with delivery. x ours: the added CPU of a line by that of the first line."""


class Entry(NamedTuple):
    """A line of the tables: one way of calling, with its figures for each kind of call."""

    name: str
    json: Figures
    stream: Figures


def lines(outcomes: list[Outcome]) -> Iterator[str]:
    """The whole page, at most 120 columns wide."""
    entries = [entry for outcome in outcomes if not outcome.problem for entry in _entries(outcome)]
    yield LEGEND
    kinds = {
        f"JSON call of {len(completion_body()):,} bytes": [(entry.name, entry.json) for entry in entries],
        f"Stream of {CHUNKS} chunks": [(entry.name, entry.stream) for entry in entries],
    }
    for title, rows in kinds.items():
        yield from ("", *_clock_lines(f"{title}, by the clock", rows))
        yield from ("", *_cpu_lines(f"{title}, CPU", rows))
    yield from ("", *_first_lines(entries))
    yield from ("", *_aims(entries), *_failures(outcomes))


def _entries(outcome: Outcome) -> Iterator[Entry]:
    """The contender; ours is followed by the noise of its process."""
    ways = {outcome.label: RECORDED}
    if outcome.contender.is_ours:
        ways["  bare against bare"] = AGAIN
    for name, way in ways.items():
        yield Entry(name, figures(outcome.found, "json", way), figures(outcome.found, "stream", way))


def _clock_lines(title: str, rows: list[tuple[str, Figures]]) -> Iterator[str]:
    yield _line(title, "bare p50", "added p50", "p99", "p99 apart", "share")
    for name, row in rows:
        yield _line(name, *_spread(row.wall), _more(row.wall.p99_apart), f"{row.wall.share:+.1%}")


def _first_lines(entries: list[Entry]) -> Iterator[str]:
    yield _line("Stream, time to its first chunk", "bare p50", "added p50", "p99", "p99 apart")
    for entry in entries:
        first = entry.stream.first
        yield _line(entry.name, *_spread(first), _more(first.p99_apart))


def _cpu_lines(title: str, rows: list[tuple[str, Figures]]) -> Iterator[str]:
    ours = rows[0][1]
    yield _line("", "thread", "thread", "thread", "thread", "process", "process", "in all", "in all")
    yield _line(title, "bare p50", "added p50", "p99", "x ours", "added p50", "p99", "added", "x ours")
    for name, row in rows:
        thread = [*_spread(row.thread), _times(row.thread.p50, ours.thread.p50)]
        process = [_more(row.process.p50), _more(row.process.p99)]
        yield _line(name, *thread, *process, _more(row.in_all), _times(row.in_all, ours.in_all))


def _failures(outcomes: list[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.problem:
            yield f"{outcome.contender.name} was not measured: {outcome.problem}"[:120]


def _aims(entries: list[Entry]) -> Iterator[str]:
    """What the recorder is meant to reach, beside what it reached in this run, delivering meanwhile."""
    ours, noise, *others = entries
    yield f"{'aim':<76}{'measured':>10}{'noise':>10}"
    yield _aim("JSON call: at most 100 us added", 100, ours.json.wall.p50, noise.json.wall.p50)
    yield _aim("JSON call: p99 at most 500 us apart", 500, ours.json.wall.p99_apart, noise.json.wall.p99_apart)
    for rival in (entry.json for entry in others if entry.name.startswith("langfuse")):
        thread, in_all = rival.thread.p50 / 8, rival.in_all / 8
        text = "JSON call: at most 1/8 of the CPU that langfuse adds"
        yield _aim(f"{text} to the thread: {thread:,.0f} us", thread, ours.json.thread.p50, noise.json.thread.p50)
        yield _aim(f"{text} in all: {in_all:,.0f} us", in_all, ours.json.in_all, noise.json.in_all)
    wall, limit = ours.stream.wall, ours.stream.wall.bare / 50
    yield _aim(f"Stream: at most 2 % of bare added: {limit:,.0f} us", limit, wall.p50, noise.stream.wall.p50)
    yield _aim("Stream: first chunk at most 50 us later", 50, ours.stream.first.p50, noise.stream.first.p50)


def _aim(text: str, limit: float, measured: float, noise: float) -> str:
    """Reached or not, unless the noise is what decides."""
    if measured + abs(noise) <= limit:
        verdict = "reached"
    else:
        verdict = "NOT reached" if measured - abs(noise) > limit else "within the noise"
    return f"{text:<76}{_more(measured):>10}{_more(noise):>10}  {verdict}"


def _spread(added: Added) -> list[str]:
    return [f"{added.bare:,.0f}", _more(added.p50), _more(added.p99)]


def _more(figure: float) -> str:
    return f"{figure:+,.0f}"


def _times(figure: float, ours: float) -> str:
    """How many times ours; nothing where one of them is lost in the noise."""
    return f"{figure / ours:.1f}" if min(figure, ours) > 0 else "-"


def _line(name: str, *cells: str) -> str:
    return f"{name:<38}" + "".join(f"{cell:>10}" for cell in cells)
