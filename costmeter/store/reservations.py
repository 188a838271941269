"""Reservations, and what they hold back of the periods of budgets.

Whoever changes both goes the same way, so that nobody waits in a circle: reservations first, by their id, then
periods, by number and start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    case,
    delete,
    exists,
    false,
    literal_column,
    select,
    update,
)

from costmeter.core.budgets import room
from costmeter.core.events import PROVIDERS
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import format_instant, parse_instant
from costmeter.core.reservations import EXPIRED, OPEN, SETTLED, Hold, Part, Reservation
from costmeter.store.budget_periods import PeriodKey, Spent
from costmeter.store.budget_tables import BudgetPeriodRow, ReservationRow
from costmeter.store.bulk import add_new, listed, probed
from costmeter.store.keys import key_before
from costmeter.store.tables import IdentityRow, PendingRow

_COLUMNS = tuple(getattr(ReservationRow, name) for name in Reservation._fields)
# Written out, not bound: an index of some states serves only a query that says so when it is planned.
_IS_OPEN = ReservationRow.state == literal_column(f"'{OPEN}'")
_STANDS = ReservationRow.state.in_([literal_column(f"'{OPEN}'"), literal_column(f"'{SETTLED}'")])
CHUNK = 5_000  # reservations of one statement: SQLite binds 32,766 values


def add(connection: Connection, reservation: Reservation) -> bool:
    """Keep a reservation; False, and nothing is kept, where its call has one that is open or was settled."""
    row = reservation._asdict() | {"parts": [[*_written(part)] for part in reservation.parts]}
    return add_new(connection, ReservationRow, row)


def get(connection: Connection, account: str, reservation_id: bytes) -> Reservation | None:
    query = select(*_COLUMNS).where(ReservationRow.account == account, ReservationRow.reservation_id == reservation_id)
    row = connection.execute(query).one_or_none()
    return _read(row) if row else None


def of_call(connection: Connection, account: str, identity: bytes) -> Reservation | None:
    """The reservation of a call that is open, or was settled."""
    query = select(*_COLUMNS).where(ReservationRow.account == account, ReservationRow.identity == identity, _STANDS)
    row = connection.execute(query).one_or_none()
    return _read(row) if row else None


def newest(
    connection: Connection, account: str, state: str | None, *, before: bytes | None = None, limit: int
) -> list[Reservation]:
    """The newest reservations of an account, of all states or of one; those older than a given one."""
    query = select(*_COLUMNS).where(ReservationRow.account == account)
    if state is not None:
        query = query.where(ReservationRow.state == state)
    if before is not None:
        query = query.where(ReservationRow.reservation_id < before)
    query = query.order_by(ReservationRow.reservation_id.desc()).limit(limit)
    return [_read(row) for row in connection.execute(query)]


def hold(connection: Connection, account: str, asked: Hold) -> Spent | None:
    """Hold back of a budget's period what is asked for, where it has room; else how the period stands.

    One conditional statement decides, whoever else reserves at the same time. The period's row is made where it is not
    there yet; nobody has spent of it then, or whoever posts would have made it.
    """
    number, starts_at, amount = asked.part
    key = _of_period(account, number, starts_at)
    fits = case(
        (BudgetPeriodRow.room >= amount, BudgetPeriodRow.reserved <= BudgetPeriodRow.room - amount), else_=false()
    )
    taken = update(BudgetPeriodRow).where(key, fits).values(reserved=BudgetPeriodRow.reserved + amount)
    standing = select(BudgetPeriodRow.spent, BudgetPeriodRow.reserved, BudgetPeriodRow.room).where(key)
    while connection.execute(taken).rowcount == 0:
        found = connection.execute(standing).one_or_none()
        if found is None:
            make_period(connection, PeriodKey(account, number, starts_at), room(asked.budget, 0))
        elif found.reserved + amount > found.room:  # not so where somebody gave back in between: then it is tried again
            return Spent(found.spent, found.reserved)
    return None


def hold_anyway(connection: Connection, account: str, part: Part) -> int:
    """Hold back of a period whatever room it has, and say what is reserved then; its row is locked from here on.

    Where that would pass 64 bits nothing is held, and more than there can be is said.
    """
    fits = (_of_period(account, part.number, part.starts_at), BudgetPeriodRow.reserved <= MAX_AMOUNT - part.amount)
    taken = update(BudgetPeriodRow).where(*fits).values(reserved=BudgetPeriodRow.reserved + part.amount)
    reserved: int | None = connection.execute(taken.returning(BudgetPeriodRow.reserved)).scalar_one_or_none()
    return MAX_AMOUNT + 1 if reserved is None else reserved


def end(connection: Connection, account: str, reservation_id: bytes, state: str, now: datetime) -> Reservation | None:
    """End a reservation that is open and give back what it held; None where it is not open."""
    named = and_(ReservationRow.account == account, ReservationRow.reservation_id == reservation_id)
    ended = _end(connection, named, state, now)
    give_back(connection, held_by(ended))
    return ended[0] if ended else None


def settle_calls(
    connection: Connection, account: str, identities: Collection[bytes], now: datetime
) -> list[Reservation]:
    """End the open reservations of calls that are posted; what they held is to be given back in this transaction."""
    query = select(ReservationRow.reservation_id).where(ReservationRow.account == account, _IS_OPEN)
    found = connection.scalars(probed(connection, query, ReservationRow.identity, identities))
    return _end_all(connection, account, sorted(found), SETTLED, now)


def expire(connection: Connection, account: str, now: datetime) -> list[Reservation]:
    """End the reservations of an account that have expired, and give back what they held.

    One whose call is recorded and waits to be posted goes on holding: its charge will end it, and a sum that dipped
    until then could be passed.
    """
    query = select(ReservationRow.reservation_id).where(ReservationRow.account == account, *_has_expired(now))
    expired = _end_all(connection, account, sorted(connection.scalars(query)), EXPIRED, now)
    give_back(connection, held_by(expired))
    return expired


def accounts_with_expired(connection: Connection, now: datetime) -> list[str]:
    """The accounts that have reservations to end, by name."""
    query = select(ReservationRow.account).where(*_has_expired(now)).distinct().order_by(ReservationRow.account)
    return list(connection.scalars(query))


def forget(connection: Connection, account: str, made_before: datetime) -> int:
    """Delete the ended reservations of an account that were made before an instant; returns how many."""
    of_account = (ReservationRow.account == account, ReservationRow.reservation_id < key_before(made_before))
    return connection.execute(delete(ReservationRow).where(*of_account, ReservationRow.state != OPEN)).rowcount


def held_by(reservations: Iterable[Reservation]) -> Counter[PeriodKey]:
    """What reservations hold back of each period, all in all."""
    held: Counter[PeriodKey] = Counter()
    for reservation in reservations:
        for part in reservation.parts:
            held[PeriodKey(reservation.account, part.number, part.starts_at)] += part.amount
    return held


def held_now(connection: Connection, account: str) -> Counter[PeriodKey]:
    """What the open reservations of an account hold back of each period."""
    query = select(*_COLUMNS).where(ReservationRow.account == account, _IS_OPEN)
    return held_by(_read(row) for row in connection.execute(query))


def give_back(connection: Connection, held: Mapping[PeriodKey, int]) -> None:
    """Take what was held back off the periods; one that went with its budget has nothing to be taken off.

    Never below 0: posting must not fail for a sum that can be made again, and `verify` tells of one that is wrong.
    """
    for key in sorted(held):
        less = case((BudgetPeriodRow.reserved >= held[key], BudgetPeriodRow.reserved - held[key]), else_=0)
        connection.execute(update(BudgetPeriodRow).where(_of_period(*key)).values(reserved=less))


def lock_periods(connection: Connection, keys: Sequence[PeriodKey]) -> None:
    """Lock those of the periods that are there, in order; SQLite has locked all with the transaction."""
    if connection.dialect.name == "postgresql" and keys:
        columns = [BudgetPeriodRow.__table__.columns[name] for name in PeriodKey._fields]
        given = listed(connection, columns, [tuple(key) for key in sorted(keys)])
        query = select(BudgetPeriodRow.number).join(given, and_(*(column == given.c[column.key] for column in columns)))
        connection.execute(query.order_by(*columns).with_for_update(of=BudgetPeriodRow))


def save_reserved(connection: Connection, held: Mapping[PeriodKey, int]) -> None:
    """Write what is reserved in periods that are there."""
    for key in sorted(held):
        connection.execute(update(BudgetPeriodRow).where(_of_period(*key)).values(reserved=held[key]))


def make_period(connection: Connection, key: PeriodKey, left: int) -> None:
    """Make the row of a period that nothing is spent of, with this room; nothing where it is there."""
    row = {**key._asdict(), "spent": 0, "room": left, "reserved": 0}
    add_new(connection, BudgetPeriodRow, row)


def _of_period(account: str, number: int, starts_at: datetime) -> Any:
    return and_(
        BudgetPeriodRow.account == account, BudgetPeriodRow.number == number, BudgetPeriodRow.starts_at == starts_at
    )


def _has_expired(now: datetime) -> tuple[Any, ...]:
    waits = exists().where(
        IdentityRow.account == ReservationRow.account,
        IdentityRow.provider.in_(PROVIDERS),
        IdentityRow.identity == ReservationRow.identity,
        PendingRow.account == IdentityRow.account,
        PendingRow.event_key == IdentityRow.event_key,
    )
    return _IS_OPEN, ReservationRow.expires_at <= now, ~waits


def _end_all(
    connection: Connection, account: str, keys: Sequence[bytes], state: str, now: datetime
) -> list[Reservation]:
    """End those of the reservations that are open, locked in the order of their ids."""
    ended: list[Reservation] = []
    for first in range(0, len(keys), CHUNK):
        column = ReservationRow.__table__.columns["reservation_id"]
        given = listed(connection, [column], [(key,) for key in keys[first : first + CHUNK]])
        named = and_(ReservationRow.account == account, column.in_(select(given.c.reservation_id)))
        if connection.dialect.name == "postgresql":
            connection.execute(select(column).where(named, _IS_OPEN).order_by(column).with_for_update())
        ended += _end(connection, named, state, now)
    return ended


def _end(connection: Connection, named: Any, state: str, now: datetime) -> list[Reservation]:
    """End the reservations that are open; of any two who try, one changes the row."""
    ended = update(ReservationRow).where(named, _IS_OPEN).values(state=state, ended_at=now).returning(*_COLUMNS)
    return [_read(row) for row in connection.execute(ended)]


def _written(part: Part) -> tuple[int, str, int]:
    return part.number, format_instant(part.starts_at), part.amount


def _read(row: Any) -> Reservation:
    parts = [Part(number, parse_instant(starts_at), amount) for number, starts_at, amount in row.parts]
    return Reservation(*row)._replace(parts=parts)
