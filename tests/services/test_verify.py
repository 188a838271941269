"""`verify` finds a busy ledger clean, and names the promise that each tampering behind the triggers' back breaks."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, text

from costmeter.services.verify import MOST_FINDINGS, PROMISES, Finding, verify
from costmeter.store.engine import open_engine
from costmeter.store.keys import identity_key
from costmeter.store.tables import ChargeRow, EntryRow, EventRow, Table
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

HUNDREDTH = 10**10  # 0.01 in units
TEMPLATE = "costmeter_template"  # the database at the newest schema that the shared fixtures make
STRANGE_KEY = bytes(range(16))


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


def tamper(engine: Engine, statement: str, **values: Any) -> None:
    """Run SQL as somebody would who owns the database: without triggers and, on SQLite, without any constraint."""
    if engine.dialect.name == "sqlite":
        assert engine.url.database
        with closing(sqlite3.connect(engine.url.database, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            assert connection.execute(statement, values).rowcount > 0
        return
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        assert connection.execute(text(statement), values).rowcount > 0


def copy_of(table: type[Table], where: str, **replaced: str) -> str:
    """The SQL that inserts a changed copy of a row."""
    names = [column.name for column in table.__table__.columns]
    values = [replaced.get(name, name) for name in names]
    to = table.__table__.name  # type: ignore[attr-defined]  # every model has a table of that name
    return f"INSERT INTO {to} ({', '.join(names)}) SELECT {', '.join(values)} FROM {to} WHERE {where}"


def of(event_id: str, what: str = "event_key") -> str:
    return f"(SELECT {what} FROM usage_event WHERE event_id = '{event_id}' ORDER BY completed_at DESC LIMIT 1)"


class Tampering(NamedTuple):
    """What was done, what breaks by it, and what the finding says."""

    statement: str
    promise: int
    says: str
    values: dict[str, Any] = {}  # noqa: RUF012  never changed


BOTH, TORN = f"event_key = {of('both')}", f"event_key = {of('torn')}"
KIND = "seq = (SELECT max(seq) FROM journal_entry WHERE account = 'default' AND kind = '{}') AND account = 'default'"
FIRST_CREDIT = "account = 'default' AND credit_id = (SELECT min(credit_id) FROM credit WHERE account = 'default')"
TAMPERINGS = {
    "a rollup has more than the journal": Tampering(
        "UPDATE rollup_quarter SET cost_low = cost_low + 1 WHERE account = 'default'", 6, "rollup_quarter has cost"
    ),
    "a rollup's row is gone": Tampering(
        "DELETE FROM rollup_day WHERE account = 'default'", 6, "rollup_day has cost 0 in 2025-03, the journal"
    ),
    "a rollup counts a call too many": Tampering(
        "UPDATE rollup_day SET calls = calls + 1 WHERE account = 'default'", 6, "its charges give"
    ),
    "a rollup of a month has another cost": Tampering(
        "UPDATE rollup_month SET cost_low = cost_low + 1 WHERE account = 'default'", 6, "rollup_month has cost"
    ),
    "a rollup of a month counts a call too many": Tampering(
        "UPDATE rollup_month SET calls = calls + 1 WHERE account = 'default'", 6, "its charges give"
    ),
    "a rollup has another cost of a meter": Tampering(
        "UPDATE rollup_day SET cost_output_low = cost_output_low + 1 WHERE account = 'default'", 6, "its charges give"
    ),
    "a rollup names another project": Tampering(
        "UPDATE rollup_quarter SET project = 'x' WHERE account = 'default'", 6, "rollup_quarter has None in"
    ),
    "an event is deleted": Tampering("DELETE FROM usage_event WHERE event_id = 'half'", 1, "an identity has no event"),
    "a failed call is deleted": Tampering(
        "DELETE FROM usage_event WHERE event_id = 'failed'", 1, "an identity has no event"
    ),
    "an event is there twice": Tampering(
        copy_of(EventRow, "event_id = 'half'", event_key=":key", event_id="'copy'"),
        1,
        "the event id of an event does not stand for it: copy",
        {"key": STRANGE_KEY},
    ),
    "an event is there twice under one id": Tampering(
        copy_of(EventRow, "event_id = 'half'", event_key=":key"),
        1,
        "the event id of an event does not stand for it: half",
        {"key": STRANGE_KEY},
    ),
    "all identities of a call are removed": Tampering(
        f"DELETE FROM identity WHERE {BOTH}", 1, "the event id of an event does not stand for it: both"
    ),
    "one of two identities is removed": Tampering(
        "DELETE FROM identity WHERE identity = :key",
        1,
        "the response id of an event does not stand for it: both",
        {"key": identity_key("response", "r-both")},
    ),
    "an identity is moved to another call": Tampering(
        f"UPDATE identity SET event_key = {of('half')}, completed_at = {of('half', 'completed_at')} "
        "WHERE identity = :key",
        1,
        "the event id of an event does not stand for it: both",
        {"key": identity_key("event", "both")},
    ),
    "a measured call could be measured again": Tampering(
        "DELETE FROM identity WHERE event_key IN (SELECT event_key FROM usage_event WHERE supersedes IS NOT NULL)",
        1,
        "the measured id of an event does not stand for it: torn",
    ),
    "a charged call waits again": Tampering(
        "INSERT INTO pending (account, event_key, completed_at) "
        "SELECT account, event_key, completed_at FROM usage_event WHERE event_id = 'both'",
        1,
        "a call waits that is charged already",
    ),
    "a call without usage waits": Tampering(
        "INSERT INTO pending (account, event_key, completed_at) "
        "SELECT account, event_key, completed_at FROM usage_event WHERE event_id = 'lost'",
        1,
        "what waits is no measured call",
    ),
    "a waiting call is forgotten": Tampering(
        "DELETE FROM pending", 1, "a measured call is neither charged nor waiting: waiting"
    ),
    "a charge is deleted": Tampering(
        f"DELETE FROM charge WHERE {BOTH}", 1, "a measured call is neither charged nor waiting: both"
    ),
    "a charge counts twice": Tampering(
        copy_of(ChargeRow, BOTH, revision="2"), 1, "a call counts other than once: both"
    ),
    "a charge is raised": Tampering(
        f"UPDATE charge SET cost = cost + 1, cost_output = cost_output + 1, topped_up = topped_up + 1 WHERE {BOTH}",
        3,
        "has cost 1100000000001, priced again 1100000000000",
    ),
    "a charge changes its tariff": Tampering(
        f"UPDATE charge SET tariff = 'deepseek-r1/2025-02-26' WHERE {BOTH}", 3, "has tariff deepseek-r1/2025-02-26"
    ),
    "a charge changes its band": Tampering(f"UPDATE charge SET band = 'off_peak' WHERE {BOTH}", 3, "has band off_peak"),
    "a charge becomes provisional": Tampering(
        f"UPDATE charge SET status = 'provisional' WHERE {BOTH}", 3, "has status provisional, priced again priced"
    ),
    "savings are made up": Tampering(
        f"UPDATE charge SET off_peak_savings = 7 WHERE {BOTH}", 3, "has off_peak_savings 7, priced again 0"
    ),
    "a doubt of the clock is hidden": Tampering(
        "UPDATE charge SET flags = NULL WHERE flags IS NOT NULL",
        3,
        "has flags None, priced again clock_near_band,clock_near_month",
    ),
    "a doubt of the clock is made up": Tampering(
        f"UPDATE charge SET flags = 'clock_near_band' WHERE {BOTH}", 3, "has flags clock_near_band, priced again None"
    ),
    "a clock is put right afterwards": Tampering(
        "UPDATE usage_event SET detail = '{}' WHERE event_id = 'first'",
        3,
        "has flags clock_near_band,clock_near_month, priced again None",
    ),
    "an unpriced call is made free": Tampering(
        "UPDATE charge SET status = 'priced', cost = 0, cost_cache_hit = 0, cost_cache_miss = 0, cost_output = 0 "
        "WHERE status = 'unpriced'",
        3,
        "has status priced, priced again unpriced",
    ),
    "tokens are changed": Tampering(
        "UPDATE usage_event SET output_tokens = output_tokens + 1 WHERE event_id = 'half'",
        3,
        "has cost 550000000000, priced again 550001100000",
    ),
    "an edition is rewritten": Tampering(
        "UPDATE price_edition SET text = replace(text, '1.10', '1.11')", 3, "has no price book"
    ),
    "an edition is deleted": Tampering("DELETE FROM price_edition", 3, "has no price book"),
    "a charge is moved from granted to topped up": Tampering(
        f"UPDATE charge SET granted = granted - 1, topped_up = topped_up + 1 WHERE {BOTH}",
        4,
        "of both was not paid in the order of the rules",
    ),
    "overdraft is called untracked": Tampering(
        "UPDATE charge SET untracked = overdraft, overdraft = 0 WHERE overdraft <> 0",
        4,
        "of owed was not paid in the order of the rules",
    ),
    "a deduction is changed": Tampering(
        f"UPDATE deduction SET amount = amount + 1 WHERE {BOTH}", 4, "of both was not paid in the order of the rules"
    ),
    "a deduction is from another credit": Tampering(
        f"UPDATE deduction SET credit_id = credit_id + 1 WHERE {BOTH}",
        4,
        "of both was not paid in the order of the rules",
    ),
    "a deduction is deleted": Tampering(
        f"DELETE FROM deduction WHERE {BOTH} AND kind = 'granted'",
        4,
        "of both was not paid in the order of the rules",
    ),
    "a deduction pays for nothing": Tampering(
        "INSERT INTO deduction SELECT account, event_key, completed_at, 2, 0, credit_id, kind, amount "
        f"FROM deduction WHERE {BOTH} AND kind = 'granted'",
        4,
        "a deduction pays for no charge",
    ),
    "a repayment is changed": Tampering(
        "UPDATE repayment SET amount = amount - 1", 4, "is not what the topped-up credits owed"
    ),
    "an expiry is changed": Tampering(
        "UPDATE expiry SET amount = amount - 1 WHERE amount > 0", 4, "held when it expired"
    ),
    "a credit changes its amount": Tampering(
        f"UPDATE credit SET amount = amount + {HUNDREDTH} WHERE {FIRST_CREDIT}",
        5,
        "are not those that it sealed",
    ),
    "a credit changes its reference": Tampering(
        "UPDATE credit SET reference = 'bribe' WHERE reference = 'gift'", 5, "are not those that it sealed"
    ),
    "a credit comes from nowhere": Tampering(
        "INSERT INTO credit SELECT account, 999, kind, amount, currency, effective_at, expires_at, 'more', booked_at, "
        f"origin FROM credit WHERE {FIRST_CREDIT}",
        5,
        "credit 999 is in no journal entry",
    ),
    "a credit is deleted": Tampering(f"DELETE FROM credit WHERE {FIRST_CREDIT}", 5, "books a credit that is not there"),
    "a repayment comes from nowhere": Tampering(
        "INSERT INTO repayment SELECT account, 999, credit_id, amount, effective_at, booked_at FROM repayment",
        5,
        "repayment 999 is in no journal entry",
    ),
    "a repayment is deleted": Tampering("DELETE FROM repayment", 5, "books a repayment that is not there"),
    "the sequence gets a gap": Tampering(
        f"UPDATE charge SET seq = 999 WHERE {BOTH}", 5, "is missing: the sequence has a gap"
    ),
    "an entry begins elsewhere": Tampering(
        f"UPDATE journal_entry SET first_seq = first_seq - 1 WHERE {KIND.format('charges')}",
        5,
        "the sequence has a gap",
    ),
    "an entry is deleted": Tampering(
        f"DELETE FROM journal_entry WHERE {KIND.format('repayment')}", 5, "the sequence has a gap"
    ),
    "an entry is moved to another month": Tampering(
        f"UPDATE journal_entry SET billing_month = '2025-04' WHERE {KIND.format('repayment')}",
        5,
        "breaks the chain of digests",
    ),
    "an entry changes its currency": Tampering(
        f"UPDATE journal_entry SET currency = 'CNY' WHERE {KIND.format('repayment')}",
        5,
        "is in CNY, the account in USD",
    ),
    "a charge is moved to another month": Tampering(
        f"UPDATE charge SET billing_month = '2025-04' WHERE {BOTH}",
        5,
        "of both stands in 2025-04, its entry in 2025-03, its completion in 2025-03",
    ),
    "a charge adjusts a month that it does not belong to": Tampering(
        f"UPDATE charge SET adjusts = '2025-02' WHERE {BOTH}", 5, "of both stands in 2025-03 adjusting 2025-02"
    ),
    "an account changes its currency": Tampering(
        "UPDATE account SET currency = 'CNY' WHERE account = 'default'", 5, "is in USD, the account in CNY"
    ),
    "an account changes its time zone": Tampering(
        "UPDATE account SET timezone = 'UTC' WHERE account = 'shanghai'",
        5,
        "of night stands in 2025-04, its entry in 2025-04, its completion in 2025-03",
    ),
    "a journal line is removed": Tampering(
        f"DELETE FROM journal_line WHERE journal_account = 'overdraft' AND {KIND.format('repayment')}",
        6,
        "its facts give",
    ),
    "a journal line is changed": Tampering(
        f"UPDATE journal_line SET amount = amount + 1 WHERE {KIND.format('repayment')}", 6, "its facts give"
    ),
    "a journal line stands under no entry": Tampering(
        "INSERT INTO journal_line SELECT account, 999, journal_account, amount FROM journal_line "
        f"WHERE {KIND.format('repayment')}",
        6,
        "stand under entry 999, which is not there",
    ),
    "a credit has more left": Tampering(
        f"UPDATE credit_balance SET remaining = remaining + 1 WHERE {FIRST_CREDIT}", 6, "its facts give CreditBalance"
    ),
    "a credit has not expired": Tampering(
        f"UPDATE credit_balance SET expired = 0 WHERE {FIRST_CREDIT}", 6, "its facts give CreditBalance"
    ),
    "what a credit has is forgotten": Tampering(
        f"DELETE FROM credit_balance WHERE {FIRST_CREDIT}", 6, "is kept as None, its facts give CreditBalance"
    ),
    "an account owes more": Tampering(
        "UPDATE account SET overdraft = 5 WHERE account = 'default'", 6, "the account is kept at"
    ),
    "an account is ahead of its entries": Tampering(
        "UPDATE account SET version = version + 1 WHERE account = 'default'", 6, "the account is kept at"
    ),
    "an account has another chain": Tampering(
        "UPDATE account SET chain = :key WHERE account = 'default'", 6, "the account is kept at", {"key": STRANGE_KEY}
    ),
}
# SQLite keeps what it is given; PostgreSQL's columns refuse these by themselves.
INEXACT = {
    "a text for an amount": ("UPDATE charge SET cost = 'abc' WHERE granted > 0", "3 values of charge.cost "),
    "a part of a unit": (f"UPDATE deduction SET amount = amount + 0.5 WHERE {BOTH}", "2 values of deduction.amount "),
    "an amount past 64 bits": (f"UPDATE credit SET amount = 1e19 WHERE {FIRST_CREDIT}", "1 values of credit.amount "),
    "a text for a count": (
        "UPDATE usage_event SET output_tokens = 'many' WHERE event_id = 'both'",
        "1 values of usage_event.output_tokens ",
    ),
    "a text for an instant": (
        "UPDATE credit SET expires_at = 'soon' WHERE reference = 'gift'",
        "1 values of credit.expires_at ",
    ),
}


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
