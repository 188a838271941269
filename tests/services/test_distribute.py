"""Distributing by account: the order on any machine, the work itself on a real Citus cluster where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from costmeter.core.errors import SetupError
from costmeter.services.detach_months import attach_month, detach_months
from costmeter.services.distribute import distribute, order
from costmeter.services.make_partitions import make_partitions
from costmeter.services.verify import verify
from costmeter.store import schema, sizes
from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import Table
from tests.make import an_event, at, balance, record_and_post, top_up

CITUS = os.environ.get("COSTMETER_CITUS_URL")  # of a database on the coordinator, in which databases can be made
NOW = "2025-03-10T00:00:00Z"
SHARED = {"price_edition", "api_key", "scheduler_lease", "scheduler_run"}  # by all accounts


def test_each_table_comes_after_those_that_it_refers_to() -> None:
    placed = order()
    assert {*placed[: len(SHARED)]} == SHARED
    assert placed[len(SHARED)] == "account"
    assert sorted(placed) == sorted(Table.metadata.tables)
    for name in placed:
        for key in Table.metadata.tables[name].foreign_key_constraints:
            assert placed.index(key.referred_table.name) < placed.index(name)


def test_without_the_extension_it_says_so_and_changes_nothing(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with pytest.raises(SetupError, match="the Citus extension is not in this database; install Citus"):
        distribute(engine)
    with reading(engine) as connection:
        assert sizes.distributed(connection) == {}
    engine.dispose()


def test_sqlite_is_one_file(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with pytest.raises(SetupError, match="SQLite"):
        distribute(engine)
    engine.dispose()


@pytest.fixture
def cluster() -> Iterator[Engine]:
    """A schema of its own on the cluster of COSTMETER_CITUS_URL, at the newest schema."""
    if CITUS is None:
        pytest.skip("no Citus cluster: COSTMETER_CITUS_URL is not set")
    name = f"costmeter_{uuid4().hex}"
    administrator = open_engine(CITUS)
    with administrator.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    engine = open_engine(f"{CITUS}{'&' if '?' in CITUS else '?'}options=-csearch_path%3D{name}")
    schema.upgrade(engine)
    yield engine
    engine.dispose()
    with administrator.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    administrator.dispose()


def test_a_cluster_keeps_the_same_books(cluster: Engine) -> None:
    top_up(cluster, "3.00", "2025-02-01T00:00:00Z")
    record_and_post(cluster, an_event("before", "2025-02-10T12:00:00Z"))

    assert distribute(cluster) == order()
    assert distribute(cluster) == []
    with reading(cluster) as connection:
        how = sizes.distributed(connection)
    assert {name for name, kind in how.items() if kind == "reference"} == SHARED
    assert {how[name] for name in order() if name not in SHARED} == {"by account"}

    make_partitions(cluster, now=at(NOW), since="2025-02")
    record_and_post(cluster, an_event("after", "2025-03-03T12:00:00Z"))
    record_and_post(cluster, an_event("else", "2025-03-03T12:00:00Z", account="other"))
    assert balance(cluster) == ("0.00", "0.80")
    assert verify(cluster) == []
    assert detach_months(cluster, before="2025-03", now=at(NOW)) == ["2025-02"]
    assert balance(cluster) == ("0.00", "0.80")
    attach_month(cluster, "2025-02")
    assert verify(cluster, full=True) == []
