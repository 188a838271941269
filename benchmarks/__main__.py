"""`make bench` runs every benchmark; `python -m benchmarks prices` or `... recorder` runs one."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable

from benchmarks import price_quote, row, size
from benchmarks.recorder import compare, parts, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), help="one benchmark; without it all are run")
    chosen = parser.parse_args().name
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores{_load()}")
    for name, benchmark in BENCHMARKS.items():
        if chosen in (None, name):
            print(f"\n== {name}")
            for line in benchmark():
                print(line, flush=True)
    return 0


def _prices() -> Iterable[str]:
    return row.lines(price_quote.rows())


def _recorder() -> Iterable[str]:
    yield from table.lines(compare.compare())
    yield ""
    yield from row.lines(parts.rows())


def _load() -> str:
    """What else the machine was doing in the last minute, where it can say so."""
    return f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


BENCHMARKS: dict[str, Callable[[], Iterable[str]]] = {"prices": _prices, "recorder": _recorder, "size": size.lines}

if __name__ == "__main__":
    sys.exit(main())
