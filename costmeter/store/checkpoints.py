"""How far an account's ledger was verified, and what its purse was there: a projection that can be dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from costmeter.core.ledger import Credit, Purse
from costmeter.store.accounts import NO_CHAIN
from costmeter.store.bulk import among, inserting
from costmeter.store.tables import AccountRow, CheckpointRow

# Keys are made before their commit: what is under way while a ledger is verified may come to stand before its newest.
OVERLAP = 60_000  # milliseconds


class Checkpoint(NamedTuple):
    """An account's ledger up to a number of its sequence, and its events up to a key.

    `newest` is the newest event that was seen, and `event_key` the key from which on they are looked at again.
    """

    seq: int
    chain: bytes
    overdraft: int
    remaining: Mapping[int, int]  # by credit
    expired: Mapping[int, int]
    event_key: bytes
    newest: bytes

    def purse(self, credits: Collection[Credit]) -> Purse:
        """The purse at this point, of the credits that were booked by then."""
        booked = [credit for credit in credits if credit.credit_id <= self.seq]
        return Purse(booked, dict(self.remaining), self.overdraft)

    def as_dict(self) -> dict[str, Any]:
        credits = [[credit_id, left, self.expired[credit_id]] for credit_id, left in self.remaining.items()]
        keys = {name: getattr(self, name).hex() for name in ("chain", "event_key", "newest")}
        return {"seq": self.seq, "overdraft": self.overdraft, "credits": credits, **keys}


START = Checkpoint(0, NO_CHAIN, 0, {}, {}, b"", b"")


def from_dict(state: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        seq=state["seq"],
        chain=bytes.fromhex(state["chain"]),
        overdraft=state["overdraft"],
        remaining={credit_id: remaining for credit_id, remaining, _ in state["credits"]},
        expired={credit_id: expired for credit_id, _, expired in state["credits"]},
        event_key=bytes.fromhex(state["event_key"]),
        newest=bytes.fromhex(state["newest"]),
    )


def get(connection: Connection, account: str) -> Checkpoint | None:
    state = connection.scalar(select(CheckpointRow.state).where(CheckpointRow.account == account))
    return None if state is None else from_dict(state)


class Verified(NamedTuple):
    """When an account was found whole, and how many facts were booked since; no instant where it never was."""

    account: str
    facts: int
    verified_at: datetime | None


def verified(connection: Connection, names: Collection[str] | None = None) -> list[Verified]:
    """How far these accounts were verified, or all; those with the most facts since then first."""
    query = select(AccountRow.account, AccountRow.version, CheckpointRow.seq, CheckpointRow.verified_at)
    query = query.outerjoin(CheckpointRow, CheckpointRow.account == AccountRow.account)
    if names is not None:
        query = query.where(among(connection, AccountRow.account, names))
    found = [Verified(name, max(version - (seq or 0), 0), at) for name, version, seq, at in connection.execute(query)]
    return sorted(found, key=lambda one: (-one.facts, one.account))


def save(connection: Connection, account: str, reached: Checkpoint, now: datetime) -> None:
    moved = {"seq": reached.seq, "state": reached.as_dict(), "verified_at": now}
    statement = inserting(connection, CheckpointRow).values({"account": account, **moved})
    connection.execute(statement.on_conflict_do_update(index_elements=[CheckpointRow.account], set_=moved))


def before(key: bytes) -> bytes:
    """A key of the overlap before this one: what is newer is looked at again."""
    milliseconds = int.from_bytes(key[:6])  # a key begins with the time that it was made at
    return max(milliseconds - OVERLAP, 0).to_bytes(6) + bytes(10)
