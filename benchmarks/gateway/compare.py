"""The gateway beside a direct connection, nginx, itself without metering, the usual proxies and litellm's:
`python -m benchmarks gateway`.

The upstream is a small C server that answers as DeepSeek does. "Metered" records, prices and posts every call while it
is measured, into an SQLite file or PostgreSQL; at the end the report must have every answer that was counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from benchmarks import databases
from benchmarks.gateway import load, table, upstream
from benchmarks.gateway.contenders import Contender, gateway, litellm, nginx, passing, unmetered, usual
from benchmarks.gateway.rounds import FIRST, FIRST_BYTES, PACED, PACED_FAST, PLAIN, SECONDS, STREAMS, Found, measure
from benchmarks.gateway.table import middle, paired

ROUNDS = 4
DIRECT, NGINX, UNMETERED, SQLITE, POSTGRESQL, USUAL, HTTPX2, LITELLM = (
    "direct",
    "nginx, buffering off",
    "gateway, unmetered",
    "gateway, to SQLite",
    "gateway, to PostgreSQL",
    "FastAPI and httpx",
    "uvicorn and httpx2",
    "litellm's proxy",
)


def lines() -> Iterator[str]:
    why_not = load.why_not() or upstream.why_not()
    if why_not is not None:
        yield why_not
        return
    with databases.sqlite_file() as file, databases.postgresql_server() as server:
        urls = {SQLITE: f"sqlite:///{file}", POSTGRESQL: databases.new_database(server)}
        contenders = [
            Contender(DIRECT, None),
            Contender(NGINX, nginx),
            Contender(UNMETERED, unmetered),
            Contender(SQLITE, gateway(urls[SQLITE]), delivers=True),
            Contender(POSTGRESQL, gateway(urls[POSTGRESQL]), delivers=True),
            Contender(USUAL, usual, is_slow=True),
            Contender(HTTPX2, passing("uvicorn", "uvloop", "httpx2"), is_slow=True),
            Contender(LITELLM, litellm, is_slow=True),
        ]
        found = measure(contenders, [STREAMS, PACED_FAST, PACED, PLAIN, FIRST], rounds=ROUNDS)
        for name, url in urls.items():
            _verify(found, name, url)
    yield from table.lines(found, UNMETERED)
    yield from ("", *_aims(found))


def _verify(found: Found, name: str, database: str) -> None:
    """Raises AssertionError unless every answer that was counted is in the report, priced and posted."""
    answered = sum(turn.per_second * SECONDS for kind in found.taken.values() for turn in kind.get(name, []))
    answered += FIRST_BYTES * len(found.taken[FIRST].get(name, []))
    command = [sys.executable, "-m", "costmeter", "report", "--json", "--from", "2000-01-01T00:00:00Z"]
    ran = subprocess.run(
        [*command, "--to", "2100-01-01T00:00:00Z"], capture_output=True, text=True, check=True,
        env={**os.environ, "COSTMETER_DATABASE_URL": database},
    )  # fmt: skip
    totals = json.loads(ran.stdout)["totals"]
    assert totals["calls"] >= int(answered), (answered, totals)
    assert (totals["unposted"], totals["unpriced"], totals["quarantined"]) == (0, 0, 0), totals


def _aims(found: Found) -> Iterator[str]:
    """What the gateway is meant to reach, beside what it reached in this run."""
    for metered in (SQLITE, POSTGRESQL):
        for kind in (STREAMS, PACED_FAST, PACED, PLAIN):
            taken = found.taken[kind]
            ratios = paired(taken[metered], taken[UNMETERED], "per_second")
            yield _aim(f"{metered}: {kind.title}: 0.9 of unmetered", median(ratios), 0.9)
    for rival, times in ((USUAL, 10), (HTTPX2, 10), (LITELLM, 20)):
        if rival in found.taken[STREAMS]:
            ratios = paired(found.taken[STREAMS][SQLITE], found.taken[STREAMS][rival], "per_second")
            yield _aim(f"{STREAMS.title}: {times} times {rival}", median(ratios) if ratios else float("inf"), times)
    paced = found.taken[PACED_FAST]
    yield _aim(f"{PACED_FAST.title}: 0.9 of direct", median(paired(paced[SQLITE], paced[DIRECT], "per_second")), 0.9)
    slower = median(paired(paced[SQLITE], paced[DIRECT], "p50"))
    reached = "reached" if slower <= 1.1 else "NOT reached"
    yield f"{PACED_FAST.title}: p50 at most 1.1 of direct: {slower:.2f}, {reached}"
    added = middle(found.taken[FIRST][SQLITE], "p50") - middle(found.taken[FIRST][DIRECT], "p50")
    yield f"first byte at most 1,000 us later: {added:,.0f}, {'reached' if added <= 1_000 else 'NOT reached'}"


def _aim(text: str, measured: float, least: float) -> str:
    return f"{text}: {measured:.3g}, {'reached' if measured >= least else 'NOT reached'}"
