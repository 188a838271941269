"""Facts are only added: the database itself refuses to change or delete them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from costmeter.services.close_month import close_month
from costmeter.services.correct_balance import NewCorrection, correct_balance
from costmeter.services.freeze_account import freeze_account
from costmeter.services.import_export import import_export
from costmeter.services.read_console import read_console
from costmeter.services.void_credit import void_credit
from costmeter.services.void_import import void_import
from costmeter.store.accounts import Home
from costmeter.store.tables import ADDED_ONLY, Table
from tests.exported import amount_row, an_export, cost_row
from tests.make import NOW, an_event, at, grant, post, record_and_post, rows, top_up, usd

TABLES = {mapper.class_.__tablename__: mapper.class_ for mapper in Table.registry.mappers}


@pytest.fixture
def full(engine: Engine, tmp_path: Path) -> Engine:
    """A database with at least one row in every table of facts."""
    top_up(engine, "0.50", "2025-03-01T00:00:00Z")
    record_and_post(engine, an_event())
    top_up(engine, "5.00", "2025-03-04T00:00:00Z")  # repays
    grant(engine, "5.00", "2025-03-04T00:00:00Z", "2025-03-05T00:00:00Z")  # expires
    post(engine)
    grant(engine, "1.00", "2025-03-04T00:00:00Z", reference="wrong")
    void_credit(engine, "default", "wrong", reason="granted twice", by="Ada", now=at(NOW))
    correct_balance(engine, NewCorrection("default", usd("-0.10"), "counted"), by="Ada", now=at(NOW))
    close_month(engine, "default", "2025-03", by="Ada", grace=timedelta(), now=at("2025-04-01T00:00:00Z"))
    read = read_console(an_export(tmp_path / "e.zip", [amount_row()], [cost_row()]))
    import_export(engine, "default", read, by="Ada", home=Home(), now=at(NOW))
    (file,) = rows(engine, TABLES["console_import"])
    void_import(engine, "default", file["import_id"].hex(), by="Ada", reason="a test", now=at(NOW))
    freeze_account(engine, "default", by="verify", reason="a test", now=at(NOW))
    return engine


def test_no_row_of_facts_can_be_changed_or_deleted(full: Engine) -> None:
    for table in ADDED_ONLY:
        before = rows(full, TABLES[table])
        assert before, f"the test needs a row of {table} to try it on"
        column = TABLES[table].__table__.primary_key.columns[0].name
        refusal = f"rows of {table}(_default)? are only added"
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(DBAPIError, match=refusal), full.begin() as connection:
                connection.execute(text(statement))
        assert rows(full, TABLES[table]) == before


def test_what_is_not_a_fact_is_named(full: Engine) -> None:
    """Projections may be dropped and rebuilt; what may be decided, told, tried again or given up has a state."""
    assert set(TABLES) - set(ADDED_ONLY) == {
        "account",
        "alert",
        "api_key",
        "balance_observation",
        "budget",
        "budget_period",
        "checkpoint",
        "credit_balance",
        "detached_month",
        "notice",
        "notice_delivery",
        "pending",
        "period",
        "quarantine",
        "reservation",
        "rollup_day",
        "rollup_month",
        "rollup_quarter",
        "scheduler_lease",
        "scheduler_run",
    }
