"""Credits and what they have left; repayments and expiries that moved them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, insert, select

from costmeter.core.ledger import Credit, Purse
from costmeter.store.accounts import Account
from costmeter.store.bulk import Batch, among
from costmeter.store.tables import CreditBalanceRow, CreditRow, ExpiryRow, RepaymentRow


class BookedCredit(NamedTuple):
    """A credit with what was said when it was added."""

    credit: Credit
    currency: str
    reference: str | None
    booked_at: datetime


class CreditBalance(NamedTuple):
    """What a credit has not given yet, and how much of that is posted as expired."""

    remaining: int
    expired: int


_CREDIT = (
    CreditRow.credit_id, CreditRow.kind, CreditRow.amount, CreditRow.effective_at, CreditRow.expires_at,
    CreditRow.currency, CreditRow.reference, CreditRow.booked_at,
)  # fmt: skip


def add(connection: Connection, account: str, booked: BookedCredit) -> None:
    row = {**booked.credit._asdict(), "account": account, "currency": booked.currency}
    connection.execute(insert(CreditRow), {**row, "reference": booked.reference, "booked_at": booked.booked_at})
    balance = {
        "account": account,
        "credit_id": booked.credit.credit_id,
        "remaining": booked.credit.amount,
        "expired": 0,
    }
    connection.execute(insert(CreditBalanceRow), balance)


def of_account(connection: Connection, account: str) -> list[BookedCredit]:
    """An account's credits in the order in which they were booked."""
    query = select(*_CREDIT).where(CreditRow.account == account).order_by(CreditRow.credit_id)
    return [_booked(row) for row in connection.execute(query)]


def by_reference(connection: Connection, account: str, reference: str) -> BookedCredit | None:
    query = select(*_CREDIT).where(CreditRow.account == account, CreditRow.reference == reference)
    row = connection.execute(query).one_or_none()
    return _booked(row) if row else None


def balances(connection: Connection, account: str) -> dict[int, CreditBalance]:
    query = select(CreditBalanceRow.credit_id, CreditBalanceRow.remaining, CreditBalanceRow.expired)
    return {
        row[0]: CreditBalance(*row[1:]) for row in connection.execute(query.where(CreditBalanceRow.account == account))
    }


def held(connection: Connection, accounts: Sequence[Account]) -> dict[str, tuple[Purse, dict[int, CreditBalance]]]:
    """The purse of each account as its projections say, and the balances that are kept of its credits.

    A credit with nothing left stays in the purse, since it opens the tracking.
    """
    names = [account.account for account in accounts]
    left = (CreditBalanceRow.remaining, CreditBalanceRow.expired)
    both = and_(CreditBalanceRow.account == CreditRow.account, CreditBalanceRow.credit_id == CreditRow.credit_id)
    query = select(CreditRow.account, *_CREDIT[:5], *left).join(CreditBalanceRow, both)
    found: dict[str, list[tuple[Credit, CreditBalance]]] = {name: [] for name in names}
    for account, *row in connection.execute(query.where(among(connection, CreditRow.account, names))):
        found[account].append((Credit(*row[:5]), CreditBalance(*row[5:])))
    purses = {}
    for account in accounts:
        balances = {credit.credit_id: balance for credit, balance in found[account.account]}
        remaining = {key: balance.remaining for key, balance in balances.items()}
        purse = Purse([credit for credit, _ in found[account.account]], remaining, account.overdraft)
        purses[account.account] = (purse, balances)
    return purses


def save_balances(batch: Batch, account: str, changed: Mapping[int, CreditBalance]) -> None:
    rows = [{"account": account, "credit_id": key, **balance._asdict()} for key, balance in changed.items()]
    batch.change(CreditBalanceRow, ("account", "credit_id"), rows)


def add_moves(batch: Batch, kind: str, rows: Iterable[dict[str, Any]]) -> None:
    """Book repayments or expiries."""
    batch.add({"repayment": RepaymentRow, "expiry": ExpiryRow}[kind], rows)


def _booked(row: Any) -> BookedCredit:
    return BookedCredit(Credit(*row[:5]), *row[5:])
