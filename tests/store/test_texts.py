"""What the database writes of a value is what Python writes of it, to the edges of both."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Select, Text, column, select, values
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from costmeter.core.money import MAX_AMOUNT, UNITS, format_amount
from costmeter.core.periods import FIRST_INSTANT, LAST_INSTANT, MICROSECOND, format_instant
from costmeter.store import texts
from costmeter.store.engine import reading
from costmeter.store.texts import cells, csv_blocks
from costmeter.store.types import ExactMoney, UtcInstant

CENT = UNITS // 100
AMOUNTS = [0, 1, 9, 10, CENT - 1, CENT, CENT + 1, 10 * CENT, UNITS - 1, UNITS, UNITS + 1, 11 * UNITS // 10, MAX_AMOUNT]
AMOUNTS += [random.Random(7).randrange(10**power) for power in range(1, 19)]
INSTANTS = [
    FIRST_INSTANT,
    LAST_INSTANT - MICROSECOND,
    *(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=n) for n in (-1_000_001, -1_000_000, -1, 0, 1, 10**6)),
    datetime(2025, 3, 3, 17, 0, 0, 500_000, tzinfo=UTC),
    datetime(2025, 3, 3, 17, 0, 0, 10, tzinfo=UTC),
]
TEXTS = ["a", "", None, ",", '"', "a\nb", "\r", "\r\n", " ", "'", "\\.", "\\N", "%s %%", ":x", "中🚲", "\x1f", '"",\n']


def of(kind: TypeEngine[Any], found: list[Any]) -> Select[*tuple[Any, ...]]:
    """A query of numbered values, in their order."""
    numbered = [(value, f"{number:03}") for number, value in enumerate(found)]
    given = values(column("value", kind), column("number", Text())).data(numbered).cte("given")
    return select(given.c.value, given.c.number).order_by(given.c.number)


def written(engine: Engine, kind: TypeEngine[Any], found: list[Any]) -> list[str]:
    """The cells, read back."""
    with reading(engine) as connection:
        rows = [row for block in csv_blocks(connection, of(kind, found)) for row in cells(block.text)]
    assert [number for _, number in rows] == [f"{number:03}" for number in range(len(found))]
    return [text for text, _ in rows]


def test_amounts(engine: Engine) -> None:
    both = [*AMOUNTS, *(-amount for amount in AMOUNTS)]
    assert written(engine, ExactMoney(), both) == [format_amount(amount) for amount in both]


def test_instants(engine: Engine) -> None:
    assert written(engine, UtcInstant(), INSTANTS) == [format_instant(instant) for instant in INSTANTS]


@pytest.mark.parametrize("rows", [1, 2, 200])
def test_texts(engine: Engine, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Whatever stands in a block beside what."""
    monkeypatch.setattr(texts, "ROWS", rows)
    assert written(engine, Text(), TEXTS) == [text or "" for text in TEXTS]
    assert written(engine, Text(), ["a", "b"]) == ["a", "b"]


def test_the_bytes_are_those_of_pythons_csv(engine: Engine) -> None:
    with reading(engine) as connection:
        found = b"".join(block.text for block in csv_blocks(connection, of(Text(), TEXTS)))
    assert found == texts.lines([text or "", f"{number:03}"] for number, text in enumerate(TEXTS))


def test_an_error_of_the_database_is_one_of_sqlalchemy(engine: Engine) -> None:
    with reading(engine) as connection, pytest.raises(DBAPIError):
        [*csv_blocks(connection, select(column("nowhere", Text())))]
