"""Rows written in bulk are those that the models would write, value by value, and as strictly checked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, insert, select, text
from sqlalchemy.exc import IntegrityError

from costmeter.core.budgets import FIRST_START
from costmeter.core.errors import InputError
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import FIRST_INSTANT, LAST_INSTANT, MICROSECOND
from costmeter.store import accounts, budgets, bulk
from costmeter.store.accounts import Home
from costmeter.store.budget_tables import BudgetPeriodRow
from costmeter.store.engine import in_transaction, open_engine
from costmeter.store.tables import (
    AccountRow,
    ChargeRow,
    DeductionRow,
    EventRow,
    IdentityRow,
    PendingRow,
    QuarantineRow,
    Table,
)
from tests.make import MARCH, at, counted, rows

INSTANTS = st.datetimes(
    FIRST_INSTANT.replace(tzinfo=None),
    (LAST_INSTANT - MICROSECOND).replace(tzinfo=None),
    timezones=st.just(UTC),
)
LONG = st.integers(-MAX_AMOUNT, MAX_AMOUNT)
WORDS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
PLAIN = st.one_of(st.none(), st.booleans(), LONG, st.floats(-1e15, 1e15), WORDS)
OBJECTS = st.dictionaries(WORDS, st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(WORDS, PLAIN)))
EVENTS = st.fixed_dictionaries(
    {
        "account": WORDS,
        "event_key": st.binary(min_size=16, max_size=16),
        "completed_at": INSTANTS,
        "event_id": WORDS,
        "provider": WORDS,
        **{name: st.one_of(st.none(), WORDS) for name in ("project", "user_name", "api_key", "requested_model")},
        **{name: st.one_of(st.none(), WORDS) for name in ("response_id", "operation_id", "error_code", "reason")},
        "tags": OBJECTS,
        "model": WORDS,
        "status": WORDS.map(lambda text: text[:16]),
        "started_at": st.one_of(st.none(), INSTANTS),
        "received_at": INSTANTS,
        **{name: st.one_of(st.none(), LONG) for name in ("cache_hit_tokens", "cache_miss_tokens", "output_tokens")},
        "reasoning_tokens": st.one_of(st.none(), LONG),
        "usage": st.one_of(st.none(), OBJECTS),
        "http_status": st.one_of(st.none(), st.integers(-(2**15), 2**15 - 1)),
        "detail": OBJECTS,
        "supersedes": st.one_of(st.none(), st.binary(min_size=16, max_size=16)),
        "supersedes_at": st.one_of(st.none(), INSTANTS),
    }
)


def written(engine: Engine, row: dict[str, Any], *, in_bulk: bool) -> dict[str, Any]:
    """What is read of a row that was written one way or the other; nothing stays."""
    with engine.connect() as connection:
        if in_bulk:
            bulk.add(connection, EventRow, [row])
        else:
            connection.execute(insert(EventRow), row)
        (found,) = connection.execute(select(*EventRow.__table__.columns)).mappings()
        connection.rollback()
    return dict(found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_a_row_written_in_bulk_reads_like_one_written_by_its_model(engine: Engine, row: dict[str, Any]) -> None:
    assert written(engine, row, in_bulk=True) == written(engine, row, in_bulk=False) == row


def an_identity(number: int = 1, **changes: Any) -> dict[str, Any]:
    key = number.to_bytes(16)
    return {"account": "a", "provider": "p", "identity": key, "event_key": key, "completed_at": at(MARCH)} | changes


def add(engine: Engine, table: type[Table], *written: dict[str, Any]) -> None:
    in_transaction(engine, lambda connection: bulk.add(connection, table, written))


def test_an_instant_of_another_zone_is_the_same_instant(engine: Engine) -> None:
    add(engine, IdentityRow, an_identity(completed_at=at(MARCH).astimezone(timezone(timedelta(hours=8)))))
    assert rows(engine, IdentityRow)[0]["completed_at"] == at(MARCH)


def test_a_naive_instant_is_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match="has no time zone"):
        add(engine, IdentityRow, an_identity(completed_at=datetime(2025, 3, 3)))  # noqa: DTZ001


@pytest.mark.parametrize("amount", [1.0, True, MAX_AMOUNT + 1])
def test_an_amount_that_is_no_exact_one_is_refused(engine: Engine, amount: object) -> None:
    key = bytes(16)
    deduction = {"account": "a", "event_key": key, "completed_at": at(MARCH), "revision": 1, "ordinal": 0}
    with pytest.raises(TypeError, match="an amount is an int"):
        add(engine, DeductionRow, deduction | {"credit_id": 1, "kind": "granted", "amount": amount})
    assert counted(engine, DeductionRow) == [0]


def test_a_column_that_is_left_out_is_named(engine: Engine) -> None:
    with pytest.raises(KeyError, match="completed_at"):
        add(engine, IdentityRow, {name: value for name, value in an_identity().items() if name != "completed_at"})


def test_a_row_that_is_there_already_takes_all_of_them_back(engine: Engine) -> None:
    add(engine, IdentityRow, an_identity(1))

    def work(connection: Connection) -> None:
        with pytest.raises(IntegrityError), connection.begin_nested():
            bulk.add(connection, IdentityRow, [an_identity(2), an_identity(1), an_identity(3)])
        bulk.add(connection, IdentityRow, [an_identity(4)])

    in_transaction(engine, work)
    assert [row["identity"][-1] for row in rows(engine, IdentityRow, IdentityRow.identity)] == [1, 4]


def test_a_row_that_breaks_a_constraint_is_refused(engine: Engine) -> None:
    charge = dict.fromkeys(ChargeRow.__table__.columns.keys(), 0) | {
        "account": "a", "event_key": bytes(16), "completed_at": at(MARCH), "booked_at": at(MARCH), "sign": 2,
        "billing_month": "2025-03", "adjusts": None, "status": "priced", "currency": "USD", "edition": "e",
        "tariff": "t", "band": "flat", "flags": None,
    }  # fmt: skip
    with pytest.raises(IntegrityError, match="charge_counts_once"):
        add(engine, ChargeRow, charge)


TOTALS = st.integers(-(10**37), 10**37)
PERIODS = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b"]), INSTANTS.filter(lambda at: at != FIRST_START)), TOTALS, max_size=8
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PERIODS, PERIODS)
def test_rows_that_are_there_are_moved_and_the_others_are_added(
    engine: Engine, first: dict[tuple[str, datetime], int], then: dict[tuple[str, datetime], int]
) -> None:
    with engine.connect() as connection:
        accounts.make_missing(connection, ["a", "b"], Home(), at(MARCH))
        for account in ("a", "b"):
            budgets.add_balance(connection, accounts.get(connection, account), by="ops", now=at(MARCH))
        for kept in (first, then):
            put = [(account, starts_at, 0, spent, -1, 7) for (account, starts_at), spent in kept.items()]
            bulk.put(connection, BudgetPeriodRow, ("spent",), put)
        every = select(BudgetPeriodRow.account, BudgetPeriodRow.starts_at, BudgetPeriodRow.spent)
        found = {tuple(row[:2]): row[2] for row in connection.execute(every.where(BudgetPeriodRow.room == -1))}
        connection.rollback()
    assert found == first | then


@pytest.mark.parametrize("spent", [1.0, True, "1"])
def test_a_total_that_is_no_exact_one_is_refused(engine: Engine, spent: object) -> None:
    with engine.connect() as connection, pytest.raises(TypeError, match="a total is an int"):
        bulk.put(connection, BudgetPeriodRow, ("spent",), [("a", at(MARCH), 1, spent, 0, 0)])


def test_columns_are_set_in_the_rows_that_are_named(engine: Engine) -> None:
    far = MAX_AMOUNT * 3
    moved = {"b": (far, bytes(range(16)), at(MARCH)), "c": (-far, b"c" * 16, None), "d": (1, b"d" * 16, None)}
    changes = [{"account": k, "overdraft": o, "chain": c, "frozen_at": f} for k, (o, c, f) in moved.items()]

    def work(connection: Connection) -> None:
        accounts.make_missing(connection, ["a", "b", "c"], Home(), at(MARCH))
        bulk.change(connection, AccountRow, ("account",), changes)

    in_transaction(engine, work)
    kept = {row["account"]: (row["overdraft"], row["chain"], row["frozen_at"]) for row in rows(engine, AccountRow)}
    assert kept == {"a": (0, bytes(16), None), "b": moved["b"], "c": moved["c"]}


def test_rows_are_removed_by_what_names_them(engine: Engine) -> None:
    waiting = [(name, bytes([number]) * 16) for name in ("a", "b") for number in range(3)]
    written = [{"account": name, "event_key": key, "completed_at": at(MARCH)} for name, key in waiting]

    def work(connection: Connection) -> None:
        bulk.add(connection, PendingRow, written)
        bulk.remove(connection, PendingRow, ("account", "event_key"), [*waiting[1:4], ("c", bytes(16))])

    in_transaction(engine, work)
    left = [(row["account"], row["event_key"]) for row in rows(engine, PendingRow, PendingRow.account)]
    assert sorted(left) == sorted([waiting[0], *waiting[4:]])


def test_what_waits_is_not_compared_with_each_that_is_removed_though_statistics_say_that_nothing_waits(
    postgres_url: str,
) -> None:
    keys = [("a", number.to_bytes(16, "big")) for number in range(2_000)]
    waiting = [{"account": name, "event_key": key, "completed_at": at(MARCH)} for name, key in keys]
    statements: list[str] = []
    engine = open_engine(postgres_url)
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    with engine.begin() as connection:
        bulk.add(connection, PendingRow, waiting)
        bulk.remove(connection, PendingRow, ("account", "event_key"), keys)
        # As a VACUUM says of a table that was large while it was read, and has nearly been emptied since.
        connection.execute(text("UPDATE pg_class SET reltuples = 1, relpages = 1000 WHERE relname = 'pending'"))
        (removed,) = [statement for statement in statements if statement.startswith("DELETE")]
        numbers = count(1)
        generic = re.sub("%b", lambda _: f"${next(numbers)}", removed)
        plan = " ".join(connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {generic}").scalars())
    engine.dispose()
    assert "hashed SubPlan" in plan
    assert "Nested Loop" not in plan


def test_nothing_is_no_statement(engine: Engine) -> None:
    add(engine, QuarantineRow)


def test_rows_are_looked_up_by_many_values(engine: Engine) -> None:
    add(engine, IdentityRow, *(an_identity(number) for number in range(10)))
    wanted = [an_identity(number)["identity"] for number in (2, 5, 99)]
    query = select(IdentityRow.identity).where(IdentityRow.account == an_identity()["account"])
    with engine.connect() as connection:
        for some, found in ((wanted, wanted[:2]), ([], [])):
            probed = bulk.probed(connection, query, IdentityRow.identity, some)
            assert sorted(connection.scalars(probed)) == found


def test_each_of_many_values_is_looked_up_in_the_index_though_statistics_say_that_there_are_no_rows(
    postgres_url: str,
) -> None:
    engine = open_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE identity"))
        query = select(IdentityRow.event_key).where(IdentityRow.account == "a", IdentityRow.provider == "deepseek")
        probed = bulk.probed(connection, query, IdentityRow.identity, [bytes(16)] * 2_000)
        compiled = probed.compile(connection, compile_kwargs={"render_postcompile": True})
        explained = connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params).scalars().all()
    engine.dispose()
    plan = " ".join(explained)
    assert "Nested Loop" in plan
    assert "identity = given.value" in plan


def test_a_connection_that_is_cut_while_rows_go_over_it_is_an_error_of_the_database(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with engine.connect() as connection, engine.connect() as other:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with pytest.raises(Exception, match="terminating connection") as caught:
            bulk.add(connection, IdentityRow, [an_identity(number) for number in range(10)])
        assert connection.invalidated
        assert type(caught.value).__module__ == "sqlalchemy.exc"
        connection.rollback()
    add(engine, IdentityRow, an_identity())
    assert counted(engine, IdentityRow) == [1]
    engine.dispose()
