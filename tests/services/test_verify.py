"""`verify` finds a busy ledger clean, and names the promise that each tampering behind the triggers' back breaks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, text

from costmeter.services.verify import MOST_FINDINGS, PROMISES, Finding, verify
from costmeter.store.engine import open_engine
from costmeter.store.tables import ChargeRow, EntryRow
from tests.make import (
    an_event,
    an_unmetered,
    grant,
    outcome,
    post,
    record,
    record_and_post,
    rows,
    set_up_account,
    top_up,
)
from tests.services.invariants import check_books
from tests.services.tamperings import INEXACT, TAMPERINGS, Tampering, tamper

TEMPLATE = "costmeter_template"  # the database at the newest schema that the shared fixtures make


def fill(engine: Engine) -> None:
    """Several accounts, grants that expire, late calls, overdraft and its repayment, and calls that have no price."""
    _fill_default(engine)
    set_up_account(engine, "shanghai", "CNY", "Asia/Shanghai")
    grant(engine, "3.00", "2025-02-28T16:00:00Z", account="shanghai")
    night = an_event("night", "2025-03-31T16:30:00Z", account="shanghai", model="deepseek-reasoner", hit=640, miss=100)
    first = an_event("first", "2025-03-31T16:00:00Z", account="shanghai", detail={"clock_offset_seconds": -1_800})
    record_and_post(engine, night, first, now="2025-04-02T00:00:00Z")
    record_and_post(engine, an_event("loose", account="untracked"))


def _fill_default(engine: Engine) -> None:
    record_and_post(engine, an_event("before", "2025-02-28T12:00:00Z"), now="2025-03-01T00:00:00Z")
    grant(engine, "1.00", "2025-03-01T00:00:00Z", "2025-03-05T00:00:00Z", now="2025-03-01T00:00:00Z", reference="gift")
    record_and_post(engine, an_event("half", "2025-03-02T12:00:00Z", output=500_000), now="2025-03-03T00:00:00Z")
    post(engine, now="2025-03-05T06:00:00Z")  # the grant expires with 0.45 in it
    record_and_post(engine, an_event("late", "2025-03-04T12:00:00Z", output=100_000), now="2025-03-05T12:00:00Z")
    record_and_post(engine, an_event("owed", "2025-03-05T12:00:00Z"), now="2025-03-05T13:00:00Z")
    top_up(engine, "5.00", "2025-03-06T00:00:00Z", now="2025-03-06T00:00:00Z")  # repays 1.10
    grant(engine, "0.30", "2025-03-07T00:00:00Z", now="2025-03-07T00:00:00Z")
    record_and_post(engine, an_event("both", "2025-03-07T12:00:00Z", response_id="r-both"), now="2025-03-08T00:00:00Z")
    without_counts = [
        an_event("strange", "2025-03-07T13:00:00Z", model="no-such-model"),
        an_unmetered("torn", "2025-03-07T14:00:00Z", response_id="r-torn"),
        an_unmetered("lost", "2025-03-07T15:00:00Z"),
        an_unmetered("failed", "2025-03-07T15:00:00Z") | {"status": "failed", "http_status": 402},
    ]
    record_and_post(engine, *without_counts, now="2025-03-08T00:00:00Z")
    measured = an_event("torn", "2025-03-07T14:00:01Z", response_id="r-torn", output=1_000)
    record_and_post(engine, measured, now="2025-03-08T00:00:00Z")
    again = an_event("other-door", "2025-03-07T12:00:01Z", response_id="r-both")
    nameless = an_event(None, "2025-03-07T16:00:00Z", output=7)
    assert outcome(record(engine, again, nameless, now="2025-03-08T00:00:00Z")) == (1, 1, 0, 0)
    post(engine, now="2025-03-08T00:00:00Z")
    record(engine, an_event("waiting", "2025-03-08T12:00:00Z"), now="2025-03-09T00:00:00Z")


@pytest.fixture(scope="module")
def busy_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The busy ledger in a file, to be copied."""
    path = tmp_path_factory.mktemp("busy") / "busy.sqlite3"
    shutil.copy(sqlite_template, path)
    engine = open_engine(f"sqlite:///{path}")
    fill(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="module")
def busy_postgres(postgres_template: str) -> str:
    """The busy ledger in a PostgreSQL database, to be copied."""
    administer(postgres_template, f"CREATE DATABASE busy TEMPLATE {TEMPLATE}")
    engine = open_engine(postgres_template.format("busy"))
    fill(engine)
    engine.dispose()
    return postgres_template


@pytest.fixture
def sqlite_ledger(busy_sqlite: Path, tmp_path: Path) -> Iterator[Engine]:
    shutil.copy(busy_sqlite, tmp_path / "ledger.sqlite3")
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_ledger(busy_postgres: str) -> Iterator[Engine]:
    name = f"test_{uuid4().hex}"
    administer(busy_postgres, f"CREATE DATABASE {name} TEMPLATE busy")
    engine = open_engine(busy_postgres.format(name))
    yield engine
    engine.dispose()
    administer(busy_postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Engine:
    """A busy ledger of one's own: once in an SQLite file, once in a real PostgreSQL."""
    found: Engine = request.getfixturevalue({"sqlite": "sqlite_ledger", "postgresql": "postgres_ledger"}[request.param])
    return found


def administer(server: str, statement: str) -> None:
    engine = open_engine(server.format("postgres"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()


def said(findings: list[Finding], promise: int) -> str:
    return "\n".join(finding.what for finding in findings if finding.promise == promise)


def test_a_busy_ledger_keeps_every_promise(ledger: Engine) -> None:
    check_books(ledger)
    charges: list[int] = []

    assert verify(ledger, progress=charges.append) == []
    assert sum(charges) == len(rows(ledger, ChargeRow)) == 11


def test_the_busy_ledger_has_everything_that_is_to_be_verified(ledger: Engine) -> None:
    charges = {row["event_key"]: row for row in rows(ledger, ChargeRow)}
    assert {row["status"] for row in charges.values()} == {"priced", "unpriced"}
    assert any(row["granted"] and row["topped_up"] for row in charges.values())
    assert any(row["overdraft"] for row in charges.values())
    assert any(row["untracked"] for row in charges.values())
    assert {row["kind"] for row in rows(ledger, EntryRow)} == {"charges", "credit", "repayment", "expiry"}


def test_an_empty_database_keeps_every_promise(engine: Engine) -> None:
    assert verify(engine) == []


@pytest.mark.parametrize("tampering", TAMPERINGS.values(), ids=[name.replace(" ", "_") for name in TAMPERINGS])
def test_a_tampering_is_found_and_named(ledger: Engine, tampering: Tampering) -> None:
    tamper(ledger, tampering.statement, **tampering.values)

    findings = verify(ledger)

    assert tampering.says in said(findings, tampering.promise), findings


@pytest.mark.parametrize(("statement", "says"), INEXACT.values(), ids=[name.replace(" ", "_") for name in INEXACT])
def test_a_value_that_is_no_integer_is_found_on_sqlite(sqlite_ledger: Engine, statement: str, says: str) -> None:
    tamper(sqlite_ledger, statement)

    findings = verify(sqlite_ledger)

    assert says in said(findings, 2), findings


def test_every_promise_is_put_to_the_test() -> None:
    tested = [tampering.promise for tampering in TAMPERINGS.values()] + [2] * len(INEXACT)
    assert all(tested.count(promise) >= 2 for promise in PROMISES)


def test_what_one_account_broke_is_not_said_of_another(ledger: Engine) -> None:
    tamper(ledger, TAMPERINGS["a credit has more left"].statement)

    assert {finding.account for finding in verify(ledger)} == {"default"}
    assert verify(ledger, ["shanghai", "untracked"]) == []


def test_a_thoroughly_broken_account_does_not_flood_its_reader(engine: Engine) -> None:
    record_and_post(engine, *(an_event(f"call-{number}", output=number) for number in range(MOST_FINDINGS + 20)))
    tamper(engine, "DELETE FROM identity")

    assert len(verify(engine)) == MOST_FINDINGS


def test_its_work_grows_with_the_ledger_and_not_with_its_square(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.set_progress_handler(count, 100)

    work = []
    for size in (300, 1_200):
        record_and_post(engine, *(an_event(f"{size}-{number}", account=f"of {size}") for number in range(size)))
        steps[0] = 0
        assert verify(engine, [f"of {size}"]) == []
        work.append(steps[0])
    engine.dispose()

    assert work[1] < 8 * work[0], "4 times the calls are some 4 times the work, and not 16 times"
