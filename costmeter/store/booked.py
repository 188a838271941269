"""Charges as they stand in the books, in the order of their account's sequence: what verify replays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from costmeter.core.ledger import Deduction, Split
from costmeter.store.charges import CHUNK, PRICE, deductions_of
from costmeter.store.events import POSTED, StoredEvent, of_one_event, posted_event
from costmeter.store.tables import ChargeRow, EventRow

_SAID = ("revision", "supersedes", "sign", "billing_month", "adjusts", "currency", "edition")
_PRICE = (*PRICE, "flags")
_PARTS = ("granted", "topped_up", "overdraft", "untracked")
_COLUMNS = [ChargeRow.__table__.columns[name] for name in ("seq", *_SAID, *_PARTS, *_PRICE)]
_EVENT, _PRICED = len(POSTED), len(POSTED) + 1 + len(_SAID) + len(_PARTS)


class Booked(NamedTuple):
    """One row of a charge: its event, what it says of its price, and how it was paid.

    `price` are the columns that the event and its edition decide, as they are stored.
    """

    seq: int
    revision: int
    supersedes: int | None
    sign: int
    billing_month: str
    adjusts: str | None
    currency: str
    edition: str
    stored: StoredEvent
    split: Split
    price: dict[str, Any]

    @property
    def cost(self) -> int | None:
        cost: int | None = self.price["cost"]
        return cost

    @property
    def event_id(self) -> str:
        return self.stored.event.event_id or ""

    @property
    def completed_at(self) -> datetime:
        return self.stored.event.completed_at


def booked(connection: Connection, account: str, *, after: int) -> Iterator[Booked]:
    """The charges of an account with a greater number than this, reversals included, in the order of their numbers."""
    query = (
        select(*POSTED, *_COLUMNS)
        .join(ChargeRow, of_one_event(EventRow, ChargeRow))
        .where(ChargeRow.account == account, ChargeRow.seq > after)
        .order_by(ChargeRow.seq)
    )
    for rows in connection.execute(query, execution_options={"yield_per": CHUNK}).partitions():
        paid = deductions_of(connection, account, rows)
        for row in rows:
            yield _booked(row, paid.get((row.event_key, row.revision), ()))


def _booked(row: Row[Any], paid: Sequence[tuple[int, str, int]]) -> Booked:
    (
        seq, revision, supersedes, sign, month, adjusts, currency, edition, granted, topped_up, overdraft, untracked,
    ) = row[_EVENT:_PRICED]  # fmt: skip
    split = Split(granted, topped_up, overdraft, untracked, tuple([Deduction(*deduction) for deduction in paid]))
    price = dict(zip(_PRICE, row[_PRICED:], strict=True))
    stored = posted_event(row[:_EVENT])
    return Booked(seq, revision, supersedes, sign, month, adjusts, currency, edition, stored, split, price)
