"""Record calls: keep each usage event once, tell duplicates and conflicts apart, and lose nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.errors import ConflictError, InputError
from costmeter.core.events import (
    DEFAULT_ACCOUNT,
    FAILED,
    FUTURE,
    UNMETERED,
    UsageEvent,
    check_account,
    digest,
    known_fields,
    read_event,
)
from costmeter.core.periods import format_instant, month_of, parse_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Unpriced, price_event
from costmeter.core.secrets import without_secrets
from costmeter.services.judge_calls import Candidate, judge_calls
from costmeter.store import accounts, events, quarantine
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction
from costmeter.store.events import Identity, StoredEvent
from costmeter.store.keys import identity_key, key_text


class Broken(NamedTuple):
    """A line that is no JSON: never its text, which could hold a prompt or a key."""

    sha256: str
    size: int
    error: str


class Received(NamedTuple):
    """One thing that came in: a body, or what is known of a broken line, and where it stood."""

    body: object
    place: str = ""


class Refusal(NamedTuple):
    """Why one thing was not accepted."""

    place: str
    kind: str
    error: str


@dataclass
class Tally:
    """What became of what came in. The first four counts add up to it; the others are parts of `accepted`."""

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    unpriced: int = 0
    unmetered: int = 0
    failed: int = 0
    without_id: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    accounts: set[str] = field(default_factory=set)
    events: list[StoredEvent] = field(default_factory=list)  # those that were accepted; a total has none

    def counts(self) -> dict[str, int]:
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}

    def include(self, other: Tally) -> None:
        for name, value in other.counts().items():
            setattr(self, name, getattr(self, name) + value)
        self.refusals += other.refusals
        self.accounts |= other.accounts


def record_calls(
    engine: Engine,
    received: Sequence[Received],
    *,
    now: datetime,
    book: PriceBook,
    home: Home,
    occurrences: Counter[bytes] | None = None,
) -> Tally:
    """Record what came in, in one transaction; the result is known when it returns.

    A call that is there already is a duplicate and a success; the same id with other content is a conflict, kept in
    quarantine beside what cannot be read. `occurrences` counts equal events without an id: pass one counter for all
    parts of a file or request, so that two equal calls in it are two, and the file sent twice is once.
    """
    seen = Counter() if occurrences is None else occurrences
    (tally,) = _record_all(engine, [_read(received, now, seen)], now, book, home)
    return tally


def record_together(
    engine: Engine, requests: Sequence[Sequence[Received]], *, now: datetime, book: PriceBook, home: Home
) -> list[Tally]:
    """Record what came in by several requests in one transaction, each with a result of its own."""
    return _record_all(engine, [_read(received, now, Counter()) for received in requests], now, book, home)


class _Request(NamedTuple):
    """What came in together: what can be judged, and what cannot be read."""

    candidates: list[tuple[Received, Candidate]]
    items: list[tuple[Received, quarantine.Item]]


def _read(received: Sequence[Received], now: datetime, seen: Counter[bytes]) -> _Request:
    request = _Request([], [])
    for one in received:
        try:
            request.candidates.append((one, _candidate(one, now, seen)))
        except InputError as error:
            request.items.append((one, _item(one, error, now, seen)))
    return request


def _record_all(
    engine: Engine, requests: Sequence[_Request], now: datetime, book: PriceBook, home: Home
) -> list[Tally]:
    return in_transaction(engine, lambda c: _record(c, requests, now=now, book=book, home=home))


def _record(
    connection: Connection, requests: Sequence[_Request], *, now: datetime, book: PriceBook, home: Home
) -> list[Tally]:
    candidates = [one for request in requests for one in request.candidates]
    items = [one for request in requests for one in request.items]
    homes = _homes(connection, candidates, items, home, now)
    kept = [_in_month(item, homes.get(item.account, home).timezone) for _, item in items]
    desk = judge_calls(connection, [candidate for _, candidate in candidates])
    verdicts, added, tallies = iter(desk.verdicts), iter(desk.events), []
    for request in requests:
        refusals = [Refusal(one.place, item.kind, item.error) for one, item in request.items]
        tally = Tally(quarantined=len(request.items), refusals=refusals)
        for (one, candidate), verdict in zip(request.candidates, verdicts, strict=False):
            own = homes[candidate.event.account]
            if isinstance(verdict, ConflictError):
                tally.conflicts += 1
                tally.refusals.append(Refusal(one.place, quarantine.CONFLICT, str(verdict)))
                kept.append(_conflict(one, candidate.event, verdict, now=now, zone=own.timezone))
            elif verdict:
                tally.events.append(next(added))
                _count(tally, candidate, book, own.currency)
            else:
                tally.duplicates += 1
                tally.accounts.add(candidate.event.account)
        tallies.append(tally)
    events.add(connection, desk.events, desk.supersedes, now)
    quarantine.add(connection, kept)
    return tallies


def _homes(
    connection: Connection,
    candidates: Sequence[tuple[Received, Candidate]],
    items: Sequence[tuple[Received, quarantine.Item]],
    home: Home,
    now: datetime,
) -> dict[str, Home]:
    """Currency and time zone of the accounts that are mentioned; a call makes its account, an unusable one does not."""
    names = {candidate.event.account for _, candidate in candidates}
    mentioned = names | {item.account for _, item in items}
    found = accounts.listed(connection, mentioned)
    if not names <= {account.account for account in found}:
        accounts.make_missing(connection, names, home, now)
        found = accounts.listed(connection, mentioned)
    return {account.account: Home(account.currency, account.timezone) for account in found}


def _candidate(received: Received, now: datetime, seen: Counter[bytes]) -> Candidate:
    if isinstance(received.body, Broken):
        raise InputError("line", received.place, f"is no JSON: {received.body.error}; send it again from its source")
    event = read_event(received.body)
    if event.completed_at > now + FUTURE:
        remedy = (
            f"is more than {FUTURE} ahead of its receipt at {format_instant(now)}; set the clock of its source right"
        )
        raise InputError("completed_at", format_instant(event.completed_at), remedy)
    response_key = identity_key("response", event.response_id) if event.response_id else None
    if event.event_id is not None:
        named_by, key = "event", identity_key("event", event.event_id)
    elif response_key is not None:
        named_by, key = "response", response_key
    else:
        named_by, key = "content", _occurrence(event.content(), seen)
    if event.event_id is None:
        event = _with_id(event, key)
    account, provider = event.account, event.provider
    identities: tuple[Identity, ...] = ((account, provider, key),)
    if response_key is not None and named_by == "event":
        identities = (*identities, (account, provider, response_key))
    return Candidate(event, identities, named_by)


def _with_id(event: UsageEvent, key: bytes) -> UsageEvent:
    return event._replace(event_id=key_text(key))


def _occurrence(content: object, seen: Counter[bytes]) -> bytes:
    """A key of the content and of how often it came before in this file or request."""
    key = digest(content)
    seen[key] += 1
    return digest([key.hex(), seen[key]])


def _count(tally: Tally, candidate: Candidate, book: PriceBook, currency: str) -> None:
    event = candidate.event
    tally.accepted += 1
    tally.accounts.add(event.account)
    tally.without_id += candidate.named_by == "content"
    if event.usage is not None:
        tally.unpriced += type(price_event(book, event, currency)) is Unpriced
    else:
        tally.unmetered += event.status == UNMETERED
        tally.failed += event.status == FAILED


def _item(received: Received, error: InputError, now: datetime, seen: Counter[bytes]) -> quarantine.Item:
    """What is kept of something that cannot be read."""
    if isinstance(received.body, Broken):
        body: dict[str, Any] = received.body._asdict()
        kind, account, completed_at, dropped, event_id = quarantine.MALFORMED, DEFAULT_ACCOUNT, None, 0, None
    else:
        body, dropped = known_fields(received.body)
        kind, event_id = quarantine.REFUSED, body.get("event_id")
        account, completed_at = _readable_account(body), _readable_instant(body, now)
    return quarantine.Item(
        account=account,
        item=_occurrence([kind, body], seen),
        kind=kind,
        field=without_secrets(error.field)[:256],
        error=_without_body(error, body),
        event_id=event_id if isinstance(event_id, str) else None,
        completed_at=completed_at,
        billing_month="",  # of the account's time zone: known once the database is asked
        received_at=now,
        body=body,
        dropped_fields=dropped,
        place=received.place,
    )


def _in_month(item: quarantine.Item, zone: str) -> quarantine.Item:
    return item._replace(billing_month=month_of(item.completed_at or item.received_at, zone))


def _conflict(
    received: Received, event: UsageEvent, error: ConflictError, *, now: datetime, zone: str
) -> quarantine.Item:
    body, dropped = known_fields(received.body)
    return quarantine.Item(
        account=event.account,
        item=digest([quarantine.CONFLICT, body]),
        kind=quarantine.CONFLICT,
        field=error.field,
        error=str(error),
        event_id=event.event_id,
        completed_at=event.completed_at,
        billing_month=month_of(event.completed_at, zone),
        received_at=now,
        body=body,
        dropped_fields=dropped,
        place=received.place,
    )


def _without_body(error: InputError, body: dict[str, Any]) -> str:
    """The error's text; without its value where that is the text of a field that is not kept."""
    harmless = not isinstance(error.value, str | list | dict) or error.field.split(".")[0] in {*body, "line"} - {
        "usage"
    }
    return without_secrets(str(error) if harmless else f"{error.field}: {error.remedy}")


def _readable_account(body: dict[str, Any]) -> str:
    try:
        return check_account(body.get("account", DEFAULT_ACCOUNT))
    except InputError:
        return DEFAULT_ACCOUNT


def _readable_instant(body: dict[str, Any], now: datetime) -> datetime | None:
    """The completion as far as it can be read and stored; one far in the future counts by its receipt."""
    try:
        instant = parse_instant(body.get("completed_at"))
    except InputError:
        return None
    return instant if instant <= now + FUTURE else None
