"""Month partitions on a real PostgreSQL: made ahead, filled from the default ones, and safe against one another."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from costmeter.core.errors import InputError, SetupError
from costmeter.services.make_partitions import make_partitions
from costmeter.services.verify import verify
from costmeter.store import partitions
from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import ADDED_ONLY, PARTITIONED, ChargeRow, DeductionRow, EventRow
from tests.make import an_event, at, balance, counted, record_and_post, rows, splits, top_up
from tests.services.invariants import check_books

NOW = "2025-03-10T00:00:00Z"
MONTHS = ("2025-03", "2025-04", "2025-05")


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url)
    yield engine
    engine.dispose()


def make(engine: Engine, ahead: int = 2, **more: Any) -> list[str]:
    return make_partitions(engine, now=at(NOW), ahead=ahead, **more)


def names(*months: str) -> list[str]:
    return [partitions.partition_name(table, month) for month in months for table in PARTITIONED]


def held(engine: Engine, table: str, part: str) -> int:
    with reading(engine) as connection:
        return connection.scalar(text(f"SELECT count(*) FROM {table}_{part}")) or 0


def fill(engine: Engine) -> None:
    top_up(engine, "1.30", "2025-02-01T00:00:00Z")
    record_and_post(
        engine,
        an_event("february", "2025-02-28T23:59:59.999999Z"),
        an_event("first of march", "2025-03-01T00:00:00Z"),
        an_event("march", "2025-03-09T00:00:00Z"),
    )


def test_months_are_made_ahead_and_again_nothing_is_made(postgres: Engine) -> None:
    assert make(postgres) == names(*MONTHS)
    assert make(postgres) == []
    assert make(postgres, ahead=3) == names("2025-06")
    with reading(postgres) as connection:
        found = partitions.listed(connection)
    assert {one.name for one in found} == {*names(*MONTHS, "2025-06"), *(f"{table}_default" for table in PARTITIONED)}
    assert all(one.is_attached for one in found)


def test_rows_of_a_month_move_out_of_the_default_partition(postgres: Engine) -> None:
    fill(postgres)
    before = [rows(postgres, table, table.event_key) for table in (EventRow, ChargeRow, DeductionRow)]

    make(postgres)

    assert [rows(postgres, table, table.event_key) for table in (EventRow, ChargeRow, DeductionRow)] == before
    for table in ("usage_event", "charge"):
        assert [held(postgres, table, part) for part in ("default", "2025_03", "2025_04")] == [1, 2, 0]
    assert verify(postgres, full=True) == []
    check_books(postgres)


def test_earlier_months_are_made_where_they_are_asked_for(postgres: Engine) -> None:
    fill(postgres)
    assert make(postgres, ahead=0, since="2025-02") == names("2025-02", "2025-03")
    assert [held(postgres, "charge", part) for part in ("default", "2025_02", "2025_03")] == [0, 1, 2]


def test_later_calls_go_into_their_month_and_the_books_hold(postgres: Engine) -> None:
    make(postgres)
    fill(postgres)
    assert held(postgres, "usage_event", "2025_03") == 2
    assert splits(postgres)["march"] == ("0.00", "0.20", "0.35", "0.00")
    assert balance(postgres) == ("0.00", "-0.35")
    assert verify(postgres, full=True) == []


@pytest.mark.parametrize("verb", ["DELETE FROM {}", "UPDATE {} SET account = 'other'"])
@pytest.mark.parametrize("part", ["default", "2025_03"])
def test_rows_of_every_partition_are_only_added(postgres: Engine, verb: str, part: str) -> None:
    """Also once the trigger was off for a move."""
    fill(postgres)
    make(postgres)
    for table in set(ADDED_ONLY) & set(PARTITIONED):
        if held(postgres, table, part):
            with pytest.raises(DBAPIError, match="are only added"), postgres.begin() as connection:
                connection.execute(text(verb.format(f"{table}_{part}")))


def test_a_month_has_the_keys_and_indexes_of_its_table(postgres: Engine) -> None:
    make(postgres, ahead=0)
    query = text("SELECT tablename, count(*) FROM pg_indexes WHERE tablename LIKE '%\\_2025\\_03' GROUP BY tablename")
    with reading(postgres) as connection:
        found = {row[0]: row[1] for row in connection.execute(query)}
    assert found == {"usage_event_2025_03": 3, "charge_2025_03": 5, "deduction_2025_03": 2}


def test_of_two_that_make_them_at_once_each_month_is_made_by_one(postgres: Engine) -> None:
    fill(postgres)
    with ThreadPoolExecutor(2) as threads:
        made = [*threads.map(lambda _: make(postgres), range(2))]
    assert sorted(made[0] + made[1]) == sorted(names(*MONTHS))
    assert counted(postgres, EventRow, ChargeRow) == [3, 3]


def test_tables_that_stay_in_use_are_told_and_left_alone(postgres: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "TRIES", 1)
    monkeypatch.setattr(partitions, "LOCK_SECONDS", 0.1)
    with postgres.begin() as other:
        other.execute(text("LOCK TABLE usage_event_default IN ACCESS SHARE MODE"))
        with pytest.raises(SetupError, match="in use by transactions that take long; run it again"):
            make(postgres)
    assert make(postgres) == names(*MONTHS)


def test_the_year_turns(postgres: Engine) -> None:
    made = make_partitions(postgres, now=at("2025-12-31T23:00:00Z"), ahead=1)
    assert made == names("2025-12", "2026-01")


@pytest.mark.parametrize(("ahead", "since", "says"), [(-1, None, "^ahead -1: give"), (1, "2025-04", "since '2025-04'")])
def test_what_makes_no_sense_is_refused(postgres: Engine, ahead: int, since: str | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make(postgres, ahead, since=since)


def test_sqlite_has_nothing_to_make(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    assert make(engine) == []
    with reading(engine) as connection:
        assert partitions.listed(connection) == []
    engine.dispose()
