"""What Python's garbage collector costs a process that posts: `python -m benchmarks collecting`.

Processes in turn capture and post the same batches, one as Python sets the collector and one as ours do
(docs/decisions/0038); the first batches are not counted.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from benchmarks import databases, traffic
from benchmarks.posting import give_credits
from costmeter.prices.read import builtin_book
from costmeter.services.capture import capture
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine
from costmeter.wiring import collect_seldom

BATCH, FIRST, BATCHES, ROUNDS = 1_000, 5, 40, 3
WAYS = ("usual", "seldom")


def lines() -> Iterator[str]:
    with databases.postgresql_server() as server:
        for name in ("sqlite", "postgresql"):
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(ROUNDS):
                for way in WAYS:
                    if name == "postgresql":
                        found[way].append(_in_a_process(way, databases.new_database(server)))
                    else:
                        with databases.sqlite_file() as path:
                            found[way].append(_in_a_process(way, f"sqlite:///{path}"))
            ratios = sorted(seldom / usual for usual, seldom in zip(*found.values(), strict=True))
            usual, seldom = (median(took) for took in found.values())
            spread = f"{median(ratios):.2f} ({ratios[0]:.2f} .. {ratios[-1]:.2f})"
            yield f"{name}: {usual:.0f} us a call as Python collects, {seldom:.0f} as ours do: {spread} of the time"


def _in_a_process(way: str, url: str) -> float:
    command = [sys.executable, "-m", "benchmarks.collecting", way, url]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _microseconds(way: str, url: str) -> float:
    """How long a call takes, captured and posted."""
    give_credits(url, 1)
    engine, book, chance, took = open_engine(url), builtin_book(), random.Random(1), 0.0
    if way == "seldom":
        collect_seldom()
    for number in range(FIRST + BATCHES):
        bodies = traffic.bodies(chance, BATCH)
        began = time.perf_counter()
        assert capture(engine, bodies, book=book, home=Home(), now=traffic.NOW).accepted == BATCH
        if number >= FIRST:
            took += time.perf_counter() - began
    engine.dispose()
    return took / (BATCH * BATCHES) * 1e6


if __name__ == "__main__":
    print(_microseconds(*sys.argv[1:]))
