"""The rate of a day of DeepSeek itself, kept up for minutes: `python -m benchmarks.soak --minutes 10`.

DeepSeek's published day is about 150 million calls, 1,700 a second. Processes capture that rate into one PostgreSQL on
this machine, in batches of a second each: half of the calls to one hot account, the others to 500; of 100 calls 3 are
sent again and 2 completed days ago; a credit is added to some account every second, every tenth of them late, which
folds calls again. Whoever falls behind goes on at once until it has caught up. At the end every account is verified
from its first fact on.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from statistics import quantiles
from typing import Any, NamedTuple

from benchmarks import databases, traffic
from benchmarks.posting import give_credits
from costmeter.core.ledger import GRANTED, TOPPED_UP
from costmeter.core.periods import format_instant
from costmeter.prices.read import builtin_book
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.capture import capture
from costmeter.services.verify import verify
from costmeter.store import accounts, events
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading

RATE, MINUTES, PROCESSES, COLD = 1_700, 10, 2, 500
AGAIN, LATE, CREDIT_LATE = 0.03, 0.02, 10
HOT = traffic.account_name(0)


class Ran(NamedTuple):
    """What one process did: calls sent and new, seconds of each batch, and how far it was behind at the most."""

    sent: int
    accepted: int
    duplicates: int
    seconds: list[float]
    behind: float
    took: float


def lines(minutes: float, rate: int) -> Iterator[str]:
    with databases.postgresql_server() as server:
        url = databases.new_database(server)
        give_credits(url, COLD + 1)
        with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
            running = [pool.submit(run, url, n, rate // PROCESSES, int(minutes * 60)) for n in range(PROCESSES)]
            ran = [one.result() for one in running]
        took, sent = max(one.took for one in ran), sum(one.sent for one in ran)
        batches = quantiles([seconds for one in ran for seconds in one.seconds], n=100)
        yield f"{sent:,} calls in {took:,.0f} s: {sent / took:,.0f} a second of {rate:,} asked for"
        yield f"a batch of {rate // PROCESSES} calls: p50 {batches[49]:.2f} s, p99 {batches[98]:.2f} s"
        yield f"at most {max(one.behind for one in ran):.1f} s behind"
        accepted, duplicates = sum(one.accepted for one in ran), sum(one.duplicates for one in ran)
        yield f"{accepted:,} accepted, {duplicates:,} duplicates, {sent - accepted - duplicates:,} others"
        engine = open_engine(url)
        with reading(engine) as connection:
            waiting = events.count_pending(connection)
            posted = sum(account.version for account in accounts.listed(connection))
        began = time.perf_counter()
        findings = verify(engine, full=True)
        yield f"{posted:,} facts posted, {waiting} calls waiting; {len(findings)} findings of verify: {findings[:3]}"
        yield f"verify took {time.perf_counter() - began:,.0f} s"
        engine.dispose()
    peak = max(resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    yield f"peak memory of the largest process: {peak} MiB"


def run(url: str, number: int, batch: int, seconds: int) -> Ran:
    """One process: a batch a second, with what comes again, what comes late, and credits in between."""
    engine, book, chance = open_engine(url), builtin_book(), random.Random(number)
    before: list[Any] = []
    sent = accepted = duplicates = 0
    times, behind, began = [], 0.0, time.perf_counter()
    for second in range(seconds):
        bodies = [
            *traffic.bodies(chance, batch // 2, minute=second // 60, accounts=1),
            *traffic.bodies(chance, batch - batch // 2, minute=second // 60, accounts=COLD + 1, first=1),
        ]
        for body in chance.sample(bodies, int(batch * LATE)):
            _make_late(body, chance)
        again = chance.sample(before, min(int(batch * AGAIN), len(before)))
        started = time.perf_counter()
        tally = capture(engine, bodies + again, book=book, home=Home(), now=traffic.NOW)
        add_credit(engine, _credit(chance, second), by="finance", home=Home(), now=traffic.NOW)
        times.append(time.perf_counter() - started)
        sent, accepted, duplicates = (
            sent + len(bodies + again),
            accepted + tally.accepted,
            duplicates + tally.duplicates,
        )
        before = (before + chance.sample(bodies, 100))[-5_000:]
        ahead = began + second + 1 - time.perf_counter()
        behind = max(behind, -ahead)
        time.sleep(max(ahead, 0))
    engine.dispose()
    return Ran(sent, accepted, duplicates, times, behind, time.perf_counter() - began)


def _make_late(body: dict[str, Any], chance: random.Random) -> None:
    completed = traffic.START - timedelta(hours=chance.randrange(1, 20 * 24))
    body["started_at"] = body["completed_at"] = format_instant(completed)


def _credit(chance: random.Random, second: int) -> NewCredit:
    account = traffic.account_name(chance.randrange(1, COLD + 1))
    if second % CREDIT_LATE == 0:
        return NewCredit(account, TOPPED_UP, 10**12, None, traffic.START + timedelta(seconds=second), None, None)
    ends = traffic.NOW + timedelta(days=30)
    return NewCredit(account, GRANTED, 10**10, None, traffic.NOW, ends, None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--rate", type=int, default=RATE, help="calls a second")
    options = parser.parse_args()
    for line in lines(options.minutes, options.rate):
        print(line, flush=True)
    sys.exit(0)
