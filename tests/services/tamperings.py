"""What may be done to a busy ledger behind costmeter's back, and what verify says of each."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import Engine, text

from costmeter.store.keys import identity_key
from costmeter.store.tables import ChargeRow, EventRow, Table

HUNDREDTH = 10**10  # 0.01 in units
STRANGE_KEY = bytes(range(16))


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
