"""CSV and JSONL are the same bytes for ever under their format version, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from costmeter.exports.cells import texts_of
from costmeter.exports.format import VERSION, Format
from costmeter.exports.kinds import EXPORTS
from costmeter.store.engine import reading
from costmeter.store.texts import lines
from tests.exports.books import MARCH, digest, keep, written

GOLDEN = Path(__file__).parents[1] / "golden" / "exports"


@pytest.mark.parametrize("name", ["charges", "usage"])
def test_the_bytes_are_those_of_the_golden_file(engine: Engine, name: str) -> None:
    """A change of these files is a new version of the formats."""
    assert VERSION == 1
    keep(engine)
    for form in (Format.CSV, Format.JSONL):
        assert written(engine, EXPORTS[name], form) == (GOLDEN / f"{name}-2025-03.{form}").read_bytes()


def test_the_database_writes_what_python_would(engine: Engine) -> None:
    """The rows as values, written by Python, come to the bytes of the database's own rendition."""
    keep(engine)
    charges = EXPORTS["charges"]
    assert charges.direct is not None
    texts = texts_of(charges.columns)
    with reading(engine) as connection:
        blocks = b"".join(block.text for block in charges.direct.blocks(connection, MARCH))
        assert lines(map(texts, charges.rows(connection, MARCH))) == blocks
        money = {column.name: place for place, column in enumerate(charges.columns) if column.kind == "money"}
        rows = [*charges.rows(connection, MARCH)]
        sums = {name: sum(row[place] or 0 for row in rows) for name, place in money.items()}
        assert charges.direct.sums(connection, MARCH) == sums


def test_a_digest_is_of_the_rows_and_not_of_what_spreadsheets_need(engine: Engine) -> None:
    keep(engine)
    charges = EXPORTS["charges"]
    before = digest(engine, charges)
    assert before == digest(engine, charges), "the same rows"
    assert before != digest(engine, EXPORTS["usage"])
