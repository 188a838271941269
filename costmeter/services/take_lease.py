"""Take the scheduler's lease, so that of all schedulers one runs the jobs; and give it back."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.store import leases, runs
from costmeter.store.engine import in_transaction
from costmeter.store.runs import Run


class Taken(NamedTuple):
    """Whether the lease is held, whether that is new, and the runs of a dead owner that are lost by it."""

    is_held: bool
    is_new: bool = False
    lost: tuple[Run, ...] = ()


def take_lease(engine: Engine, owner: str, *, now: datetime, until: datetime) -> Taken:
    """Take or renew the lease until an instant; whoever takes it anew gives up what others left running.

    The clocks of the machines should agree: one that is ahead by more than the lease takes it from a living owner.
    No run is done twice by that, as each instant of a job is one row.
    """

    def take(connection: Connection) -> Taken:
        before = leases.get(connection, now)
        if not leases.take(connection, owner, now=now, until=until):
            return Taken(False)
        if before is not None and before.owner == owner:
            return Taken(True)
        return Taken(True, True, tuple(runs.lose(connection, owner, now)))

    return in_transaction(engine, take)


def give_lease_back(engine: Engine, owner: str, *, now: datetime) -> None:
    """Let the next one take the lease at once."""
    in_transaction(engine, lambda connection: leases.give_back(connection, owner, now))
