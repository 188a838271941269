"""Pricing again what was charged, after the rates of off-peak nights turn out to be others, on an SQLite file.

Deciding which charges change looks at every charge of the two models; the rival only reads the same columns, with the
sqlite3 module, and counts. Then what one model's new rates change is posted: a tenth of the calls is its, a third of
those at night, and all calls are folded again.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import row
from benchmarks.turns.take import OURS, Contender, Taken, rows, take_turns
from benchmarks.turns.way import Way
from costmeter.core.price_book import PriceBook
from costmeter.prices.read import builtin_book, builtin_text, read_book, read_edition
from costmeter.services.post_charges import post_charges
from costmeter.services.record_calls import Received, record_calls
from costmeter.services.reprice import reprice
from costmeter.store import schema
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine

CALLS, ROUNDS, BATCH = 1_000_000, 3, 5_000
START, NOW = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
ACCOUNT = "default"
CHAT, REASONER = "deepseek-v3/2025-02-26", "deepseek-r1/2025-02-26"  # the tariffs
OLD, NEW = '"0.135", output = "0.550" }', '"0.135", output = "0.500" }'  # their rates at night
READ = """
SELECT e.event_key, e.model, c.completed_at, e.started_at, e.cache_hit_tokens, e.cache_miss_tokens, e.output_tokens,
       e.project, c.edition, c.status, c.tariff, c.band, c.cost_cache_hit, c.cost_cache_miss, c.cost_output, c.cost,
       c.cache_savings, c.off_peak_savings
FROM charge AS c
JOIN usage_event AS e ON e.account = c.account AND e.event_key = c.event_key AND e.completed_at = c.completed_at
WHERE c.account = ? AND NOT EXISTS (
    SELECT 1 FROM charge AS l WHERE l.account = c.account AND l.event_key = c.event_key
    AND l.completed_at = c.completed_at AND l.revision > c.revision)
ORDER BY c.completed_at
"""
BAND = 11  # the place of the band in what is read

Counts = list[int]  # how many charges were looked at, and how many of them change


def lines(calls: int = CALLS) -> Iterator[str]:
    """The row of deciding, and what posting came to."""
    with tempfile.TemporaryDirectory(prefix="costmeter-bench-") as folder:
        path = str(Path(folder) / "bench.sqlite3")
        _fill(path, calls)
        contenders = [Contender(name, __name__, arguments=(path,)) for name in (OURS, "sqlite3")]
        taken = take_turns(contenders, rounds=ROUNDS, size=calls)
        yield from row.lines(rows(f"which of {calls:,} charges change, against", taken, calls))
        decided = calls / median(taken[0].seconds[1:])
        yield f"{decided:,.0f} charges decided a second; at most {taken[0].peaks[-1]:.0f} MB"
        (posted,) = take_turns([Contender("posting", __name__, arguments=(path,))], rounds=0, size=calls)
        yield _posting(posted)


def _posting(posted: Taken) -> str:
    (seconds,), ((_, changed),) = posted.seconds, posted.answers
    told = f"{changed:,} of them changed, posted while all are folded again, in {seconds:,.1f} s"
    return f"{told}: {changed / seconds:,.0f} a second; at most {posted.peaks[0]:.0f} MB"


def with_other_nights(*tariffs: str) -> PriceBook:
    """The built-in book with another rate for output at night in each of these tariffs."""
    text = builtin_text()
    for tariff in tariffs:
        before, head, after = text.partition(f'id = "{tariff}"')
        assert OLD in after
        text = before + head + after.replace(OLD, NEW, 1)
    return read_book([text])


def _fill(path: str, calls: int) -> None:
    """Record and post the calls, in order of completion; nine of ten are of the chat model."""
    engine, book, chance = open_engine(f"sqlite:///{path}"), builtin_book(), random.Random(20250301)
    schema.upgrade(engine)
    for first in range(0, calls, BATCH):
        bodies = [_body(chance, number, calls) for number in range(first, min(first + BATCH, calls))]
        record_calls(engine, [Received(body) for body in bodies], now=NOW, book=book, home=Home())
        post_charges(engine, ACCOUNT, book=book, now=NOW)
    engine.dispose()


def _body(chance: random.Random, number: int, calls: int) -> dict[str, Any]:
    at = START + (NOW - START) * number / calls
    hit, miss, output = chance.randrange(200) * 64, chance.randrange(1, 8_000), chance.randrange(1, 4_000)
    return {
        "event_id": f"call-{number}",
        "account": ACCOUNT,
        "project": f"project-{chance.randrange(20)}",
        "model": "deepseek-reasoner" if number % 10 == 0 else "deepseek-chat",
        "started_at": (at - timedelta(seconds=chance.randrange(60))).isoformat(),
        "completed_at": at.isoformat(),
        "usage": {
            "prompt_tokens": hit + miss,
            "prompt_cache_hit_tokens": hit,
            "prompt_cache_miss_tokens": miss,
            "completion_tokens": output,
            "total_tokens": hit + miss + output,
        },
    }


def open_deciding(path: str) -> Way:
    return _open(path, with_other_nights(CHAT, REASONER), dry_run=True)


def open_posting(path: str) -> Way:
    return _open(path, with_other_nights(REASONER), dry_run=False)


def _open(path: str, book: PriceBook, *, dry_run: bool) -> Way:
    engine = open_engine(f"sqlite:///{path}")

    def run(_: object) -> Counts:
        looked_at: list[int] = []
        found = reprice(
            engine, book=book, read_book=read_edition, by="finance", now=NOW, dry_run=dry_run, progress=looked_at.append
        )
        return [sum(looked_at), sum(group.charges for group in found.values())]

    return Way(version("costmeter"), lambda *_: None, run, list)


def open_sqlite3(path: str) -> Way:
    """The floor: every row is fetched and asked for its band, and that is all."""

    def run(_: object) -> Counts:
        connection = sqlite3.connect(path)
        nights = [line[BAND] == "off_peak" for line in connection.execute(READ, (ACCOUNT,))]
        connection.close()
        return [len(nights), sum(nights)]

    return Way(sqlite3.sqlite_version, lambda *_: None, run, list)


WAYS: dict[str, Callable[[str], Way]] = {OURS: open_deciding, "sqlite3": open_sqlite3, "posting": open_posting}
