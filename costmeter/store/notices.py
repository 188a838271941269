"""The outbox: notices that are on no way yet, and the deliveries of those that are.

What is to be told stands here before anybody is told, and leaves only by being accepted or given up. A delivery is
claimed by moving the instant at which it is due: whoever moves it has it until then, and if that is nobody's any more
by then, as its process was killed, it is due again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from costmeter.core.deliveries import ACCEPTED, GIVEN_UP, WAITING
from costmeter.core.notices import Message, Notice
from costmeter.store.alert_tables import DELIVERY_WAITS, NOTICE_UNROUTED, DeliveryRow, NoticeRow
from costmeter.store.keys import key_text


class Unrouted(NamedTuple):
    """A notice that nobody has decided about yet; without `channels` it is for all of them."""

    key: bytes
    notice: Notice
    channels: Sequence[str] | None


class Delivery(NamedTuple):
    """A notice on its way through a channel, as it stands."""

    account: str
    notice_id: bytes
    channel: str
    state: str
    attempts: int
    due_at: datetime
    error: str | None
    ended_at: datetime | None


class Listed(NamedTuple):
    """A delivery with what it tells of."""

    delivery: Delivery
    kind: str
    event: str
    title: str
    created_at: datetime


_COLUMNS = tuple(getattr(DeliveryRow, name) for name in Delivery._fields)
_OF_NOTICE = (DeliveryRow.account == NoticeRow.account) & (DeliveryRow.notice_id == NoticeRow.notice_id)


def unrouted(connection: Connection, limit: int) -> list[Unrouted]:
    """The oldest notices that are on no way yet."""
    told = (NoticeRow.kind, NoticeRow.event, NoticeRow.subject, NoticeRow.facts, NoticeRow.created_at)
    query = select(NoticeRow.account, NoticeRow.notice_id, *told, NoticeRow.channels).where(NOTICE_UNROUTED)
    rows = connection.execute(query.order_by(NoticeRow.created_at, NoticeRow.notice_id).limit(limit))
    return [Unrouted(key, Notice(name, key_text(key), *rest), channels) for name, key, *rest, channels in rows]


def route(
    connection: Connection, found: Unrouted, message: Message, refused: Mapping[str, str | None], now: datetime
) -> bool:
    """Put a notice on its way through channels, each with why it cannot be told there, or None; False where it is."""
    mine = (NoticeRow.account == found.notice.account, NoticeRow.notice_id == found.key)
    kept = update(NoticeRow).where(*mine, NOTICE_UNROUTED)
    kept = kept.values(routed_at=now, message=msgspec.to_builtins(message))
    if connection.execute(kept).rowcount == 0:
        return False
    key = {"account": found.notice.account, "notice_id": found.key, "attempts": 0, "due_at": now}
    rows = [
        {**key, "channel": channel, "state": WAITING, "error": None, "ended_at": None}
        if error is None
        else {**key, "channel": channel, "state": GIVEN_UP, "error": error, "ended_at": now}
        for channel, error in refused.items()
    ]
    if rows:
        connection.execute(insert(DeliveryRow), rows)
    return True


def due(connection: Connection, now: datetime, limit: int) -> list[Delivery]:
    """The deliveries that are to be tried, those that waited longest first."""
    query = select(*_COLUMNS).where(DELIVERY_WAITS, DeliveryRow.due_at <= now)
    query = query.order_by(DeliveryRow.due_at, DeliveryRow.notice_id, DeliveryRow.channel).limit(limit)
    return [Delivery(*row) for row in connection.execute(query)]


def claim(connection: Connection, found: Delivery, until: datetime) -> Delivery | None:
    """The delivery as an attempt of ours until an instant; None where another one was quicker."""
    seen: tuple[Any, ...] = (*_is(found), DELIVERY_WAITS, DeliveryRow.due_at == found.due_at)
    claimed = update(DeliveryRow).where(*seen).values(due_at=until, attempts=DeliveryRow.attempts + 1)
    row = connection.execute(claimed.returning(*_COLUMNS)).one_or_none()
    return None if row is None else Delivery(*row)


def message_of(connection: Connection, found: Delivery) -> Message:
    """What a delivery tells."""
    where = (NoticeRow.account == found.account, NoticeRow.notice_id == found.notice_id)
    return msgspec.convert(connection.scalar(select(NoticeRow.message).where(*where)), Message)


def accept(connection: Connection, claimed: Delivery, now: datetime) -> None:
    """The receiver has it, whoever has claimed it meanwhile."""
    ended = {"state": ACCEPTED, "due_at": now, "error": None, "ended_at": now}
    connection.execute(update(DeliveryRow).where(*_is(claimed), DeliveryRow.state != ACCEPTED).values(ended))


def put_off(connection: Connection, claimed: Delivery, due_at: datetime, error: str) -> None:
    """It is tried again at an instant, unless another one has claimed it meanwhile."""
    connection.execute(update(DeliveryRow).where(*_claimed(claimed)).values(due_at=due_at, error=error))


def let_rest(connection: Connection, channel: str, now: datetime, until: datetime) -> None:
    """What is due of a channel waits until an instant, and no attempt is counted."""
    due = (DeliveryRow.channel == channel, DELIVERY_WAITS, DeliveryRow.due_at <= now)
    connection.execute(update(DeliveryRow).where(*due).values(due_at=until))


def give_up(connection: Connection, claimed: Delivery, now: datetime, error: str) -> bool:
    """It is tried no more; False where another one has claimed it meanwhile."""
    ended = {"state": GIVEN_UP, "due_at": now, "error": error, "ended_at": now}
    return connection.execute(update(DeliveryRow).where(*_claimed(claimed)).values(ended)).rowcount == 1


def try_again(connection: Connection, now: datetime, *, channel: str | None, notice_id: bytes | None) -> int:
    """Let what was given up be tried as if it were new, of one channel or notice or all; how many these are."""
    anew = {"state": WAITING, "attempts": 0, "due_at": now, "ended_at": None}
    return connection.execute(update(DeliveryRow).where(*_given_up(channel, notice_id)).values(anew)).rowcount


def listed(
    connection: Connection,
    state: str | None = None,
    accounts: Collection[str] | None = None,
    *,
    first: int = 0,
    limit: int,
) -> list[Listed]:
    """The deliveries of the newest notices, in a state or in any, from the `first` (0) on."""
    title = NoticeRow.message["title"].as_string()
    told = (NoticeRow.kind, NoticeRow.event, title, NoticeRow.created_at)
    query = select(*_COLUMNS, *told).join(NoticeRow, _OF_NOTICE)
    query = query.order_by(DeliveryRow.notice_id.desc(), DeliveryRow.channel).offset(first).limit(limit)
    if state is not None:
        query = query.where(DeliveryRow.state == state)
    if accounts is not None:
        query = query.where(DeliveryRow.account.in_(accounts))
    width = len(_COLUMNS)
    return [Listed(Delivery(*row[:width]), *row[width:]) for row in connection.execute(query)]


def count_given_up(connection: Connection, *, channel: str | None, notice_id: bytes | None) -> int:
    """How many deliveries `try_again` would let be tried."""
    return connection.scalar(select(func.count()).where(*_given_up(channel, notice_id))) or 0


def given_up_since(connection: Connection, instant: datetime) -> dict[str, int]:
    """How many deliveries of each channel were given up from an instant on."""
    query = select(DeliveryRow.channel, func.count()).where(
        DeliveryRow.state == GIVEN_UP, DeliveryRow.ended_at >= instant
    )
    return {channel: int(count) for channel, count in connection.execute(query.group_by(DeliveryRow.channel))}


def _given_up(channel: str | None, notice_id: bytes | None) -> list[ColumnElement[bool]]:
    some = [DeliveryRow.state == GIVEN_UP]
    some += [] if channel is None else [DeliveryRow.channel == channel]
    return some + ([] if notice_id is None else [DeliveryRow.notice_id == notice_id])


def _is(found: Delivery) -> tuple[ColumnElement[bool], ...]:
    return (
        DeliveryRow.account == found.account,
        DeliveryRow.notice_id == found.notice_id,
        DeliveryRow.channel == found.channel,
    )


def _claimed(claimed: Delivery) -> tuple[Any, ...]:
    """The condition that the claim is still ours."""
    return (*_is(claimed), DELIVERY_WAITS, DeliveryRow.due_at == claimed.due_at)
