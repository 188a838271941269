"""What moved an account's balance in a billing month besides calls: credits, corrections, repayments, expiries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, func, select

from costmeter.core.periods import month_of, zone
from costmeter.store.accounts import Account
from costmeter.store.charges import bytewise
from costmeter.store.known import by_then
from costmeter.store.scope import Scope
from costmeter.store.tables import CorrectionRow, CreditRow, CreditVoidRow, EntryRow, ExpiryRow, LineRow, RepaymentRow

OF_CHARGES = ("charges", "fold")  # entries whose lines are the sums of charges


class Movement(NamedTuple):
    """A journal entry that books no charges; `credit` names the credit that it is of, and `origin` says how that came
    about, where it is of one.

    `effective_on` is the day from which it counts, or on which it was booked where nothing says more. `day` is that
    day too, unless it lies in a closed month: then it is the day of booking, which lies in the billing month.
    """

    account: Account
    seq: int
    kind: str
    day: date
    effective_on: date
    adjusts: str | None
    credit: str | None
    origin: str | None
    lines: Mapping[str, int]


def movements(connection: Connection, scope: Scope) -> Iterator[Movement]:
    """The movements of the accounts in scope that were booked in its month, by account, and by number within it."""
    in_scope = {account.account: account for account in scope.accounts(connection)}
    rows = connection.execute(_of_month(connection, scope))
    for name, of_account in groupby(rows, key=lambda row: row.account):
        for _, lines in groupby(of_account, key=lambda row: row.seq):
            yield _movement(in_scope[name], [*lines])


def _of_month(connection: Connection, scope: Scope) -> Any:
    """Each entry's lines beside what the entry books: a fact has its entry's number in the table of its kind."""
    booked = {
        table: and_(getattr(table, number) == EntryRow.seq, table.account == EntryRow.account)
        for table, number in ((CreditVoidRow, "seq"), (RepaymentRow, "seq"), (ExpiryRow, "seq"))
    }
    credit_id = func.coalesce(*(table.credit_id for table in booked), EntryRow.seq)
    of_credit = and_(CreditRow.account == EntryRow.account, CreditRow.credit_id == credit_id)
    of_correction = and_(CorrectionRow.account == EntryRow.account, CorrectionRow.seq == EntryRow.seq)
    dated = (RepaymentRow, ExpiryRow, CreditRow, CorrectionRow)
    effective_at = func.coalesce(*(table.effective_at for table in dated))
    said = (EntryRow.account, EntryRow.seq, EntryRow.kind, EntryRow.billing_month, EntryRow.booked_at)
    query = select(
        *said, effective_at.label("effective_at"), CreditRow.credit_id, CreditRow.reference, CreditRow.origin,
        LineRow.journal_account, LineRow.amount,
    )  # fmt: skip
    query = query.join(LineRow, and_(LineRow.account == EntryRow.account, LineRow.seq == EntryRow.seq))
    for table, condition in booked.items():
        query = query.outerjoin(table, condition)
    query = query.outerjoin(CreditRow, of_credit).outerjoin(CorrectionRow, of_correction)
    mine = [*scope.owners(EntryRow.account), *by_then(EntryRow.booked_at, scope.known_at)]
    query = query.where(EntryRow.billing_month == scope.month, EntryRow.kind.not_in(OF_CHARGES), *mine)
    return query.order_by(bytewise(connection, EntryRow.account), EntryRow.seq, LineRow.journal_account)


def _movement(account: Account, rows: list[Row[Any]]) -> Movement:
    first = rows[0]
    effective_at = first.effective_at or first.booked_at
    month = month_of(effective_at, account.timezone)
    adjusts = None if month == first.billing_month else month
    booked_on, effective_on = (at.astimezone(zone(account.timezone)).date() for at in (first.booked_at, effective_at))
    day = booked_on if adjusts else effective_on
    credit = None if first.credit_id is None else first.reference or f"credit {first.credit_id}"
    lines = {row.journal_account: row.amount for row in rows}
    return Movement(account, first.seq, first.kind, day, effective_on, adjusts, credit, first.origin, lines)
