"""What a full verify of one account costs beside a plain read of the same rows: `python -m benchmarks verifying`.

The rival fetches every row of the account's events, identities, charges, deductions and journal through the same
driver, and looks at none. It is no way to verify anything: it is the limit.
"""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator

from sqlalchemy import Engine, text

from benchmarks import databases, row, traffic
from benchmarks.posting import give_credits
from costmeter.prices.read import builtin_book
from costmeter.services.capture import capture
from costmeter.services.verify import verify
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading

CALLS, BATCH, ROUNDS = 20_000, 1_000, 3
TABLES = ("usage_event", "identity", "charge", "deduction", "journal_entry", "journal_line")


def lines(calls: int) -> Iterator[str]:
    with databases.sqlite_file() as path, databases.postgresql_server() as server:
        rows = [
            compared("SQLite", f"sqlite:///{path}", calls),
            compared("PostgreSQL", databases.new_database(server), calls),
        ]
    yield from row.lines(rows)
    yield f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB"


def compared(name: str, url: str, calls: int) -> row.Row:
    engine = open_engine(url)
    fill(engine, url, calls)
    found = row.paired(f"verify a call, {name}", calls, lambda: check(engine), lambda: read(engine), rounds=ROUNDS)
    engine.dispose()
    return found


def fill(engine: Engine, url: str, calls: int) -> None:
    """One account with a credit, and calls that it pays."""
    give_credits(url, 1)
    chance, book = random.Random(1), builtin_book()
    for minute in range(calls // BATCH):
        bodies = traffic.bodies(chance, BATCH, minute=minute)
        assert capture(engine, bodies, book=book, home=Home(), now=traffic.NOW).accepted == BATCH


def check(engine: Engine) -> None:
    assert verify(engine, full=True) == []


def read(engine: Engine) -> None:
    """Every row once, as the driver gives it."""
    with reading(engine) as connection:
        for table in TABLES:
            found = text(f"SELECT * FROM {table} WHERE account = :account")
            result = connection.execution_options(yield_per=2_000).execute(found, {"account": traffic.account_name(0)})
            for part in result.partitions():
                del part
