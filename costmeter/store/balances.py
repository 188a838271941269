"""The balance of an account at an instant, worked out from its facts."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select

from costmeter.core.ledger import GRANTED, TOPPED_UP
from costmeter.core.money import format_amount
from costmeter.core.periods import Period
from costmeter.store import corrections, credits, detached
from costmeter.store.accounts import Account
from costmeter.store.detached import Kept
from costmeter.store.events import of_one_event
from costmeter.store.known import by_then
from costmeter.store.rows import first_of, is_any
from costmeter.store.tables import (
    AccountRow,
    ChargeRow,
    CorrectionRow,
    CreditBalanceRow,
    CreditRow,
    CreditVoidRow,
    DeductionRow,
    RepaymentRow,
)
from costmeter.store.types import join_halves, sum_halves


class Balance(NamedTuple):
    """What an account has; overdraft makes `topped_up` negative."""

    currency: str
    granted: int
    topped_up: int

    @property
    def total(self) -> int:
        return self.granted + self.topped_up

    def as_dict(self) -> dict[str, Any]:
        """DeepSeek's own shape of GET /user/balance, with exact amounts."""
        info = {
            "currency": self.currency,
            "total_balance": format_amount(self.total),
            "granted_balance": format_amount(self.granted),
            "topped_up_balance": format_amount(self.topped_up),
        }
        return {"is_available": self.total > 0, "balance_infos": [info]}


def balance_at(connection: Connection, account: Account, at: datetime, known_at: datetime | None = None) -> Balance:
    """The balance as of an instant: credits in effect, less what calls completed until then took from them.

    A credit is valued as of the instant, whether its start or expiry is posted yet or not; a voided one never was. With
    `known_at` only what was booked by that instant counts: the balance as of `at` as it could be told then. Raises
    DetachedError where either instant lies among the calls of a detached month.
    """
    away = detached.kept(connection, account.account, at, known_at)
    spent = _spent(connection, account.account, at, known_at, away)
    has = dict.fromkeys((GRANTED, TOPPED_UP), 0)
    for booked in credits.of_account(connection, account.account):
        credit = booked.credit
        if not credit.counts_at(at) or (known_at is not None and booked.booked_at > known_at):
            continue
        if booked.void is None or (known_at is not None and booked.void.booked_at > known_at):
            has[credit.kind] += credit.amount - spent[credit.credit_id]
    owed = _owed(connection, account.account, at, known_at) + away.overdraft
    return Balance(account.currency, has[GRANTED], has[TOPPED_UP] - owed)


def balance_now(connection: Connection, account: Account, now: datetime) -> Balance:
    """What `balance_at` says of now, from the projections: in a moment, however many calls there were.

    Where something that is posted lies after now (a clock that was ahead), the facts themselves are asked.
    """
    detached.kept(connection, account.account, now, None)  # refuses what `balance_at` refuses
    if _is_any_after(connection, account.account, now):
        return balance_at(connection, account, now)
    purse, _ = credits.held(connection, [account])[account.account]
    has = dict.fromkeys((GRANTED, TOPPED_UP), 0)
    for credit in purse.credits:
        if credit.counts_at(now):
            has[credit.kind] += purse.remaining[credit.credit_id]
    return Balance(account.currency, has[GRANTED], has[TOPPED_UP] - account.overdraft)


def _is_any_after(connection: Connection, account: str, now: datetime) -> bool:
    """Whether a charge, a repayment or a correction of an account is of an instant after now."""
    instants = (ChargeRow.completed_at, RepaymentRow.effective_at, CorrectionRow.effective_at)
    return is_any(connection, *(first_of(at, at.class_.account == account, at > now) for at in instants))


def available(connection: Connection, account: str, during: Period) -> int | None:
    """What an account has by what is posted, of credits that count all the time of a period, less what it owes.

    One statement, of the projections. None where it keeps no balance yet: no credit counts, or ever did.
    """
    voided = exists().where(CreditVoidRow.account == CreditRow.account, CreditVoidRow.credit_id == CreditRow.credit_id)
    opened = exists().where(CreditRow.account == account, CreditRow.effective_at <= during.start, ~voided)
    ends = or_(CreditRow.expires_at.is_(None), CreditRow.expires_at >= during.end)
    counting = (CreditRow.effective_at <= during.start, ends, CreditBalanceRow.remaining > 0)
    both = and_(CreditBalanceRow.account == CreditRow.account, CreditBalanceRow.credit_id == CreditRow.credit_id)
    left = select(CreditBalanceRow.account, CreditBalanceRow.remaining).join(CreditRow, both)
    left = left.where(CreditRow.account == account, *counting)
    found = left.subquery()
    query = select(AccountRow.overdraft, opened, found.c.remaining).where(AccountRow.account == account)
    rows = connection.execute(query.outerjoin(found, found.c.account == AccountRow.account)).all()
    if not rows or not rows[0][1]:
        return None
    owed: int = rows[0][0]
    return sum(remaining or 0 for _, _, remaining in rows) - owed


def _spent(connection: Connection, account: str, at: datetime, known_at: datetime | None, away: Kept) -> dict[int, int]:
    """What each credit gave for calls completed, and overdraft repaid, until an instant."""
    spent: dict[int, int] = defaultdict(int)
    taken = select(DeductionRow.credit_id, *sum_halves(DeductionRow.amount))
    taken = taken.where(DeductionRow.account == account, DeductionRow.completed_at <= at)
    if known_at is not None:  # a deduction is booked with its charge
        paid = and_(of_one_event(DeductionRow, ChargeRow), DeductionRow.revision == ChargeRow.revision)
        taken = taken.join(ChargeRow, paid).where(ChargeRow.booked_at <= known_at)
    repaid = select(RepaymentRow.credit_id, *sum_halves(RepaymentRow.amount))
    repaid = repaid.where(*_repaid(account, at, known_at))
    for query, group in ((taken, DeductionRow.credit_id), (repaid, RepaymentRow.credit_id)):
        for credit_id, high, low in connection.execute(query.group_by(group)):
            spent[credit_id] += join_halves(high, low)
    for credit_id, amount in away.given.items():
        spent[credit_id] += amount
    return spent


def _owed(connection: Connection, account: str, at: datetime, known_at: datetime | None) -> int:
    """The overdraft of calls completed until an instant and of corrections, less what was repaid until then."""
    owed = select(*sum_halves(ChargeRow.overdraft)).where(
        ChargeRow.account == account,
        ChargeRow.completed_at <= at,
        ChargeRow.overdraft != 0,
        *by_then(ChargeRow.booked_at, known_at),
    )
    repaid = select(*sum_halves(RepaymentRow.amount)).where(*_repaid(account, at, known_at))
    corrected = (CorrectionRow.effective_at <= at, *by_then(CorrectionRow.booked_at, known_at))
    owed_by_correction = corrections.owed(connection, account, *corrected)
    repaid_sum = join_halves(*connection.execute(repaid).one())
    return join_halves(*connection.execute(owed).one()) + owed_by_correction - repaid_sum


def _repaid(account: str, at: datetime, known_at: datetime | None) -> list[ColumnElement[bool]]:
    """The condition that an account's repayment had been made."""
    mine = [RepaymentRow.account == account, RepaymentRow.effective_at <= at]
    return [*mine, *by_then(RepaymentRow.booked_at, known_at)]
