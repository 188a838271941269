"""Charges and the deductions that paid them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from costmeter.core.ledger import Credit, rank
from costmeter.store.bulk import Batch
from costmeter.store.tables import ChargeRow, DeductionRow


def add(batch: Batch, charges: Sequence[dict[str, Any]], deductions: Sequence[dict[str, Any]]) -> None:
    batch.add(ChargeRow, charges)
    batch.add(DeductionRow, deductions)


def first_to_fold_again(
    connection: Connection, account: str, credit: Credit, others: Sequence[Credit]
) -> datetime | None:
    """The earliest completion of a posted call that this credit, had it been known, would have paid or opened.

    That is a call it counts for which was overdrawn or took from a credit behind it, or an untracked call after its
    start, since it moves the opening back.
    """
    mine = ChargeRow.account == account
    counts = [ChargeRow.completed_at >= credit.effective_at]
    if credit.expires_at is not None:
        counts.append(ChargeRow.completed_at < credit.expires_at)
    behind = [other.credit_id for other in others if rank(other) > rank(credit)]
    took = and_(
        DeductionRow.account == ChargeRow.account,
        DeductionRow.event_key == ChargeRow.event_key,
        DeductionRow.completed_at == ChargeRow.completed_at,
        DeductionRow.credit_id.in_(behind),
    )
    untracked = and_(ChargeRow.completed_at >= credit.effective_at, ChargeRow.untracked != 0)
    affected = and_(*counts, or_(ChargeRow.overdraft != 0, select(DeductionRow).where(took).exists()))
    query = select(ChargeRow.completed_at).where(mine, or_(untracked, affected))
    return connection.scalar(query.order_by(ChargeRow.completed_at).limit(1))


def last_completion(connection: Connection, account: str) -> datetime:
    """The latest completion of an account's posted calls, of which there must be one."""
    return connection.scalars(select(func.max(ChargeRow.completed_at)).where(ChargeRow.account == account)).one()
