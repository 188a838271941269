"""The promises that a query can check: what each of them finds breaks one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Exists, Select, bindparam, case, func, literal, select, union_all

from costmeter.store.checkpoints import START, Checkpoint
from costmeter.store.events import of_one_event
from costmeter.store.tables import ChargeRow, DeductionRow, EventRow, IdentityRow, PendingRow


class Check(NamedTuple):
    """A query for the keys of events that break a promise; `newer` limits it to what came after a checkpoint.

    Without `newer` it has no order to be limited by, and is asked in full runs only.
    """

    promise: int
    what: str
    query: Select[Any]
    newer: ColumnElement[bool] | None


class Broken(NamedTuple):
    """An event that breaks a promise, and how."""

    promise: int
    what: str
    event_key: bytes


def broken(connection: Connection, account: str, since: Checkpoint, most: int) -> Iterator[Broken]:
    """What of an account breaks a promise among what came after a checkpoint; of each check so many at the most."""
    values = {"of_account": account, "after_seq": since.seq, "after_key": since.event_key, "most": most}
    for number, event_key in connection.execute(_asked(is_full=since == START), values).all():
        yield Broken(CHECKS[number].promise, CHECKS[number].what, event_key)


@cache
def _asked(*, is_full: bool) -> Any:
    """All checks as one statement: a small account's ledger costs hardly more than the statements that look at it."""
    asked = []
    for number, check in enumerate(CHECKS):
        if is_full or check.newer is not None:
            key = check.query.selected_columns[0]
            query = check.query.where(key.table.c.account == bindparam("of_account"))
            limited = query if check.newer is None else query.where(check.newer)
            found = limited.limit(bindparam("most")).subquery()
            asked.append(select(literal(number), found.c[0]))
    return union_all(*asked)


def _has(left: Any, right: Any, *where: ColumnElement[bool]) -> Exists:
    """That a row has one of the same event in another table, looked up by its key.

    OFFSET keeps PostgreSQL from making it a join, which with old statistics compares every row with every other.
    """
    return select(right.account).where(of_one_event(left, right), *where).offset(0).exists()


_AFTER_EVENT = bindparam("after_key", type_=EventRow.event_key.type)
_MEASURED = EventRow.cache_hit_tokens.is_not(None)
_NEWER_CHARGES = ChargeRow.seq > bindparam("after_seq")
_ALL = PendingRow.event_key.is_not(None)  # of a table that is small: what waits to be posted
# Later revisions come in pairs, a reversal and a new charge: without the first of a call they add up to nothing.
_COUNTS = case((func.min(ChargeRow.revision) == 1, 1), else_=0)
CHECKS = (
    # Promise 1: each identity has its event, each measured call its one charge.
    Check(1, "an identity has no event", select(IdentityRow.event_key).where(~_has(IdentityRow, EventRow)), None),
    Check(
        1,
        "a measured call is neither charged nor waiting",
        select(EventRow.event_key).where(_MEASURED, ~_has(EventRow, ChargeRow), ~_has(EventRow, PendingRow)),
        EventRow.event_key > _AFTER_EVENT,
    ),
    Check(
        1,
        "a call waits that is charged already",
        select(PendingRow.event_key).where(_has(PendingRow, ChargeRow)),
        _ALL,
    ),
    Check(
        1,
        "what waits is no measured call",
        select(PendingRow.event_key).where(~_has(PendingRow, EventRow, _MEASURED)),
        _ALL,
    ),
    Check(
        1,
        "a charge has no measured call",
        select(ChargeRow.event_key).where(~_has(ChargeRow, EventRow, _MEASURED)),
        _NEWER_CHARGES,
    ),
    Check(
        1,
        "a call counts other than once",
        select(ChargeRow.event_key)
        .group_by(ChargeRow.event_key, ChargeRow.completed_at)
        .having(func.sum(ChargeRow.sign) != _COUNTS),
        _NEWER_CHARGES,
    ),
    # Promise 4: what credits gave, they gave for a charge.
    Check(
        4,
        "a deduction pays for no charge",
        select(DeductionRow.event_key).where(
            ~_has(DeductionRow, ChargeRow, DeductionRow.revision == ChargeRow.revision)
        ),
        DeductionRow.event_key > _AFTER_EVENT,
    ),
)
