"""What could not be used, and why; nothing that came in is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, text, update

from costmeter.core.errors import InputError, NotFoundError
from costmeter.core.periods import format_instant, parse_instant
from costmeter.store.known import by_then
from costmeter.store.tables import QuarantineRow

OPEN, REPLAYED, DISCARDED = "open", "replayed", "discarded"
STATES = (OPEN, REPLAYED, DISCARDED)
MALFORMED, REFUSED, CONFLICT = "malformed", "refused", "conflict"
KINDS = (REFUSED, MALFORMED, CONFLICT)


class Item(NamedTuple):
    """One thing in quarantine; `body` has known fields only, or hash, size and place of a broken line."""

    account: str
    item: bytes
    kind: str
    field: str | None
    error: str
    event_id: str | None
    completed_at: datetime | None
    billing_month: str
    received_at: datetime
    body: dict[str, Any]
    dropped_fields: int
    place: str
    state: str = OPEN
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """What people and scripts call it by."""
        return self.item.hex()


_COLUMNS = tuple(getattr(QuarantineRow, name) for name in Item._fields)


def add(connection: Connection, items: Sequence[Item]) -> None:
    """Keep the items; one that is there already stays as it was."""
    new = {(item.account, item.item): item for item in items}
    for account in {item.account for item in items}:
        wanted = [key for owner, key in new if owner == account]
        where = (QuarantineRow.account == account, QuarantineRow.item.in_(wanted))
        for key in connection.scalars(select(QuarantineRow.item).where(*where)):
            del new[account, key]
    if new:
        connection.execute(insert(QuarantineRow), [new[key]._asdict() for key in sorted(new)])


def listed(
    connection: Connection, *where: ColumnElement[bool], before: str | None = None, limit: int | None = None
) -> list[Item]:
    """Items, newest first; those after the place of another where it is given."""
    order = (QuarantineRow.received_at.desc(), QuarantineRow.item)
    query = select(*_COLUMNS).where(*where).order_by(*order).limit(limit)
    if before is not None:
        at, item = _placed(before)
        same = and_(QuarantineRow.received_at == at, QuarantineRow.item > item)
        query = query.where(or_(QuarantineRow.received_at < at, same))
    return [Item(*row) for row in connection.execute(query)]


def conditions(*, state: str | None, account: str | None, kind: str | None = None) -> list[ColumnElement[bool]]:
    """The conditions that an item is in a state, of an account and of a kind; None of any is all."""
    asked = ((QuarantineRow.state, state), (QuarantineRow.account, account), (QuarantineRow.kind, kind))
    return [column == value for column, value in asked if value is not None]


def place(item: Item) -> str:
    """Where an item stands in the list."""
    return f"{format_instant(item.received_at)} {item.name}"


def _placed(text: str) -> tuple[datetime, bytes]:
    at, _, name = text.partition(" ")
    try:
        return parse_instant(at), bytes.fromhex(name)
    except (InputError, ValueError):
        raise InputError("cursor", text, "use the next_cursor of the page before") from None


def get(connection: Connection, name: str) -> Item:
    """The item of that name; raises InputError or NotFoundError."""
    try:
        key = bytes.fromhex(name)
    except ValueError:
        raise InputError("item", name, "is no item; see: costmeter quarantine list") from None
    row = connection.execute(select(*_COLUMNS).where(QuarantineRow.item == key)).first()
    if row is None:
        raise NotFoundError(f"no item {name} in quarantine; see: costmeter quarantine list")
    return Item(*row)


def get_open(connection: Connection, name: str) -> Item:
    """The item of that name, about which nothing was decided yet."""
    item = get(connection, name)
    if item.state != OPEN:
        raise InputError("item", name, f"was {item.state} before; see: costmeter quarantine show {name}")
    return item


def decide(connection: Connection, item: Item, state: str, *, at: datetime, by: str, reason: str | None) -> bool:
    """Close an item that is open; False where somebody else has decided meanwhile."""
    decision = {"state": state, "decided_at": at, "decided_by": by, "reason": reason}
    return connection.execute(update(QuarantineRow).where(*_open(item)).values(decision)).rowcount == 1


def refuse_again(connection: Connection, item: Item, field: str, error: str) -> None:
    """Give an item that stays open its present reason."""
    connection.execute(update(QuarantineRow).where(*_open(item)).values({"field": field, "error": error}))


def count(connection: Connection, known_at: datetime | None, *where: ColumnElement[bool]) -> int:
    """How many items wait for somebody, or did so at an instant; a conflict does not, since its first is booked."""
    waits = QuarantineRow.state == OPEN
    if known_at is not None:
        waits = or_(waits, QuarantineRow.decided_at > known_at)
    conditions = [waits, QuarantineRow.kind != CONFLICT, *by_then(QuarantineRow.received_at, known_at)]
    return connection.scalar(select(func.count()).select_from(QuarantineRow).where(*conditions, *where)) or 0


def decided_at(connection: Connection, instant: datetime, account: str | None, *, limit: int) -> list[Item]:
    """The items that were decided on at an instant, of an account or of all, newest first."""
    decided = (QuarantineRow.decided_at == instant, *conditions(state=None, account=account))
    return listed(connection, *decided, limit=limit)


def open_by_kind(connection: Connection, account: str | None) -> dict[str, tuple[int, datetime]]:
    """How many items of each kind are open, of an account or of all, and since when the oldest of them is."""
    query = select(QuarantineRow.kind, func.count(), func.min(QuarantineRow.received_at)).group_by(QuarantineRow.kind)
    found = connection.execute(query.where(text("quarantine.state = 'open'"), *conditions(state=None, account=account)))
    return {kind: (count, since) for kind, count, since in found}


def _open(item: Item) -> tuple[ColumnElement[bool], ...]:
    return QuarantineRow.account == item.account, QuarantineRow.item == item.item, QuarantineRow.state == OPEN
