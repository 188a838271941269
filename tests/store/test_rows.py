"""Whether there is a row: asked again and again, PostgreSQL looks into an index and does not read the table."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine, text

from benchmarks.growth.fill import ACCOUNT, fill
from benchmarks.posting import give_credits
from costmeter.store import accounts, balances
from costmeter.store.engine import open_engine, reading
from costmeter.store.rows import first_of, is_any
from costmeter.store.tables import EventRow, PendingRow
from tests.make import an_event, record_and_post

CALLS = 20_000


def test_any_of_them(engine: Engine) -> None:
    record_and_post(engine, an_event("a"))
    events, waiting = (first_of(table.event_key, table.account == "default") for table in (EventRow, PendingRow))
    with engine.connect() as connection:
        assert is_any(connection, waiting, events)
        assert not is_any(connection, waiting)


def test_a_balance_reads_no_charges_one_by_one(postgres_url: str) -> None:
    give_credits(postgres_url, 1)
    fill(postgres_url, CALLS, projects=5)
    engine = open_engine(postgres_url)
    before = whole_reads(engine, "charge_default")
    with reading(engine) as connection:
        account = accounts.get(connection, ACCOUNT)
        for _ in range(12):  # from the sixth time on the plan is made without the values
            balances.balance_now(connection, account, datetime.now(UTC))
    assert whole_reads(engine, "charge_default") == before
    engine.dispose()


def whole_reads(engine: Engine, table: str) -> int:
    """How often a table was read from its beginning to its end."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        query = text("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = :table")
        return int(connection.execute(query, {"table": table}).scalar_one())
