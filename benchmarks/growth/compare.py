"""A call at ten million stored against one at 100,000, and the month's report against DuckDB."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
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
    """Batches captured and posted in turn beside few and many stored calls."""
    engines = {count: open_engine(url) for count, url in urls.items()}
    times: dict[int, list[float]] = {count: [] for count in engines}
    for number in range(ROUNDS + 1):
        for count, engine in engines.items():
            seconds = _capture(engine, number)
            if number:
                times[count].append(seconds / (BATCH * BATCHES) * 1e6)
    few, many = times.values()
    ratios = sorted(b / a for a, b in zip(few, many, strict=True))
    yield (
        f"a call captured and posted: {median(few):,.0f} us beside {min(urls):,} stored, {median(many):,.0f} us beside "
        f"{max(urls):,}: {median(ratios):.2f} times ({ratios[0]:.2f} .. {ratios[-1]:.2f})"
    )
    for engine in engines.values():
        engine.dispose()


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
