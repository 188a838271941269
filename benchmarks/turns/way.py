"""One way to do some work, and the process that does it whenever it is told to.

    python -m benchmarks.turns.way MODULE NAME [ARGUMENT ...]

opens the way of that name in the module's WAYS, with those arguments. Each line that it reads is a round's number and
size; it does the round and answers with one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

STATUS = Path("/proc/self/status")  # Linux


class Way(NamedTuple):
    """How a round is prepared (not timed), done (timed), and what its result comes to (not timed)."""

    version: str
    prepare: Callable[[int, int], Any]  # of a round's number and size
    run: Callable[[Any], Any]
    answer: Callable[[Any], Any]


def serve(way: Way) -> None:
    for line in sys.stdin:
        prepared = way.prepare(*map(int, line.split()))
        began = time.perf_counter()
        result = way.run(prepared)
        seconds = time.perf_counter() - began
        done = {"seconds": seconds, "answer": way.answer(result), "peak": peak(), "version": way.version}
        print(json.dumps(done), flush=True)
        del prepared, result  # before the next round is prepared


def peak() -> float:
    """Megabytes that this process had at most; on Linux ru_maxrss begins with what its parent had."""
    if STATUS.exists():
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    module, name, *arguments = sys.argv[1:]
    serve(importlib.import_module(module).WAYS[name](*arguments))
