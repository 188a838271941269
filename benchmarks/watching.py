"""What a look of the watch at a thousand accounts costs: `python -m benchmarks watching`.

Each account has a month of calls and is well, so that nothing is raised: the usual look. The rival reads each account's
row by a statement of its own, on one connection: the least that looking at one account after the other can cost.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import Engine, select

from benchmarks import databases, row, traffic
from benchmarks.posting import give_credits
from costmeter.core.watch import Limits
from costmeter.prices.read import builtin_book
from costmeter.services.capture import capture
from costmeter.services.watch import watch
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import AccountRow

ACCOUNTS, CALLS, DAYS, ROUNDS = 1_000, 60_000, 30, 5


def lines(calls: int) -> Iterator[str]:
    with databases.sqlite_file() as path, databases.postgresql_server() as server:
        rows = [
            compared("SQLite", f"sqlite:///{path}", calls),
            compared("PostgreSQL", databases.new_database(server), calls),
        ]
    yield from row.lines(rows)
    yield f"a look at {ACCOUNTS:,} accounts: {', '.join(f'{one.ours_us * ACCOUNTS / 1e6:.2f} s' for one in rows)}"


def compared(name: str, url: str, calls: int) -> row.Row:
    engine = open_engine(url)
    fill(engine, url, calls)
    found = row.paired(
        f"look at an account, {name}", ACCOUNTS, lambda: look(engine), lambda: read(engine), rounds=ROUNDS
    )
    engine.dispose()
    return found


def fill(engine: Engine, url: str, calls: int) -> None:
    """A month of calls, as many of each account on each day."""
    give_credits(url, ACCOUNTS)
    chance, book = random.Random(1), builtin_book()
    for day in range(DAYS):
        each, minute = calls // DAYS // ACCOUNTS, day * 24 * 60
        mine = (traffic.bodies(chance, each, minute=minute, first=n, accounts=n + 1) for n in range(ACCOUNTS))
        capture(engine, [body for found in mine for body in found], book=book, home=Home(), now=traffic.NOW)


def look(engine: Engine) -> None:
    now = traffic.START + timedelta(days=DAYS - 1, hours=1)
    assert watch(engine, book=builtin_book(), limits=Limits(), now=now) == (ACCOUNTS, [], [])


def read(engine: Engine) -> None:
    """The row of each account, one after the other."""
    with reading(engine) as connection:
        for number in range(ACCOUNTS):
            query = select(AccountRow.__table__).where(AccountRow.account == traffic.account_name(number))
            connection.execute(query).one()
