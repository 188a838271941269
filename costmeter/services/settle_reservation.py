"""Settle reservations: end them and give back what they held, once each; a charge ends that of its call with itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.errors import NotFoundError
from costmeter.core.reservations import RELEASED, SETTLED, Reservation
from costmeter.store import reservations
from costmeter.store.budget_periods import PeriodKey
from costmeter.store.engine import in_transaction
from costmeter.store.keys import identity_key, key_text


class Ended(NamedTuple):
    """A reservation that has ended, and whether it did so now or had before."""

    reservation: Reservation
    is_new: bool


def settle_reservation(engine: Engine, account: str, reservation_id: bytes, *, now: datetime) -> Ended:
    """End a reservation whose spending is over and posted, or is known to come to nothing more.

    One that names its call is settled by its charge, in the transaction that counts it; settled earlier by hand, it
    holds nothing back until then. NotFoundError where there is none of the id.
    """
    return _end(engine, account, reservation_id, SETTLED, now)


def release_reservation(engine: Engine, account: str, reservation_id: bytes, *, now: datetime) -> Ended:
    """End a reservation of which nothing was spent: the call was not made, or failed. NotFoundError as above."""
    return _end(engine, account, reservation_id, RELEASED, now)


def settle_posted(connection: Connection, calls: Mapping[str, Collection[str]], now: datetime) -> Counter[PeriodKey]:
    """End the open reservations of calls, event ids by account, and tell what they hold back of which periods.

    For the poster, in the transaction that counts their charges, before it locks any period; it locks those periods
    with its own, and gives back what they held with what it adds to their spend. So the sum neither dips nor doubles.
    """
    ended = []
    for account in sorted(calls):
        identities = [identity_key("event", event_id) for event_id in calls[account]]
        ended += reservations.settle_calls(connection, account, identities, now)
    return reservations.held_by(ended)


def _end(engine: Engine, account: str, reservation_id: bytes, state: str, now: datetime) -> Ended:
    def end(connection: Connection) -> Ended:
        ended = reservations.end(connection, account, reservation_id, state, now)
        if ended is not None:
            return Ended(ended, is_new=True)
        found = reservations.get(connection, account, reservation_id)
        if found is None:
            remedy = "one that ended is kept for a day"
            raise NotFoundError(f"account {account!r} has no reservation {key_text(reservation_id)}; {remedy}")
        return Ended(found, is_new=False)

    return in_transaction(engine, end)
