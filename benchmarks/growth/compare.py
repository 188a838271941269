"""A call at ten million stored against one at 100,000, and the month's report against DuckDB."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from itertools import count as count_from
from itertools import islice
from pathlib import Path
from statistics import median

import psycopg
from sqlalchemy import Engine, text

from benchmarks import databases, row, traffic
from benchmarks.growth.fill import ACCOUNT, fill
from benchmarks.posting import give_credits
from benchmarks.turns.take import OURS, Contender, in_own_venv, rows, take_turns
from costmeter.prices.read import builtin_book
from costmeter.services.capture import capture
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine

CALLS, FEW = 10_000_000, 100_000
BATCH, BATCHES, ROUNDS, REPORTS = 1_000, 5, 7, 9
WARM = 200_000  # calls after which nearly every page of what is keyed at random was touched
WAYS = "benchmarks.growth.ways"
_MONTH = "SELECT project, model, band, cost FROM charge JOIN usage_event USING (account, event_key, completed_at)"


def lines(calls: int = CALLS) -> Iterator[str]:
    with databases.postgresql_server() as server, tempfile.TemporaryDirectory(prefix="costmeter-bench-") as folder:
        urls = {count: databases.new_database(server) for count in (min(FEW, calls), calls)}
        for count, url in urls.items():
            began = time.perf_counter()
            give_credits(url, 1)
            fill(url, count)
            yield f"{count:,} calls stored: {_size(url)}, filled in {time.perf_counter() - began:,.0f} s"
        csv = Path(folder) / "calls.csv"
        _write_calls(urls[calls], csv)
        duckdb, missing = in_own_venv("duckdb", WAYS)
        contenders = [Contender(OURS, WAYS, arguments=(urls[calls],))]
        contenders += [one._replace(arguments=(str(csv),)) for one in duckdb]
        taken = take_turns(contenders, rounds=REPORTS, size=1)
        yield "one report of the month by project and band, from rollups against the calls in Parquet"
        yield from row.lines(rows(f"{calls:,} calls, against", taken, 1)) if duckdb else missing
        yield from _growth(urls)


def _growth(urls: dict[int, str]) -> Iterator[str]:
    """Batches captured and posted in turn beside few and many stored calls: right after these were loaded, when each
    page is read from the disk and written whole once after the checkpoint; and in the run of work."""
    engines = {count: open_engine(url) for count, url in urls.items()}
    numbers = count_from(0)
    yield f"a call captured and posted, right after the load: {_rounds(engines, numbers)}"
    for number in islice(numbers, WARM // (BATCH * BATCHES)):
        for engine in engines.values():
            _capture(engine, number)
    yield f"the same, {WARM:,} calls later: {_rounds(engines, numbers)}"
    for engine in engines.values():
        engine.dispose()


def _rounds(engines: dict[int, Engine], numbers: Iterator[int]) -> str:
    rounds = [[_capture(engine, number) for engine in engines.values()] for number in islice(numbers, ROUNDS)]
    few, many = (median(seconds) / (BATCH * BATCHES) * 1e6 for seconds in zip(*rounds, strict=True))
    ratios = sorted(many / few for few, many in rounds)
    return (
        f"{few:,.0f} us beside {min(engines):,} stored, {many:,.0f} us beside {max(engines):,}: "
        f"{median(ratios):.2f} times ({ratios[0]:.2f} .. {ratios[-1]:.2f})"
    )


def _capture(engine: Engine, number: int) -> float:
    chance = random.Random(number)
    batches = [traffic.bodies(chance, BATCH, minute=60 * number + part) for part in range(BATCHES)]
    began = time.perf_counter()
    for batch in batches:
        assert capture(engine, batch, book=builtin_book(), home=Home(), now=traffic.NOW).accepted == BATCH
    return time.perf_counter() - began


def _size(url: str) -> str:
    engine = open_engine(url)
    with engine.connect() as connection:
        found = connection.scalar(text("SELECT pg_size_pretty(pg_database_size(current_database()))"))
    engine.dispose()
    return f"{found}"


def _write_calls(url: str, path: Path) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor, path.open("wb") as out:
        query = f"COPY ({_MONTH} WHERE account = '{ACCOUNT}') TO STDOUT (FORMAT csv, HEADER)"
        with cursor.copy(query.encode()) as copy:
            for block in copy:
                out.write(block)
