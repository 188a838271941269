"""Every key begins with the account, so that PostgreSQL can be sharded by account without a change of schema."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, ForeignKeyConstraint, Integer, MetaData, Table, UniqueConstraint

from costmeter.store import tables

# Reference tables: the same rows for every account.
SHARED_BY_ALL = {"price_edition", "api_key", "scheduler_lease", "scheduler_run"}
FIRST = "account"


def wrong_keys(table: Table) -> Iterator[str]:
    """The keys of a table that do not begin with the account."""
    keys = [("primary key", [*table.primary_key.columns])]
    keys += [("unique", [*c.columns]) for c in table.constraints if isinstance(c, UniqueConstraint)]
    keys += [("unique index", [*index.columns]) for index in table.indexes if index.unique]
    keys += [("foreign key", [*c.columns]) for c in table.constraints if isinstance(c, ForeignKeyConstraint)]
    for kind, columns in keys:
        if [column.name for column in columns][:1] != [FIRST]:
            yield f"{table.name}: the {kind} {[column.name for column in columns]} does not begin with {FIRST}"
    for constraint in table.foreign_key_constraints:
        if constraint.elements[0].column.name != FIRST:
            yield f"{table.name}: the foreign key to {constraint.referred_table.name} does not lead to its {FIRST}"


def test_there_are_tables() -> None:
    assert len(tables.Table.metadata.tables) >= 15
    assert tables.Table.metadata.tables.keys() >= SHARED_BY_ALL


@pytest.mark.parametrize("name", sorted(tables.Table.metadata.tables.keys() - SHARED_BY_ALL))
def test_every_primary_unique_and_foreign_key_begins_with_the_account(name: str) -> None:
    assert not [*wrong_keys(tables.Table.metadata.tables[name])]


@pytest.mark.parametrize("name", tables.PARTITIONED)
def test_the_primary_key_of_a_partitioned_table_carries_what_it_is_partitioned_by(name: str) -> None:
    assert "completed_at" in tables.Table.metadata.tables[name].primary_key.columns


@pytest.mark.parametrize(
    "constraint", [UniqueConstraint("reference", "account"), ForeignKeyConstraint(["reference"], ["other.id"])]
)
def test_the_rule_of_keys_sees_what_it_forbids(constraint: UniqueConstraint | ForeignKeyConstraint) -> None:
    metadata = MetaData()
    Table("other", metadata, Column("id", Integer, primary_key=True))
    table = Table(
        "one", metadata, Column("account", Integer, primary_key=True), Column("reference", Integer), constraint
    )
    assert [*wrong_keys(table)]


def test_the_rule_of_keys_sees_a_primary_key_of_something_else() -> None:
    assert [*wrong_keys(Table("one", MetaData(), Column("id", Integer, primary_key=True)))]
