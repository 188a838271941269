"""Columns that lose nothing: amounts, totals and instants come back as they went in, or are refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, Integer, MetaData, Table, delete, insert, select
from sqlalchemy.exc import StatementError

from costmeter.core.errors import InputError
from costmeter.core.money import MAX_AMOUNT
from costmeter.store.types import ExactMoney, ExactTotal, Json, UtcInstant, join_halves, sum_halves

METADATA = MetaData()
SAMPLE = Table(
    "sample",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("money", ExactMoney),
    Column("total", ExactTotal),
    Column("instant", UtcInstant),
    Column("body", Json),
)
HASTY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _sample_table(engine: Engine) -> Iterator[None]:
    METADATA.create_all(engine)
    yield
    METADATA.drop_all(engine)


def back(engine: Engine, column: str, value: Any) -> Any:
    """A value written by one transaction and read by another."""
    with engine.begin() as connection:
        connection.execute(delete(SAMPLE))
        connection.execute(insert(SAMPLE), {"id": 1, column: value})
    with engine.connect() as connection:
        return connection.scalar(select(SAMPLE.c[column]))


def total_of(engine: Engine, amounts: list[int]) -> int:
    with engine.begin() as connection:
        connection.execute(delete(SAMPLE))
        if amounts:
            connection.execute(insert(SAMPLE), [{"id": n, "money": amount} for n, amount in enumerate(amounts)])
        return join_halves(*connection.execute(select(*sum_halves(SAMPLE.c.money))).one())


class TestExactMoney:
    @pytest.mark.parametrize("amount", [0, 1, -1, MAX_AMOUNT, -MAX_AMOUNT, 2**53 + 1, None])
    def test_an_amount_comes_back_as_it_went_in(self, engine: Engine, amount: int | None) -> None:
        found = back(engine, "money", amount)
        assert found == amount
        assert type(found) is type(amount)

    @pytest.mark.parametrize("wrong", [MAX_AMOUNT + 1, -MAX_AMOUNT - 1, 1.0, "1", True])
    def test_anything_but_an_integer_of_64_bits_is_refused(self, engine: Engine, wrong: object) -> None:
        with pytest.raises(StatementError, match="an amount is an int of 10\\^-12 within 64 bits"):
            back(engine, "money", wrong)


class TestExactTotal:
    @pytest.mark.parametrize("total", [0, 1, -1, MAX_AMOUNT + 1, -(2**64), 10**38 - 1, 1 - 10**38, None])
    def test_a_total_comes_back_as_it_went_in_past_64_bits(self, engine: Engine, total: int | None) -> None:
        found = back(engine, "total", total)
        assert found == total
        assert type(found) is type(total)

    @pytest.mark.parametrize("wrong", [1.0, "1", True])
    def test_anything_but_an_integer_is_refused(self, engine: Engine, wrong: object) -> None:
        with pytest.raises(StatementError, match="a total is an int of 10\\^-12"):
            back(engine, "total", wrong)


class TestUtcInstant:
    @pytest.mark.parametrize(
        "instant",
        [
            datetime(2025, 2, 26, 16, 30, tzinfo=UTC),
            datetime(2025, 2, 26, 16, 29, 59, 999_999, tzinfo=UTC),
            datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1),
            datetime(1, 1, 3, tzinfo=UTC),
            datetime(9999, 12, 29, 23, 59, 59, 999_999, tzinfo=UTC),
            None,
        ],
    )
    def test_an_instant_comes_back_to_the_microsecond_in_utc(self, engine: Engine, instant: datetime | None) -> None:
        found = back(engine, "instant", instant)
        assert found == instant
        assert found is None or found.tzinfo is UTC

    def test_any_offset_goes_in_and_utc_comes_out(self, engine: Engine) -> None:
        beijing = datetime(2025, 2, 27, 0, 30, tzinfo=timezone(timedelta(hours=8)))
        found = back(engine, "instant", beijing)
        assert (found, found.utcoffset()) == (beijing, timedelta())

    def test_a_naive_instant_is_refused(self, engine: Engine) -> None:
        with pytest.raises((StatementError, InputError), match="has no time zone"):
            back(engine, "instant", datetime(2025, 2, 26))  # noqa: DTZ001  naive on purpose

    @pytest.mark.parametrize("instant", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)])
    def test_one_that_is_no_date_in_some_time_zone_is_refused(self, engine: Engine, instant: datetime) -> None:
        with pytest.raises((StatementError, InputError), match="is no date in every time zone"):
            back(engine, "instant", instant)

    @HASTY
    @given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC)))  # noqa: DTZ001  the bounds of Hypothesis are naive
    def test_every_instant_comes_back(self, engine: Engine, instant: datetime) -> None:
        assert back(engine, "instant", instant) == instant


class TestSums:
    @pytest.mark.parametrize(
        "amounts",
        [
            [],
            [None],
            [1, -1],
            [MAX_AMOUNT] * 3,
            [-MAX_AMOUNT] * 3,
            [MAX_AMOUNT, MAX_AMOUNT, -MAX_AMOUNT, -7, None],
            [999_999_999, 1, -1_000_000_001],
        ],
    )
    def test_a_sum_is_exact_past_64_bits_and_below_0(self, engine: Engine, amounts: list[int]) -> None:
        assert total_of(engine, amounts) == sum(amount or 0 for amount in amounts)

    @HASTY
    @given(st.lists(st.integers(-MAX_AMOUNT, MAX_AMOUNT), max_size=30))
    def test_every_sum_is_exact(self, engine: Engine, amounts: list[int]) -> None:
        assert total_of(engine, amounts) == sum(amounts)


@pytest.mark.parametrize("body", [{}, {"a": [1, None, True, 0.1, "\u2028é團"]}, {"n": 2**63 - 1, "m": -(2**63)}, []])
def test_json_comes_back_as_it_went_in(engine: Engine, body: object) -> None:
    assert back(engine, "body", body) == body
