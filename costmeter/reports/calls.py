"""Calls one by one: what came, what it cost, and how that cost came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, union_all
from sqlalchemy.orm import aliased

from costmeter.core.doubts import CLOCK_OFFSET, clock_doubt
from costmeter.core.errors import InputError, NotFoundError
from costmeter.core.events import PROVIDERS, STATUSES, UsageEvent
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant, month_period
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, price_event
from costmeter.core.secrets import without_secrets
from costmeter.prices.read import read_edition
from costmeter.reports.prices import tariff_shape
from costmeter.store import accounts, charges, editions, events
from costmeter.store.events import StoredEvent, of_one_event, stored_event
from costmeter.store.keys import identity_key
from costmeter.store.scope import dimension
from costmeter.store.tables import ChargeRow, EventRow, PendingRow

UNPOSTED = "unposted"
STATES = (*STATUSES, "unpriced", "provisional", UNPOSTED)  # that calls can be listed by
_AMOUNTS = ("cost", "granted", "topped_up", "overdraft", "untracked", "cache_savings", "off_peak_savings")

# Every call is in one of these: charged for the first time, without usage, or not posted yet.
_WHERE_CALLS_ARE: Mapping[Any, tuple[ColumnElement[bool], ...]] = {
    ChargeRow: (ChargeRow.revision == 1,),
    EventRow: (EventRow.cache_hit_tokens.is_(None),),
    PendingRow: (),
}


class Call(NamedTuple):
    """An event as it is stored, and the columns of its charge in force; None where it has none (yet)."""

    event_key: bytes
    event: UsageEvent
    charge: dict[str, Any] | None


def list_calls(
    connection: Connection,
    account: str,
    *,
    project: str | None = None,
    status: str | None = None,
    month: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    where: Mapping[str, str] | None = None,
    before: bytes | None = None,
    after: bytes | None = None,
    limit: int,
) -> list[Call]:
    """Calls of an account, the last that came first; those that came before or after a call, by its key.

    `status` is one of STATES, `where` has the filters of a report, and of a month are the calls that something was
    booked of in it, or that completed in it and were not charged.
    """
    if status is not None and status not in STATES:
        raise InputError("status", status, f"use one of {', '.join(STATES)}")
    found = accounts.get(connection, account)
    filters = {**(where or {}), **({} if project is None else {"project": project})}
    conditions = [EventRow.account == found.account, *(_names(key, value) for key, value in filters.items())]
    if status is not None:
        conditions.append(_is_in_state(status))
    if month is not None:
        conditions.append(_is_of_month(month, found.timezone))
    bounds = ((start, EventRow.completed_at.__ge__), (end, EventRow.completed_at.__lt__))
    conditions += [compared(bound) for bound, compared in bounds if bound is not None]
    edges = ((before, EventRow.event_key.__lt__), (after, EventRow.event_key.__gt__))
    conditions += [compared(edge) for edge, compared in edges if edge is not None]
    order = EventRow.event_key.desc() if after is None else EventRow.event_key
    query = select(*EventRow.__table__.columns).where(*conditions).order_by(order).limit(limit)
    rows = [stored_event(row) for row in connection.execute(query)]
    return _with_charges(connection, found.account, rows if after is None else rows[::-1])


def calls_until(
    connection: Connection, account: str, end: datetime, *, project: str | None = None, limit: int
) -> list[Call]:
    """The calls of an account that completed last before an instant, the last first.

    What is charged, what left no usage and what waits are each found by an index of their completion: of events there
    is none.
    """
    latest = [
        _latest(row, (row.account == account, row.completed_at < end, *conditions), project).limit(limit).subquery()
        for row, conditions in _WHERE_CALLS_ARE.items()
    ]
    found = union_all(*(select(one) for one in latest)).subquery()
    both = and_(EventRow.event_key == found.c.event_key, EventRow.completed_at == found.c.completed_at)
    query = select(*EventRow.__table__.columns).join(found, both).where(EventRow.account == account)
    query = query.order_by(EventRow.completed_at.desc(), EventRow.event_key.desc()).limit(limit)
    return _with_charges(connection, account, [stored_event(row) for row in connection.execute(query)])


def _latest(row: Any, conditions: Sequence[ColumnElement[bool]], project: str | None) -> Select[Any]:
    """The keys of calls in one table, of one project, those that completed last first."""
    query = select(row.event_key, row.completed_at).where(*conditions)
    if project is not None:
        query = query if row is EventRow else query.join(EventRow, of_one_event(row, EventRow))
        query = query.where(EventRow.project == project)
    return query.order_by(row.completed_at.desc(), row.event_key.desc())


def _names(key: str, value: str) -> ColumnElement[bool]:
    """The condition that a call names this; its band is that of its charge in force."""
    return _is_charged(ChargeRow.band == value) if key == "band" else dimension(key) == value


def _is_in_state(state: str) -> ColumnElement[bool]:
    if state in STATUSES:
        return EventRow.status == state
    if state == UNPOSTED:
        return select(PendingRow.account).where(of_one_event(EventRow, PendingRow)).exists()
    return _is_charged(ChargeRow.status == state)


def _is_charged(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition that a call's charge in force, which is its newest row, meets one."""
    newer = aliased(ChargeRow)
    is_newest = (
        ~select(newer.account).where(of_one_event(EventRow, newer), newer.revision > ChargeRow.revision).exists()
    )
    return select(ChargeRow.account).where(of_one_event(EventRow, ChargeRow), condition, is_newest).exists()


def _is_of_month(month: str, timezone: str) -> ColumnElement[bool]:
    charged = select(ChargeRow.account).where(of_one_event(EventRow, ChargeRow))
    start, end = month_period(month, timezone)
    completed = and_(EventRow.completed_at >= start, EventRow.completed_at < end)
    return or_(charged.where(ChargeRow.billing_month == month).exists(), and_(completed, ~charged.exists()))


def _with_charges(connection: Connection, account: str, found: Sequence[StoredEvent]) -> list[Call]:
    if not found:
        return []
    completions = [stored.event.completed_at for stored in found]
    query = (
        select(*ChargeRow.__table__.columns)
        .where(
            ChargeRow.account == account,
            ChargeRow.event_key.in_([stored.event_key for stored in found]),
            ChargeRow.completed_at.between(min(completions), max(completions)),
        )
        .order_by(ChargeRow.revision)
    )
    newest = {row.event_key: row._asdict() for row in connection.execute(query)}
    return [Call(key, event, newest.get(key)) for key, event in found]


def call_shape(call: Call) -> dict[str, Any]:
    """A call as lists show it: the event's own fields, and its charge in short."""
    event = call.event
    return {
        "event_id": event.event_id,
        "account": event.account,
        "project": event.project,
        "user": event.user,
        "api_key": event.api_key,
        "tags": dict(event.tags),
        "provider": event.provider,
        "model": event.model,
        "requested_model": event.requested_model,
        "response_id": event.response_id,
        "operation_id": event.operation_id,
        "status": event.status,
        "started_at": event.started_at and format_instant(event.started_at),
        "completed_at": format_instant(event.completed_at),
        "usage": event.raw_usage,
        "http_status": event.http_status,
        "error_code": event.error_code,
        "reason": event.reason,
        "detail": dict(event.detail),
        "charge": None if call.charge is None else _charge_shape(call.charge),
    }


def _charge_shape(charge: dict[str, Any]) -> dict[str, Any]:
    amounts = {name: None if charge[name] is None else format_amount(charge[name]) for name in _AMOUNTS}
    texts = {name: charge[name] for name in ("status", "currency", "tariff", "band", "billing_month", "adjusts")}
    flags = charge["flags"].split(",") if charge["flags"] else []
    more = {"revision": charge["revision"], "booked_at": format_instant(charge["booked_at"]), "flags": flags}
    return {**texts, **amounts, **more}


def describe_call(connection: Connection, account: str, event_id: str, book: PriceBook) -> dict[str, Any]:
    """A call with its charge line by line, the tariff with its source, and the deductions that paid it.

    It is priced again by the edition that the charge names: `book` where that is the one. NotFoundError where the
    account has no such call.
    """
    name = accounts.get(connection, account).account
    stored = _known(connection, name, event_id)
    (call,) = _with_charges(connection, name, [stored])
    shape = call_shape(call)
    if call.charge is None:
        return shape
    edition = call.charge["edition"]
    own = _book_of(connection, edition, book)
    priced = price_event(own, call.event, call.charge["currency"])
    is_priced = isinstance(priced, Charge)
    shape["charge"] |= {
        "edition": edition,
        "lines": [line.as_dict() for line in priced.lines] if isinstance(priced, Charge) else [],
        "reason": None if isinstance(priced, Charge) else priced.reason,
        "tariff_in_full": tariff_shape(priced.tariff) if isinstance(priced, Charge) else None,
        "deductions": _deductions(connection, name, call) if is_priced else [],
    }
    return shape


def charge_rows(connection: Connection, account: str, event_id: str) -> list[dict[str, Any]]:
    """How a call was charged, oldest first: a reversal has the sign -1 and negative amounts, and the rows add up."""
    name = accounts.get(connection, account).account
    stored = _known(connection, name, event_id)
    query = select(*ChargeRow.__table__.columns).where(
        ChargeRow.account == name,
        ChargeRow.event_key == stored.event_key,
        ChargeRow.completed_at == stored.event.completed_at,
    )
    rows = connection.execute(query.order_by(ChargeRow.seq, ChargeRow.revision))
    return [{"sign": row.sign, **_charge_shape(row._asdict())} for row in rows]


def doubt_of_clock(connection: Connection, account: str, event_id: str, book: PriceBook) -> dict[str, Any] | None:
    """What another second could change of a call, by the price book of its charge; None where nothing is in doubt."""
    found = accounts.get(connection, account)
    (call,) = _with_charges(connection, found.account, [_known(connection, found.account, event_id)])
    if call.charge is None:
        return None
    own = _book_of(connection, call.charge["edition"], book)
    currency = call.charge["currency"]
    doubt = clock_doubt(own, call.event, price_event(own, call.event, currency), currency, found.timezone)
    if not doubt.flags:
        return None
    offset = call.event.detail[CLOCK_OFFSET]
    return {"flags": list(doubt.flags), "amount": format_amount(doubt.amount), "offset_seconds": str(offset)}


def _book_of(connection: Connection, edition: str, book: PriceBook) -> PriceBook:
    """The price book of an edition: `book` where that is the one."""
    return book if book.edition == edition else read_edition(editions.text_of(connection, edition))


def _deductions(connection: Connection, account: str, call: Call) -> list[dict[str, Any]]:
    assert call.charge is not None
    found = charges.deductions_of(connection, account, [_Key(call.event_key, call.event.completed_at)])
    revision: int = call.charge["revision"]
    return [
        {"credit_id": credit_id, "kind": kind, "amount": format_amount(amount)}
        for credit_id, kind, amount in found.get((call.event_key, revision), ())
    ]


class _Key(NamedTuple):
    event_key: bytes
    completed_at: datetime


def _known(connection: Connection, account: str, event_id: str) -> StoredEvent:
    """The event of an id, or of the key that one without an id is known by."""
    event_id = without_secrets(event_id)
    identities = [(account, provider, identity_key("event", event_id)) for provider in PROVIDERS]
    found = [one for one in events.known(connection, identities).values() if one.event.event_id == event_id]
    if not found:
        raise NotFoundError(f"account {account!r} has no event {event_id!r}")
    return found[0]
