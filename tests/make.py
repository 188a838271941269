"""Small builders for the tests of the ledger: an event, a credit, a posting, and what a database holds afterwards.

Nothing here is random. Unless a test says otherwise, calls are deepseek-chat at the standard prices of March 2025:
0.07 USD per million cache hits, 0.27 per million misses and 1.10 per million output tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from alembic import command
from sqlalchemy import ColumnElement, Engine, func, select

from costmeter.core.money import format_amount, parse_amount
from costmeter.core.periods import parse_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.statements import Usage
from costmeter.prices.read import builtin_book
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.post_charges import post_charges
from costmeter.services.record_calls import Received, Tally, record_calls
from costmeter.store import accounts, balances, schema
from costmeter.store.accounts import Home
from costmeter.store.credits import BookedCredit
from costmeter.store.engine import in_transaction, reading
from costmeter.store.tables import ChargeRow, DeductionRow, EventRow, QuarantineRow, Table

MARCH = "2025-03-03T12:00:00Z"  # a Monday, at standard prices
NOW = "2025-03-10T00:00:00Z"  # when the tests record and post, unless they say otherwise
MILLION = 1_000_000


@cache
def book() -> PriceBook:
    """The built-in price book."""
    return builtin_book()


def usd(text: str) -> int:
    """An amount in units of 10^-12."""
    return parse_amount(text)


def at(text: str) -> datetime:
    """An instant."""
    return parse_instant(text)


def usage(hit: int = 0, miss: int = 0, output: int = 0, **more: Any) -> dict[str, Any]:
    """A usage object in the shape of DeepSeek's chat completions."""
    return {
        "prompt_tokens": hit + miss,
        "prompt_cache_hit_tokens": hit,
        "prompt_cache_miss_tokens": miss,
        "completion_tokens": output,
        "total_tokens": hit + miss + output,
    } | more


def an_event(
    event_id: str | None = "call-1",
    completed_at: str = MARCH,
    *,
    hit: int = 0,
    miss: int = 0,
    output: int = MILLION,
    **more: Any,
) -> dict[str, Any]:
    """A measured call that costs 1.10 USD, in the shape of the contract; None leaves a field out."""
    event = {"event_id": event_id, "model": "deepseek-chat", "completed_at": completed_at}
    event |= {"usage": usage(hit, miss, output)} | more
    return {name: value for name, value in event.items() if value is not None}


def an_unmetered(event_id: str | None = "call-1", completed_at: str = MARCH, **more: Any) -> dict[str, Any]:
    """A call whose usage nobody saw."""
    return an_event(event_id, completed_at, status="unmetered", reason="stream_aborted", **more) | {"usage": None}


def record(
    engine: Engine,
    *bodies: object,
    now: str = NOW,
    home: Home | None = None,
    occurrences: Counter[bytes] | None = None,
) -> Tally:
    """Record bodies as one file or request; they stand at line 1, 2, ..."""
    received = [Received(body, f"line {number}") for number, body in enumerate(bodies, 1)]
    return record_calls(engine, received, now=at(now), book=book(), home=home or Home(), occurrences=occurrences)


def outcome(tally: Tally) -> tuple[int, int, int, int]:
    """Accepted, duplicates, conflicts, quarantined."""
    return tally.accepted, tally.duplicates, tally.conflicts, tally.quarantined


def post(engine: Engine, account: str = "default", now: str = NOW, *, by: PriceBook | None = None) -> int:
    return post_charges(engine, account, book=by or book(), now=at(now))


def record_and_post(engine: Engine, *bodies: dict[str, Any], now: str = NOW, home: Home | None = None) -> None:
    """Record bodies that must all be accepted, and post their accounts."""
    tally = record(engine, *bodies, now=now, home=home)
    assert outcome(tally) == (len(bodies), 0, 0, 0), tally.refusals
    for account in sorted(tally.accounts):
        post(engine, account, now)


def grant(engine: Engine, amount: str, effective_at: str, expires_at: str | None = None, **more: Any) -> BookedCredit:
    return give(engine, "granted", amount, effective_at, expires_at=expires_at, **more)[0]


def top_up(engine: Engine, amount: str, effective_at: str, **more: Any) -> BookedCredit:
    return give(engine, "topped_up", amount, effective_at, **more)[0]


def give(
    engine: Engine,
    kind: str,
    amount: str,
    effective_at: str | None,
    *,
    account: str = "default",
    currency: str | None = None,
    expires_at: str | None = None,
    reference: str | None = None,
    now: str = NOW,
    home: Home | None = None,
) -> tuple[BookedCredit, bool]:
    """Add a credit; also says whether it was booked now."""
    starts, ends = (None if text is None else at(text) for text in (effective_at, expires_at))
    new = NewCredit(account, kind, usd(amount), currency, starts, ends, reference)
    return add_credit(engine, new, by="finance", home=home or Home(), now=at(now))


def balance(engine: Engine, when: str = NOW, account: str = "default") -> tuple[str, str]:
    """The granted and the topped-up balance."""
    with reading(engine) as connection:
        found = balances.balance_at(connection, accounts.get(connection, account), at(when))
    return format_amount(found.granted), format_amount(found.topped_up)


def splits(engine: Engine, account: str = "default") -> dict[str, tuple[str, str, str, str]]:
    """Granted, topped up, overdraft and untracked of each call's charge in force, by event id."""
    parts = (ChargeRow.granted, ChargeRow.topped_up, ChargeRow.overdraft, ChargeRow.untracked)
    query = select(EventRow.event_id, *parts).join(ChargeRow, ChargeRow.event_key == EventRow.event_key)
    with reading(engine) as connection:
        found = connection.execute(query.where(EventRow.account == account).order_by(ChargeRow.seq)).all()
    return {row[0]: tuple(format_amount(part) for part in row[1:]) for row in found}  # type: ignore[misc]  # four parts


def taken_from(engine: Engine, event_id: str) -> list[tuple[int, str]]:
    """The credits that a call's charge in force was paid from, in order, and how much each gave."""
    query = select(DeductionRow.revision, DeductionRow.credit_id, DeductionRow.amount)
    query = query.join(EventRow, DeductionRow.event_key == EventRow.event_key).where(EventRow.event_id == event_id)
    with reading(engine) as connection:
        found = connection.execute(query.order_by(DeductionRow.revision, DeductionRow.ordinal)).all()
        newest = select(func.max(ChargeRow.revision)).join(EventRow, ChargeRow.event_key == EventRow.event_key)
        in_force = connection.scalar(newest.where(EventRow.event_id == event_id))
    return [(credit_id, format_amount(amount)) for revision, credit_id, amount in found if revision == in_force]


def stored_ids(engine: Engine) -> list[str]:
    """The ids of all events, in order of arrival."""
    return [row["event_id"] for row in rows(engine, EventRow, EventRow.event_key)]


def rows(
    engine: Engine, table: type[Table], *order: Any, where: ColumnElement[bool] | None = None
) -> list[dict[str, Any]]:
    """The rows of a table."""
    query = select(*table.__table__.columns).order_by(*order)
    with reading(engine) as connection:
        found = connection.execute(query if where is None else query.where(where))
        return [dict(row) for row in found.mappings()]


def quarantined(engine: Engine) -> list[dict[str, Any]]:
    """What is in quarantine, in the order in which it came."""
    return rows(engine, QuarantineRow, QuarantineRow.place)


def counted(engine: Engine, *tables: type[Table]) -> Sequence[int]:
    """How many rows each table has."""
    return [len(rows(engine, table)) for table in tables]


def set_up_account(engine: Engine, name: str, currency: str = "USD", timezone: str = "UTC", now: str = NOW) -> None:
    """Make an account with its currency and time zone."""
    in_transaction(engine, lambda c: accounts.make_missing(c, [name], Home(currency, timezone), at(now)))


def by_key(usage: Sequence[Usage]) -> dict[tuple[str | None, ...], Mapping[str, int]]:
    """What a statement's usage sums, by everything that it is grouped by."""
    found: dict[tuple[str | None, ...], Mapping[str, int]] = {one[:-1]: one.sums for one in usage}
    assert len(found) == len(usage), "one row for one key"
    return found


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Take the schema back to an older one."""
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
