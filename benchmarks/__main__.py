"""`make bench` runs every benchmark; `python -m benchmarks prices` or `... bulk --calls 1000000` runs one."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable

from benchmarks import (
    budgets,
    capture,
    collecting,
    pages,
    posting,
    price_litellm,
    price_quote,
    quarter,
    repricing,
    reserving,
    row,
    size,
    verifying,
    watching,
)
from benchmarks.bulk import compare as bulk
from benchmarks.exports import compare as exports
from benchmarks.foresight import backtest
from benchmarks.gateway import choice
from benchmarks.gateway import compare as gateway
from benchmarks.growth import compare as growth
from benchmarks.recorder import compare, parts, table
from benchmarks.serving import compare as serving


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), help="one benchmark; without it all are run")
    parser.add_argument(
        "--calls", type=int, help="how many calls bulk, repricing, growth, exports, pages, verifying and watching take"
    )
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores{_load()}")
    for name, benchmark in BENCHMARKS.items():
        if options.name in (None, name):
            print(f"\n== {name}")
            for line in benchmark(options.calls):
                print(line, flush=True)
    return 0


def _prices(_: int | None) -> Iterable[str]:
    yield from row.lines(price_quote.rows())
    yield ""
    yield from price_litellm.lines()


def _bulk(calls: int | None) -> Iterable[str]:
    return bulk.lines(calls or bulk.CALLS)


def _repricing(calls: int | None) -> Iterable[str]:
    return repricing.lines(calls or repricing.CALLS)


def _capture(_: int | None) -> Iterable[str]:
    return capture.lines()


def _posting(_: int | None) -> Iterable[str]:
    return posting.lines()


def _reserving(_: int | None) -> Iterable[str]:
    return reserving.lines()


def _budgets(_: int | None) -> Iterable[str]:
    return budgets.lines()


def _growth(calls: int | None) -> Iterable[str]:
    return growth.lines(calls or growth.CALLS)


def _pages(calls: int | None) -> Iterable[str]:
    return pages.lines(calls or pages.CALLS)


def _exports(calls: int | None) -> Iterable[str]:
    return exports.lines(calls or exports.CALLS)


def _collecting(_: int | None) -> Iterable[str]:
    return collecting.lines()


def _serving(_: int | None) -> Iterable[str]:
    return serving.lines()


def _verifying(calls: int | None) -> Iterable[str]:
    return verifying.lines(calls or verifying.CALLS)


def _watching(calls: int | None) -> Iterable[str]:
    return watching.lines(calls or watching.CALLS)


def _quarter(calls: int | None) -> Iterable[str]:
    return quarter.lines(calls or quarter.CALLS)


def _forecast(_: int | None) -> Iterable[str]:
    return backtest.lines()


def _size(_: int | None) -> Iterable[str]:
    return size.lines()


def _recorder(_: int | None) -> Iterable[str]:
    yield from table.lines(compare.compare())
    yield ""
    yield from row.lines(parts.rows())


def _gateway(_: int | None) -> Iterable[str]:
    return gateway.lines()


def _proxying(_: int | None) -> Iterable[str]:
    return choice.lines()


def _load() -> str:
    """What else the machine was doing in the last minute, where it can say so."""
    return f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


BENCHMARKS: dict[str, Callable[[int | None], Iterable[str]]] = {
    "prices": _prices,
    "bulk": _bulk,
    "repricing": _repricing,
    "capture": _capture,
    "posting": _posting,
    "budgets": _budgets,
    "collecting": _collecting,
    "reserving": _reserving,
    "growth": _growth,
    "exports": _exports,
    "pages": _pages,
    "verifying": _verifying,
    "watching": _watching,
    "quarter": _quarter,
    "forecast": _forecast,
    "size": _size,
    "serving": _serving,
    "recorder": _recorder,
    "gateway": _gateway,
    "proxying": _proxying,
}

if __name__ == "__main__":
    sys.exit(main())
