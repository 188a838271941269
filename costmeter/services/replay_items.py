"""Replay items of quarantine: send them again, as they were kept, and close those that are accepted now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.errors import InputError
from costmeter.core.events import digest, read_event
from costmeter.core.price_book import PriceBook
from costmeter.core.texts import TEXT_LENGTH, check_said
from costmeter.services.capture import capture
from costmeter.services.record_calls import Received, Refusal, Tally
from costmeter.store import audit, events, quarantine
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction
from costmeter.store.keys import identity_key
from costmeter.store.quarantine import CONFLICT, MALFORMED, REFUSED, REPLAYED, Item
from costmeter.store.tables import QuarantineRow

BATCH = 500
# What these hold is kept as it came. Of a text that was refused only a cleaned part is kept: sent again it would be
# accepted, as something that nobody sent.
_KEPT_WHOLE = {"account", "completed_at", "http_status", "provider", "started_at", "status", "usage"}
PARTLY_KEPT = "only a part of it is kept: correct it at its source and record it again, then discard this item"
_MOST_EQUAL = 10_000


class Outcome(NamedTuple):
    """What became of one item: its state after the replay, and why it is still refused or has become a conflict."""

    item: Item
    state: str
    error: str | None


@dataclass
class Replayed:
    """What became of all of them; `tally` counts what was sent as recording counts it."""

    tally: Tally = field(default_factory=Tally)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def still_open(self) -> int:
        return sum(outcome.state == quarantine.OPEN for outcome in self.outcomes)


def refused_items(connection: Connection, account: str | None = None, *, limit: int | None = None) -> list[Item]:
    """Every open item that can be sent again without a further thought, or so many of the newest: no conflict, and no
    line of which only a hash is kept."""
    conditions = [QuarantineRow.state == quarantine.OPEN, QuarantineRow.kind == REFUSED]
    if account is not None:
        conditions.append(QuarantineRow.account == account)
    return quarantine.listed(connection, *conditions, limit=limit)


def named_items(connection: Connection, names: Sequence[str], event_id: str | None = None) -> list[Item]:
    """The open items of these names; raises InputError or NotFoundError where one of them cannot be sent again.

    `event_id` is for one conflict alone: the id that it is to be recorded by, which no other event may have.
    """
    items = [quarantine.get_open(connection, name) for name in dict.fromkeys(names)]
    for item in items:
        if item.kind == MALFORMED:
            remedy = f"only its hash is kept; correct {item.place} at its source and record it again, then discard this"
            raise InputError("item", item.name, remedy)
    if event_id is not None:
        if len(items) != 1 or items[0].kind != CONFLICT:
            raise InputError("event_id", event_id, "gives one conflict an id of its own; name one, and nothing else")
        event = read_event(_with_own_id(items[0], event_id))
        identity = (event.account, event.provider, identity_key("event", event.event_id or ""))
        known = events.known(connection, [identity]).get(identity)  # itself, where a replay was interrupted
        if event.event_id is None or (known is not None and known.event.content() != event.content()):
            raise InputError("event_id", event_id, "must be an id that no event has yet")
    return items


def replay_items(
    engine: Engine,
    items: Sequence[Item],
    *,
    book: PriceBook,
    home: Home,
    by: str,
    event_id: str | None = None,
    now: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Record the items again and post them; what is accepted, or there already, is closed as replayed.

    What is still refused stays open with its present reason. Recording and closing are two transactions: a replay
    that was interrupted is run again, and finds what it had recorded to be duplicates.
    """
    by, at = check_said(by, "by"), now or datetime.now(UTC)
    partly, whole = _by_wholeness(items)
    replayed, seen = Replayed(Tally(quarantined=len(partly))), Counter[bytes]()
    replayed.outcomes += [Outcome(item, quarantine.OPEN, f"{item.error}; {PARTLY_KEPT}") for item in partly]
    for part in _parts(whole, seen):
        bodies = [_with_own_id(item, event_id) if event_id else item.body for item in part]
        received = [Received(body, _place(item)) for item, body in zip(part, bodies, strict=True)]
        tally = capture(engine, received, book=book, home=home, now=at, occurrences=seen)
        replayed.tally.include(tally)
        refusals = {refusal.place: refusal for refusal in tally.refusals}
        outcomes = [_outcome(item, refusals.get(_place(item))) for item in part]
        in_transaction(engine, partial(_close, outcomes=outcomes, at=at, by=by, event_id=event_id))
        replayed.outcomes += outcomes
        progress(len(part))
    return replayed


def _by_wholeness(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """The items of which only a part is kept, and those that can be sent again."""
    partly: list[Item] = []
    whole: list[Item] = []
    for item in items:
        (whole if item.kind != REFUSED or _is_whole(item) else partly).append(item)
    return partly, whole


def _parts(items: Sequence[Item], seen: Counter[bytes]) -> Iterator[list[Item]]:
    """The items in batches; one that has no id goes alone, under the number that it came with.

    Events without an id are told apart by how often an equal one came before in the same file. Of two equal ones in
    quarantine the second must not be taken for the first, only because it is sent again by itself.
    """
    named, nameless = [], []
    for item in items:
        if content := _content_without_id(item):
            nameless.append((_number(item), item, content))
        else:
            named.append(item)
    for start in range(0, len(named), BATCH):
        yield named[start : start + BATCH]
    for number, item, content in sorted(nameless):
        seen[content] = max(seen[content], number - 1)
        yield [item]


def _content_without_id(item: Item) -> bytes | None:
    """The digest of an event's content where that is all it can be known by."""
    try:
        event = read_event(item.body)
    except InputError:
        return None
    return digest(event.content()) if event.event_id is None and event.response_id is None else None


def _number(item: Item) -> int:
    """How many equal ones had come with an item, itself included: its key was made of its content and that number."""
    content = digest([item.kind, item.body]).hex()
    return next((number for number in range(1, _MOST_EQUAL) if digest([content, number]) == item.item), 1)


def _is_whole(item: Item) -> bool:
    """Whether everything that made the refused event what it was is kept, as far as can be told."""
    root = (item.field or "").split(".")[0]
    texts = [value for value in item.body.values() if isinstance(value, str)]
    tags = item.body.get("tags")
    texts += [text for pair in tags.items() for text in pair if isinstance(text, str)] if isinstance(tags, dict) else []
    was_cut = any(len(text) >= TEXT_LENGTH for text in texts)
    return root in _KEPT_WHOLE and not was_cut and not (isinstance(tags, dict) and root in tags)


def _with_own_id(item: Item, event_id: str) -> dict[str, Any]:
    """The event of a conflict as another call: known by its own id alone; the ids it came with are kept as detail."""
    body = dict(item.body)
    came_with = {name: body.pop(name) for name in ("event_id", "response_id") if body.get(name) is not None}
    detail = body.get("detail")
    kept = detail if isinstance(detail, dict) else {}
    return {**body, "event_id": event_id, "detail": {**kept, "came_with": came_with, "item": item.name}}


def _place(item: Item) -> str:
    return f"quarantine:{item.name}"


def _outcome(item: Item, refusal: Refusal | None) -> Outcome:
    if refusal is None:
        return Outcome(item, REPLAYED, None)
    has_become_conflict = refusal.kind == CONFLICT and item.kind != CONFLICT  # which is an item of its own
    return Outcome(item, REPLAYED if has_become_conflict else quarantine.OPEN, refusal.error)


def _close(connection: Connection, outcomes: Sequence[Outcome], *, at: datetime, by: str, event_id: str | None) -> None:
    for item, state, error in outcomes:
        if state == REPLAYED:
            recorded = f"recorded as event {event_id}" if event_id else None
            reason = f"is a conflict now: {error}" if error else recorded
            if quarantine.decide(connection, item, REPLAYED, at=at, by=by, reason=reason):
                change = {"kind": item.kind, "event_id": event_id or item.event_id}
                audit.add(
                    connection,
                    "quarantine.replay",
                    item.name,
                    change,
                    by=by,
                    at=at,
                    account=item.account,
                    reason=reason,
                )
        elif error:
            field_name = error.partition(" ")[0].rstrip(":")  # an InputError names its field first
            quarantine.refuse_again(connection, item, field_name, error)
