"""Reservations a second, of one budget that all want and of a hundred, against a bare conditional UPDATE:
`python -m benchmarks reserving`.

Ours reads the account, keeps a reservation, holds it back of the budget and commits. The rival does the least that
keeps a limit: one UPDATE of one row with the condition in it, no row that says who holds what, no expiry. On PostgreSQL
it is pgbench, in C, on as many connections in the same server; on SQLite the driver in a loop with our settings.
"""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import psycopg

from benchmarks import databases
from benchmarks.posting import pgbench_path
from costmeter.core.reservations import Reservation
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.reserve import Ask, reserve, stops_of
from costmeter.store import accounts
from costmeter.store.accounts import Home
from costmeter.store.engine import journal_mode, open_engine, reading

MANY, SECONDS, ROUNDS = 100, 3.0, 3
PROCESSES, THREADS = 2, 4
BARE = "UPDATE bench_budget SET reserved = reserved + 1 WHERE budget = {} AND reserved + 1 <= room"
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def lines() -> Iterator[str]:
    with databases.postgresql_server() as server:
        url = databases.new_database(server)
        _make_budgets(url)
        with psycopg.connect(url) as connection:
            _make_rival(connection.execute, "generate_series(1, %s) n")
        workers = f"{PROCESSES} processes of {THREADS} threads; pgbench, {PROCESSES * THREADS} connections"
        yield f"PostgreSQL, {workers}:"
        yield from _rows(url, lambda count: _pgbench(url, count), PROCESSES, THREADS)
    with databases.sqlite_file() as path:
        url = f"sqlite:///{path}"
        _make_budgets(url)
        with sqlite3.connect(path) as file:
            numbers = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT ?) SELECT n FROM s)"
            _make_rival(file.execute, numbers)
        file.close()
        yield "SQLite, one process; the driver in a loop:"
        yield from _rows(url, lambda count: _in_a_loop(path, count), 1, 1)


def _rows(url: str, bare: Callable[[int], float], processes: int, threads: int) -> Iterator[str]:
    for account, count, name, is_known in (
        ("one", 1, "one budget that stops", False),
        ("one", 1, "the same, known already as a gateway knows it", True),
        ("many", MANY, f"{MANY} budgets that stop", False),
        ("none", 1, "none that stops", False),
    ):
        rounds = [(bare(count), _ours(url, account, processes, threads, is_known)) for _ in range(ROUNDS)]
        rates = ", ".join(f"{median(rates):,.0f}" for rates in zip(*rounds, strict=True))
        ratios = sorted(mine / theirs for theirs, mine in rounds)
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f} .. {ratios[-1]:.2f})"
        yield f"  {name}: bare UPDATE, ours {rates} a second, ratio {spread}"


def _ours(url: str, account: str, processes: int, threads: int, is_known: bool) -> float:
    """Reservations a second of all processes, each after a first one that is not counted."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        asked = ([value] * processes for value in (url, account, threads, is_known))
        return sum(pool.map(_reserve_on, *asked))


def _reserve_on(url: str, account: str, threads: int, is_known: bool) -> float:
    engine = open_engine(url)
    with reading(engine) as connection:
        known = stops_of(connection, accounts.get(connection, account)) if is_known else None

    def work(number: int) -> int:
        chance, done = random.Random(number), -1
        ends = time.perf_counter() + 1e9
        while time.perf_counter() < ends:
            project = f"p{chance.randrange(MANY)}"
            asked = Ask(account, 1, 1, "bench", project=project)
            assert isinstance(reserve(engine, asked, now=NOW, stops=known), Reservation)
            if done < 0:
                ends = time.perf_counter() + SECONDS
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    engine.dispose()
    return done / SECONDS


def _make_budgets(url: str) -> None:
    """An account with one budget of all its calls, one with a budget for each project, one whose budget only warns."""
    engine = open_engine(url)
    for account, projects in (("one", [None]), ("many", [f"p{number}" for number in range(MANY)]), ("none", [None])):
        for project in projects:
            where = [f"project={project}"] if project else []
            new = NewBudget(account, project or "all", "month", "1000000.00", where=where, stops=account != "none")
            add_budget(engine, new, by="bench", home=Home(), now=NOW)
    engine.dispose()


def _make_rival(execute: Callable[..., object], numbers: str) -> None:
    execute("CREATE TABLE bench_budget (budget int PRIMARY KEY, room bigint NOT NULL, reserved bigint NOT NULL)")
    execute(f"INSERT INTO bench_budget SELECT n, {10**18}, 0 FROM {numbers}", [MANY])


def _pgbench(url: str, count: int) -> float:
    """Transactions a second."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"\\set budget random(1, {count})\n{BARE.format(':budget')};\n")
        script.flush()
        connections = ["-c", str(PROCESSES * THREADS), "-j", str(PROCESSES), "-T", str(int(SECONDS))]
        command = [str(pgbench_path()), "-n", "-M", "prepared", *connections, "-f", script.name, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"tps = (\d+)", done.stdout)
    assert found, done.stdout
    return int(found[1])


def _in_a_loop(path: Path, count: int) -> float:
    """Commits a second."""
    connection, chance, done = sqlite3.connect(path, isolation_level=None), random.Random(1), 0
    connection.execute(f"PRAGMA journal_mode = {journal_mode()}")
    connection.execute("PRAGMA synchronous = FULL")
    ends = time.perf_counter() + SECONDS
    while time.perf_counter() < ends:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(BARE.format("?"), [chance.randint(1, count)])
        connection.execute("COMMIT")
        done += 1
    connection.close()
    return done / SECONDS
