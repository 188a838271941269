"""Judge calls: which are new, which are duplicates of what is recorded, and which contradict it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from costmeter.core.errors import ConflictError
from costmeter.core.events import OK, UNMETERED, UsageEvent
from costmeter.store import detached, events
from costmeter.store.events import Identity, StoredEvent
from costmeter.store.keys import identity_key, new_keys


class Candidate(NamedTuple):
    """A readable event with the identities that tell whether it is known."""

    event: UsageEvent
    identities: tuple[Identity, ...]  # by what names it, and by its response where that is another
    named_by: str  # event, response or content


def judge_calls(connection: Connection, candidates: Sequence[Candidate]) -> Desk:
    """What becomes of each candidate, with its identities written.

    Nearly always all are new, and writing their identities says so without a look-up. Where one of them is not, or
    candidates contradict each other, that is taken back, and they are judged again by what is recorded.
    """
    desk = Desk({}, {}, candidates)
    if not any(isinstance(verdict, ConflictError) for verdict in desk.verdicts):
        as_before = connection.begin_nested()
        try:
            events.add_identities(connection, desk.identities)
        except IntegrityError:  # alone: after others the transaction may be gone, and going back to here hides why
            as_before.rollback()
        else:
            as_before.commit()
            return desk
    known = _known(connection, candidates)
    wanted = {identity for candidate in candidates for identity in candidate.identities}
    desk = Desk(known, detached.completions(connection, wanted - known.keys()), candidates)
    events.add_identities(connection, desk.identities)
    return desk


def _known(connection: Connection, candidates: Sequence[Candidate]) -> dict[Identity, StoredEvent]:
    """What is recorded under the identities of candidates; of unmetered calls also what measured them."""
    known = events.known(connection, {identity for candidate in candidates for identity in candidate.identities})
    unmetered = [stored for stored in known.values() if stored.event.status == UNMETERED]
    return known | events.known(connection, {_measured_identity(stored) for stored in unmetered})


class Desk:
    """Judges candidates against what is known and against each other: `verdicts` has True for a new event, False for a
    duplicate."""

    def __init__(
        self, known: dict[Identity, StoredEvent], away: dict[Identity, datetime], candidates: Sequence[Candidate]
    ) -> None:
        self._known, self._away, self._keys = known, away, iter(new_keys(len(candidates)))
        self.events: list[StoredEvent] = []
        self.identities: list[tuple[Identity, StoredEvent]] = []
        self.supersedes: dict[bytes, StoredEvent] = {}
        self.verdicts = [self._judge(candidate) for candidate in candidates]

    def _judge(self, candidate: Candidate) -> bool | ConflictError:
        own = candidate.identities
        if self._away and (away := [self._away[identity] for identity in own if identity in self._away]):
            return detached.judge(candidate.event, away[0])
        if self._known.keys().isdisjoint(own):
            return self._add(candidate, own)
        firsts = [self._known[identity] for identity in own if identity in self._known]
        waiting = [first for first in firsts if candidate.event.status == OK and self._waits_for_measurement(first)]
        measured = [_measured_identity(first) for first in waiting]
        settled = [first for first in firsts if first not in waiting]
        if settled:
            verdict = self._compare(candidate, settled[0])
            if verdict is False:
                self._name([*own, *measured], settled[0])  # the second door's id stands for the first's event
            return verdict
        return self._add(candidate, [*own, *measured], waiting)

    def _add(self, candidate: Candidate, names: Sequence[Identity], waiting: Sequence[StoredEvent] = ()) -> bool:
        """A new event, in the place of the unmetered one that it measures."""
        stored = StoredEvent(next(self._keys), candidate.event)
        self.events.append(stored)
        self._name(names, stored)
        if waiting:
            self.supersedes[stored.event_key] = waiting[0]
        return True

    def _waits_for_measurement(self, first: StoredEvent) -> bool:
        return first.event.status == UNMETERED and _measured_identity(first) not in self._known

    def _compare(self, candidate: Candidate, first: StoredEvent) -> bool | ConflictError:
        event = candidate.event
        for known in (first, self._known.get(_measured_identity(first))):
            if known is not None and _is_same(candidate, known.event):
                return False
        by_event_id = candidate.named_by == "event" and candidate.identities[0] in self._known
        field, value = ("event_id", event.event_id) if by_event_id else ("response_id", event.response_id)
        remedy = "was recorded before with other content; the first stands, this one is kept in quarantine"
        return ConflictError(field, value, remedy)

    def _name(self, identities: Sequence[Identity], stored: StoredEvent) -> None:
        for identity in identities:
            if identity not in self._known:
                self._known[identity] = stored
                self.identities.append((identity, stored))


def _is_same(candidate: Candidate, known: UsageEvent) -> bool:
    """Equal content where it comes again by its own id; where two doors saw it, the same response to the same call."""
    event = candidate.event
    if candidate.named_by == "event" and event.event_id == known.event_id:
        return event.content() == known.content()
    other_response = event.response_id and known.response_id and event.response_id != known.response_id
    return not other_response and event.is_same_call(known)


def _measured_identity(first: StoredEvent) -> Identity:
    """Where the measured version of an unmetered call is named."""
    return first.event.account, first.event.provider, identity_key("measured", first.event_key.hex())
