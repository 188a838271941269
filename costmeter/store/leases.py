"""The scheduler's lease: one conditional statement decides who holds it, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, or_, select, update

from costmeter.core.periods import EPOCH
from costmeter.store.bulk import add_new
from costmeter.store.schedule_tables import LeaseRow

NAME = "scheduler"


class Lease(NamedTuple):
    """Who may run jobs, and until when."""

    owner: str
    expires_at: datetime


def take(connection: Connection, owner: str, *, now: datetime, until: datetime) -> bool:
    """Whether the owner has the lease from now on: it had it, it was free, or it had expired.

    One that ends later than any could was taken by a clock that was ahead, and its owner may be gone: it counts as
    expired too.
    """
    first = {"name": NAME, "owner": None, "expires_at": now}
    add_new(connection, LeaseRow, first)
    is_over = or_(LeaseRow.expires_at <= now, LeaseRow.expires_at > until + (until - now))
    is_ours = or_(LeaseRow.owner == owner, LeaseRow.owner.is_(None), is_over)
    taken = update(LeaseRow).where(LeaseRow.name == NAME, is_ours).values(owner=owner, expires_at=until)
    return connection.execute(taken).rowcount == 1


def lock(connection: Connection, owner: str, now: datetime) -> bool:
    """Whether the owner holds the lease; nobody can take it before this transaction ends."""
    held = update(LeaseRow).where(LeaseRow.name == NAME, LeaseRow.owner == owner, LeaseRow.expires_at > now)
    return connection.execute(held.values(owner=LeaseRow.owner)).rowcount == 1


def give_back(connection: Connection, owner: str, now: datetime) -> None:
    """Free the lease for the next one, if the owner has it."""
    held = update(LeaseRow).where(LeaseRow.name == NAME, LeaseRow.owner == owner)
    connection.execute(held.values(owner=None, expires_at=now))


def hold(connection: Connection, name: str) -> None:
    """Keep out whoever wants to do the same, until this transaction ends."""
    first = {"name": name, "owner": None, "expires_at": EPOCH}
    add_new(connection, LeaseRow, first)
    connection.execute(update(LeaseRow).where(LeaseRow.name == name).values(owner=LeaseRow.owner))


def get(connection: Connection, now: datetime) -> Lease | None:
    """The lease in force; None where no scheduler runs."""
    query = select(LeaseRow.owner, LeaseRow.expires_at)
    row = connection.execute(query.where(LeaseRow.name == NAME, LeaseRow.expires_at > now)).one_or_none()
    return None if row is None or row.owner is None else Lease(row.owner, row.expires_at)
