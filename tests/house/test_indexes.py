"""Every index costs each posting; so each says which query it serves, and `db status` shows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, Table, UniqueConstraint

from costmeter.store import tables


def without_a_query(table: Table) -> Iterator[str]:
    """The indexes of a table, its unique constraints' among them, that do not say which query they serve."""
    unique = [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    indexes: list[Index | UniqueConstraint] = [*table.indexes, *unique]
    for made in indexes:
        if not made.info.get("serves"):
            yield f"{table.name}: {made.name} serves no query: info=serves(...)"


@pytest.mark.parametrize("name", sorted(tables.Table.metadata.tables))
def test_every_index_says_which_query_it_serves(name: str) -> None:
    assert not [*without_a_query(tables.Table.metadata.tables[name])]


def test_the_rule_of_indexes_sees_what_it_forbids() -> None:
    index, unique = Index("by_a", "a"), UniqueConstraint("a", name="one_a")
    assert len([*without_a_query(Table("one", MetaData(), Column("a", Integer), index, unique))]) == 2
