"""The promises that a query can check: what each of them finds breaks one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, case, func, select

from costmeter.store.checkpoints import Checkpoint
from costmeter.store.events import of_one_event
from costmeter.store.tables import ChargeRow, DeductionRow, EventRow, IdentityRow, PendingRow


class Check(NamedTuple):
    """A query that finds what breaks a promise; `newer` limits it to what came after a checkpoint.

    Without `newer` it has no order to be limited by, and is asked in full runs only.
    """

    promise: int
    what: str
    query: Select[Any]
    newer: Callable[[Checkpoint], Sequence[ColumnElement[bool]]] | None


def _newer_events(since: Checkpoint) -> list[ColumnElement[bool]]:
    return [EventRow.event_key > since.event_key]


def _newer_charges(since: Checkpoint) -> list[ColumnElement[bool]]:
    return [ChargeRow.seq > since.seq]


def _newer_deductions(since: Checkpoint) -> list[ColumnElement[bool]]:
    return [DeductionRow.event_key > since.event_key]


def _all(_: Checkpoint) -> list[ColumnElement[bool]]:
    """Of a table that is small: what waits to be posted."""
    return []


def _same_call(left: Any, right: Any) -> Any:
    return select(right.account).where(of_one_event(left, right))


_MEASURED = EventRow.cache_hit_tokens.is_not(None)
# Later revisions come in pairs, a reversal and a new charge: without the first of a call they add up to nothing.
_COUNTS = case((func.min(ChargeRow.revision) == 1, 1), else_=0)
CHECKS = (
    # Promise 1: each identity has its event, each measured call its one charge.
    Check(
        1,
        "an identity has no event",
        select(IdentityRow.event_key).where(~_same_call(IdentityRow, EventRow).exists()),
        None,
    ),
    Check(
        1,
        "a measured call is neither charged nor waiting",
        select(EventRow.event_id).where(
            _MEASURED, ~_same_call(EventRow, ChargeRow).exists(), ~_same_call(EventRow, PendingRow).exists()
        ),
        _newer_events,
    ),
    Check(
        1,
        "a call waits that is charged already",
        select(PendingRow.event_key).where(_same_call(PendingRow, ChargeRow).exists()),
        _all,
    ),
    Check(
        1,
        "what waits is no measured call",
        select(PendingRow.event_key).where(~_same_call(PendingRow, EventRow).where(_MEASURED).exists()),
        _all,
    ),
    Check(
        1,
        "a charge has no measured call",
        select(ChargeRow.event_key).where(~_same_call(ChargeRow, EventRow).where(_MEASURED).exists()),
        _newer_charges,
    ),
    Check(
        1,
        "a call counts other than once",
        select(ChargeRow.event_key)
        .group_by(ChargeRow.event_key, ChargeRow.completed_at)
        .having(func.sum(ChargeRow.sign) != _COUNTS),
        _newer_charges,
    ),
    # Promise 4: what credits gave, they gave for a charge.
    Check(
        4,
        "a deduction pays for no charge",
        select(DeductionRow.event_key).where(
            ~_same_call(DeductionRow, ChargeRow).where(DeductionRow.revision == ChargeRow.revision).exists()
        ),
        _newer_deductions,
    ),
)
