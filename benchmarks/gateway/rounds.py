"""Every contender under every kind of load, in turn, round after round."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from benchmarks.gateway import upstream
from benchmarks.gateway.contenders import Contender, Running, running
from benchmarks.gateway.load import PLAIN_BODY, STREAM_BODY, first_bytes, load
from benchmarks.gateway.upstream import BURST, FIRST_ONLY, Pace, set_pace

PROXY, OTHERS = 0, -1  # the cores of the proxies and of everything else
CONNECTIONS, SECONDS, FIRST_BYTES = 64, 4, 200
SLOW_SECONDS, SLOW_ROUNDS = 10, 2  # of a slow contender, whose answers may take longer than a turn of the others


class Kind(NamedTuple):
    """A kind of load, in words; without a body it is the time to the first byte."""

    title: str
    body: str | None
    pace: Pace


STREAMS = Kind("streams of 200 chunks, all at once", STREAM_BODY, BURST)
PACED = Kind("streams of 200 chunks, one each 5 ms", STREAM_BODY, Pace(5_000))
PACED_FAST = Kind("streams of 200 chunks, one each 1 ms", STREAM_BODY, Pace(1_000))
PLAIN = Kind("answers that are not streamed", PLAIN_BODY, BURST)
FIRST = Kind("microseconds to the first byte of a stream, 1 connection", None, FIRST_ONLY)


class Taken(NamedTuple):
    """What one turn came to; a first byte has no rate, and milliseconds are microseconds there."""

    per_second: float
    p50: float
    p99: float
    cpu: float  # microseconds of the contender's processes for an answer, with all that they did of it after
    errors: int


class Found(NamedTuple):
    """What the rounds came to, by kind and contender; and which contenders are missing, and why."""

    taken: dict[Kind, dict[str, list[Taken]]]
    missing: list[str]


def measure(contenders: Sequence[Contender], kinds: Sequence[Kind], *, rounds: int) -> Found:
    """So many rounds after one that is short and not counted; the slow take part in the first ones only."""
    with _on_other_core(), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="costmeter-bench-")))
        url = stack.enter_context(upstream.serving(_core(OTHERS)))
        set_pace(url, BURST)
        started, missing = _start(stack, contenders, url, folder)
        found: dict[Kind, dict[str, list[Taken]]] = {kind: {} for kind in kinds}
        for number in range(rounds + 1):
            for kind in kinds:
                set_pace(url, kind.pace)
                for each in started:
                    if each.contender.is_slow and number > SLOW_ROUNDS:
                        continue
                    print(f"round {number} of {rounds}: {kind.title}: {each.contender.name}", file=sys.stderr)
                    taken = _turn(each, kind, is_warm_up=not number)
                    if number:
                        found[kind].setdefault(each.contender.name, []).append(taken)
    return Found(found, missing)


def _start(
    stack: ExitStack, contenders: Sequence[Contender], url: str, folder: Path
) -> tuple[list[Running], list[str]]:
    started, missing = [], []
    for number, contender in enumerate(contenders):
        try:
            place = folder / str(number)
            started.append(stack.enter_context(running(contender, url, place, core=_core(PROXY))))
        except (OSError, subprocess.CalledProcessError) as error:
            missing.append(f"{contender.name} was not compared: {error}")
    return started, missing


def _turn(each: Running, kind: Kind, *, is_warm_up: bool) -> Taken:
    before = each.cpu()
    if kind.body is None:
        streams = 10 if is_warm_up else FIRST_BYTES
        taken = first_bytes(each.url, streams=streams)
        each.settle()
        return Taken(0, median(taken), quantiles(taken, n=100)[98], (each.cpu() - before) / streams * 1e6, 0)
    seconds = 1 if is_warm_up else SLOW_SECONDS if each.contender.is_slow else SECONDS
    found = load(each.url, kind.body, connections=CONNECTIONS, seconds=seconds, core=_core(OTHERS))
    each.settle()
    answers = found.per_second * seconds
    return Taken(*found[:3], (each.cpu() - before) / answers * 1e6 if answers else 0, found.errors)


def _core(place: int) -> int:
    return sorted(_cores)[place]


_cores = os.sched_getaffinity(0)


@contextmanager
def _on_other_core() -> Iterator[None]:
    """This process and the databases that it starts stay off the proxies' core."""
    os.sched_setaffinity(0, {_core(OTHERS)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, _cores)
