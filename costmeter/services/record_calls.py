"""Record calls: keep each usage event once, tell duplicates and conflicts apart, and lose nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.errors import ConflictError, InputError
from costmeter.core.events import (
    DEFAULT_ACCOUNT,
    FAILED,
    FUTURE,
    OK,
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
from costmeter.store import accounts, detached, events, quarantine
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction
from costmeter.store.events import Identity, StoredEvent
from costmeter.store.keys import identity_key, key_text, new_key


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

    def counts(self) -> dict[str, int]:
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}

    def include(self, other: Tally) -> None:
        for name, value in other.counts().items():
            setattr(self, name, getattr(self, name) + value)
        self.refusals += other.refusals
        self.accounts |= other.accounts


class _Candidate(NamedTuple):
    """A readable event with the identities that tell whether it is known."""

    received: Received
    event: UsageEvent
    identity: Identity
    response_identity: Identity | None
    named_by: str  # event, response or content


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
    candidates: list[_Candidate] = []
    items: list[tuple[Received, quarantine.Item]] = []
    for one in received:
        try:
            candidates.append(_candidate(one, now, seen))
        except InputError as error:
            items.append((one, _item(one, error, now, seen)))
    return in_transaction(engine, lambda c: _record(c, candidates, items, now=now, book=book, home=home))


def _record(
    connection: Connection,
    candidates: Sequence[_Candidate],
    items: Sequence[tuple[Received, quarantine.Item]],
    *,
    now: datetime,
    book: PriceBook,
    home: Home,
) -> Tally:
    tally = Tally(quarantined=len(items), refusals=[Refusal(r.place, i.kind, i.error) for r, i in items])
    names = {candidate.event.account for candidate in candidates}
    accounts.make_missing(connection, names, home, now)
    mentioned = names | {item.account for _, item in items}
    homes = {
        account.account: Home(account.currency, account.timezone) for account in accounts.listed(connection, mentioned)
    }
    desk = _Desk(connection, candidates)
    kept = [_in_month(item, homes.get(item.account, home).timezone) for _, item in items]
    for candidate in candidates:
        verdict = desk.judge(candidate)
        if isinstance(verdict, ConflictError):
            tally.conflicts += 1
            tally.refusals.append(Refusal(candidate.received.place, quarantine.CONFLICT, str(verdict)))
            kept.append(_conflict(candidate, verdict, now, homes[candidate.event.account].timezone))
        elif verdict:
            _count(tally, candidate, book, homes[candidate.event.account].currency)
        else:
            tally.duplicates += 1
            tally.accounts.add(candidate.event.account)
    desk.write(now)
    quarantine.add(connection, kept)
    return tally


class _Desk:
    """Judges candidates against what is recorded and against each other, and then writes the new ones."""

    def __init__(self, connection: Connection, candidates: Sequence[_Candidate]) -> None:
        self._connection = connection
        wanted = {c.identity for c in candidates} | {c.response_identity for c in candidates if c.response_identity}
        self._known = events.known(connection, wanted)
        unmetered = {i: s for i, s in self._known.items() if s.event.status == UNMETERED}
        self._known |= events.known(connection, [_measured_identity(s) for s in unmetered.values()])
        self._away = detached.completions(connection, wanted - self._known.keys())
        self._events: list[StoredEvent] = []
        self._identities: list[tuple[Identity, StoredEvent]] = []
        self._supersedes: dict[bytes, StoredEvent] = {}

    def judge(self, candidate: _Candidate) -> bool | ConflictError:
        """True for a new event, False for a duplicate."""
        own = [identity for identity in (candidate.identity, candidate.response_identity) if identity]
        if away := [self._away[identity] for identity in own if identity in self._away]:
            return detached.judge(candidate.event, away[0])
        firsts = [self._known[identity] for identity in own if identity in self._known]
        waiting = [first for first in firsts if candidate.event.status == OK and self._waits_for_measurement(first)]
        measured = [_measured_identity(first) for first in waiting]
        settled = [first for first in firsts if first not in waiting]
        if settled:
            verdict = self._compare(candidate, settled[0])
            if verdict is False:
                self._name([*own, *measured], settled[0])  # the second door's id stands for the first's event
            return verdict
        stored = StoredEvent(new_key(), candidate.event)
        self._events.append(stored)
        self._name([*own, *measured], stored)
        if waiting:
            self._supersedes[stored.event_key] = waiting[0]
        return True

    def write(self, now: datetime) -> None:
        events.add(self._connection, self._events, self._identities, self._supersedes, now)

    def _waits_for_measurement(self, first: StoredEvent) -> bool:
        return first.event.status == UNMETERED and _measured_identity(first) not in self._known

    def _compare(self, candidate: _Candidate, first: StoredEvent) -> bool | ConflictError:
        event = candidate.event
        for known in (first, self._known.get(_measured_identity(first))):
            if known is not None and _is_same(candidate, known.event):
                return False
        by_event_id = candidate.named_by == "event" and candidate.identity in self._known
        field, value = ("event_id", event.event_id) if by_event_id else ("response_id", event.response_id)
        remedy = "was recorded before with other content; the first stands, this one is kept in quarantine"
        return ConflictError(field, value, remedy)

    def _name(self, identities: Sequence[Identity], stored: StoredEvent) -> None:
        for identity in identities:
            if identity not in self._known:
                self._known[identity] = stored
                self._identities.append((identity, stored))


def _is_same(candidate: _Candidate, known: UsageEvent) -> bool:
    """Equal content where it comes again by its own id; where two doors saw it, the same response to the same call."""
    event = candidate.event
    if candidate.named_by == "event" and event.event_id == known.event_id:
        return event.digest() == known.digest()
    other_response = event.response_id and known.response_id and event.response_id != known.response_id
    return not other_response and event.is_same_call(known)


def _candidate(received: Received, now: datetime, seen: Counter[bytes]) -> _Candidate:
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
    scope = (event.account, event.provider)
    response = (*scope, response_key) if response_key and named_by == "event" else None
    return _Candidate(received, event, (*scope, key), response, named_by)


def _with_id(event: UsageEvent, key: bytes) -> UsageEvent:
    return replace(event, event_id=key_text(key))


def _occurrence(content: object, seen: Counter[bytes]) -> bytes:
    """A key of the content and of how often it came before in this file or request."""
    key = digest(content)
    seen[key] += 1
    return digest([key.hex(), seen[key]])


def _measured_identity(first: StoredEvent) -> Identity:
    """Where the measured version of an unmetered call is named."""
    return first.event.account, first.event.provider, identity_key("measured", first.event_key.hex())


def _count(tally: Tally, candidate: _Candidate, book: PriceBook, currency: str) -> None:
    event = candidate.event
    tally.accepted += 1
    tally.accounts.add(event.account)
    tally.without_id += candidate.named_by == "content"
    tally.unmetered += event.status == UNMETERED
    tally.failed += event.status == FAILED
    if event.usage is not None:
        priced = price_event(book, event, currency)
        tally.unpriced += isinstance(priced, Unpriced)


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


def _conflict(candidate: _Candidate, error: ConflictError, now: datetime, zone: str) -> quarantine.Item:
    body, dropped = known_fields(candidate.received.body)
    event = candidate.event
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
        place=candidate.received.place,
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
