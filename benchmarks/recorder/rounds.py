"""One process: the bare SDK twice and one way of recording, called in turn and in shuffled order.

    python -m benchmarks.recorder.rounds NAME URL JSON_ROUNDS STREAM_ROUNDS [--flushed]

prints the samples as one line of JSON. With `--flushed` everything recorded is delivered after each round, outside of
what is timed, so that no call is made while records are being delivered; without it delivery goes on meanwhile.
"""

from __future__ import annotations

import functools
import json
import random
import sys
from collections.abc import Callable
from importlib.metadata import version
from time import process_time_ns
from typing import Any

from benchmarks.recorder.calls import Caller, Sample
from benchmarks.recorder.clients import OPENERS, PACKAGES, Recorded, open_bare
from benchmarks.recorder.cores import CLIENT, pin
from benchmarks.recorder.figures import AGAIN, BARE, RECORDED

WARM_UP = {"json": 50, "stream": 3}  # calls in each way before any is counted
BLOCKS = {"json": (4, 50), "stream": (3, 5)}  # blocks of so many calls, for the CPU in all

Callers = dict[str, Caller]
Kind = Callable[[Caller], Sample]
KINDS: dict[str, Kind] = {"json": Caller.plain, "stream": Caller.streamed}


def measure(name: str, url: str, json_rounds: int, stream_rounds: int, *, is_flushed: bool) -> dict[str, Any]:
    """Both kinds of call, each call in every way once a round; the samples of each way, in the order of the rounds."""
    bare, again = Caller(open_bare(url)), Caller(open_bare(url))
    recorded = OPENERS[name](url)
    callers = {BARE: bare, AGAIN: again, RECORDED: Caller(recorded.create)}
    for caller in callers.values():
        caller.check()
    found: dict[str, Any] = {"version": f"{version(PACKAGES[name])} (openai {version('openai')})"}
    for kind_name, rounds in (("json", json_rounds), ("stream", stream_rounds)):
        kind = KINDS[kind_name]
        settle = functools.partial(_settle, recorded, bare, kind) if is_flushed else int
        _shuffled(callers, kind, WARM_UP[kind_name], settle)
        recorded.flush()
        found[kind_name] = _shuffled(callers, kind, rounds, settle)
        found[f"{kind_name} in all"] = _in_all(callers, kind, BLOCKS[kind_name], recorded.flush)
    recorded.verify(callers[RECORDED].calls)
    return found


def _settle(recorded: Recorded, bare: Caller, kind: Kind) -> None:
    """Delivers what waits; the call after it, which is not counted, gets the caches back."""
    recorded.flush()
    kind(bare)


def _shuffled(callers: Callers, kind: Kind, rounds: int, settle: Callable[[], object]) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {name: [] for name in callers}
    for _ in range(rounds):
        for name in random.sample(list(callers), len(callers)):
            samples[name].append(kind(callers[name]))
        settle()
    return samples


def _in_all(
    callers: Callers, kind: Kind, blocks: tuple[int, int], flush: Callable[[], object]
) -> dict[str, list[float]]:
    """Nanoseconds of CPU per call, of all threads and with the delivery of what was recorded, block by block."""
    count, size = blocks
    taken: dict[str, list[float]] = {name: [] for name in callers}
    for _ in range(count):
        for name in random.sample(list(callers), len(callers)):
            flush()
            began = process_time_ns()
            for _ in range(size):
                kind(callers[name])
            flush()
            taken[name].append((process_time_ns() - began) / size)
    return taken


def _refuse_the_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: whatever a rival tries, nothing leaves this machine."""
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost"):
        raise PermissionError(f"the benchmark looks up no host: {arguments[0]}")
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
        raise PermissionError(f"the benchmark connects to no host: {arguments[1][0]}")


if __name__ == "__main__":
    sys.addaudithook(_refuse_the_network)
    pin(CLIENT)
    name, url, json_rounds, stream_rounds, *options = sys.argv[1:]
    print(json.dumps(measure(name, url, int(json_rounds), int(stream_rounds), is_flushed="--flushed" in options)))
