"""Credits and what they have left; repayments and expiries that moved them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, insert, select

from costmeter.core.ledger import ADDED, Credit, Purse
from costmeter.store.accounts import Account
from costmeter.store.bulk import Batch, among
from costmeter.store.tables import AccountRow, CreditBalanceRow, CreditRow, CreditVoidRow, ExpiryRow, RepaymentRow
from costmeter.store.types import join_halves, sum_halves


class Void(NamedTuple):
    """That a credit was taken back: its number in the account's sequence, why, by whom and when."""

    seq: int
    reason: str
    by_whom: str
    booked_at: datetime


class BookedCredit(NamedTuple):
    """A credit with what was said when it was added, and when it was voided if it was."""

    credit: Credit
    currency: str
    reference: str | None
    booked_at: datetime
    void: Void | None = None
    origin: str = ADDED


class CreditBalance(NamedTuple):
    """What a credit has not given yet, and how much of that is posted as expired."""

    remaining: int
    expired: int


_VOID = (CreditVoidRow.seq, CreditVoidRow.reason, CreditVoidRow.by_whom, CreditVoidRow.booked_at.label("voided_at"))
_CREDIT = (
    CreditRow.credit_id, CreditRow.kind, CreditRow.amount, CreditRow.effective_at, CreditRow.expires_at,
    CreditRow.currency, CreditRow.reference, CreditRow.booked_at, *_VOID, CreditRow.origin,
)  # fmt: skip
_VOIDED = and_(CreditVoidRow.account == CreditRow.account, CreditVoidRow.credit_id == CreditRow.credit_id)


def add(connection: Connection, account: str, booked: BookedCredit) -> None:
    row = {**booked.credit._asdict(), "account": account, "currency": booked.currency}
    row |= {name: getattr(booked, name) for name in ("reference", "booked_at", "origin")}
    connection.execute(insert(CreditRow), row)
    balance = {
        "account": account,
        "credit_id": booked.credit.credit_id,
        "remaining": booked.credit.amount,
        "expired": 0,
    }
    connection.execute(insert(CreditBalanceRow), balance)


def add_void(connection: Connection, account: str, credit_id: int, void: Void) -> None:
    connection.execute(insert(CreditVoidRow), {"account": account, "credit_id": credit_id, **void._asdict()})


def of_account(connection: Connection, account: str) -> list[BookedCredit]:
    """An account's credits in the order in which they were booked, voided ones included."""
    query = select(*_CREDIT).outerjoin(CreditVoidRow, _VOIDED).where(CreditRow.account == account)
    query = query.order_by(CreditRow.credit_id)
    return [_booked(row) for row in connection.execute(query)]


def by_reference(connection: Connection, account: str, reference: str) -> BookedCredit | None:
    query = select(*_CREDIT).outerjoin(CreditVoidRow, _VOIDED)
    query = query.where(CreditRow.account == account, CreditRow.reference == reference)
    row = connection.execute(query).one_or_none()
    return _booked(row) if row else None


def balances(connection: Connection, account: str) -> dict[int, CreditBalance]:
    query = select(CreditBalanceRow.credit_id, CreditBalanceRow.remaining, CreditBalanceRow.expired)
    return {
        row[0]: CreditBalance(*row[1:]) for row in connection.execute(query.where(CreditBalanceRow.account == account))
    }


def held(connection: Connection, accounts: Sequence[Account]) -> dict[str, tuple[Purse, dict[int, CreditBalance]]]:
    """The purse of each account as its projections say, and the balances that are kept of its credits.

    A credit with nothing left stays in the purse, since it opens the tracking. A voided credit is not in it, but for
    the nothing that it has left.
    """
    names = [account.account for account in accounts]
    left = (CreditBalanceRow.remaining, CreditBalanceRow.expired, CreditVoidRow.seq)
    both = and_(CreditBalanceRow.account == CreditRow.account, CreditBalanceRow.credit_id == CreditRow.credit_id)
    query = select(CreditRow.account, *_CREDIT[:5], *left).join(CreditBalanceRow, both)
    query = query.outerjoin(CreditVoidRow, _VOIDED).where(among(connection, CreditRow.account, names))
    found: dict[str, list[tuple[Credit, CreditBalance, bool]]] = {name: [] for name in names}
    for account, *row in connection.execute(query):
        found[account].append((Credit(*row[:5]), CreditBalance(*row[5:7]), row[7] is not None))
    purses = {}
    for account in accounts:
        mine = found[account.account]
        balances = {credit.credit_id: balance for credit, balance, _ in mine}
        remaining = {key: balance.remaining for key, balance in balances.items()}
        purse = Purse([credit for credit, _, voided in mine if not voided], remaining, account.overdraft)
        purses[account.account] = (purse, balances)
    return purses


def accounts_to_expire(connection: Connection, now: datetime) -> list[str]:
    """The accounts, but for frozen ones, with grants that have expired and hold what is not booked as expired."""
    both = and_(CreditBalanceRow.account == CreditRow.account, CreditBalanceRow.credit_id == CreditRow.credit_id)
    query = select(CreditRow.account).distinct().join(CreditBalanceRow, both)
    query = query.join(AccountRow, AccountRow.account == CreditRow.account).where(AccountRow.frozen_at.is_(None))
    query = query.where(CreditRow.expires_at <= now, CreditBalanceRow.remaining > CreditBalanceRow.expired)
    return list(connection.scalars(query.order_by(CreditRow.account)))


def repaid(connection: Connection, account: str, upto: int) -> dict[int, int]:
    """What each topped-up credit repaid, all in all."""
    query = select(RepaymentRow.credit_id, *sum_halves(RepaymentRow.amount)).group_by(RepaymentRow.credit_id)
    query = query.where(RepaymentRow.account == account, RepaymentRow.seq <= upto)
    sums = {credit_id: join_halves(high, low) for credit_id, high, low in connection.execute(query)}
    return {credit_id: amount for credit_id, amount in sums.items() if amount}


def save_balances(batch: Batch, account: str, changed: Mapping[int, CreditBalance]) -> None:
    rows = [{"account": account, "credit_id": key, **balance._asdict()} for key, balance in changed.items()]
    batch.change(CreditBalanceRow, ("account", "credit_id"), rows)


def add_moves(batch: Batch, kind: str, rows: Iterable[dict[str, Any]]) -> None:
    """Book repayments or expiries."""
    batch.add({"repayment": RepaymentRow, "expiry": ExpiryRow}[kind], rows)


def _booked(row: Any) -> BookedCredit:
    void = None if row.seq is None else Void(*row[8:12])
    return BookedCredit(Credit(*row[:5]), row[5], row[6], row[7], void, row.origin)
