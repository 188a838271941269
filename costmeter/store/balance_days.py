"""The balance of an account at the end of each day, told back from what it has now.

Credits and the rollups of charges answer: what came later is put back, so that days long ago are not summed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import accumulate
from typing import NamedTuple

from sqlalchemy import Connection

from costmeter.core.ledger import GRANTED, TOPPED_UP, Credit
from costmeter.core.periods import MICROSECOND, Period, day_period
from costmeter.store import corrections, credits
from costmeter.store.accounts import Account
from costmeter.store.balances import Balance, balance_now
from costmeter.store.corrections import Correction
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums
from costmeter.store.tables import CorrectionRow

_FAR = date(9999, 1, 1)  # after every call, also those whose clock was ahead
_PARTS = (GRANTED, TOPPED_UP, "overdraft", "untracked")


class DayBalance(NamedTuple):
    """What an account had at the last instant of a day, or now where the day is not over.

    `untracked` is what calls of the day cost that completed before the first credit; it was never in the balance.
    """

    day: date
    at: datetime
    balance: Balance
    untracked: int


class _Ledger(NamedTuple):
    """What an account has now: credits that were not voided with what each has left, and what was corrected down."""

    account: Account
    held: Sequence[tuple[Credit, int]]
    corrected: Sequence[Correction]

    def balance(self, at: datetime, after: Mapping[str, int]) -> Balance:
        """What it had at an instant: what it has now, and what calls and corrections took `after` it.

        A repayment moves topped-up balance into overdraft, which is part of it, and so changes nothing here.
        """
        has = dict.fromkeys((GRANTED, TOPPED_UP), 0)
        for credit, remaining in self.held:
            if credit.expires_at is None or credit.expires_at > at:
                has[credit.kind] += remaining - (credit.amount if credit.effective_at > at else 0)
        owed_later = -sum(one.amount for one in self.corrected if one.effective_at > at)
        topped_up = has[TOPPED_UP] - self.account.overdraft + after[TOPPED_UP] + after["overdraft"] + owed_later
        return Balance(self.account.currency, has[GRANTED] + after[GRANTED], topped_up)


def balance_days(
    connection: Connection, account: Account, days: Sequence[date], timezone: str, now: datetime
) -> list[DayBalance]:
    """The balance at the end of consecutive days of a time zone, none after today, to the digit as `balance_at` has it.

    Raises DetachedError where calls of these days, or of later ones, are detached.
    """
    ends = [day_period(day, timezone).end or now for day in days]
    first = day_period(days[0], timezone).start
    period = Period(first, day_period(_FAR, account.timezone).start)
    spent = _spent(connection, account, period, timezone)
    later = _later(spent, days)
    ledger = _ledger(connection, account)
    found = []
    for day, end, after in zip(days, ends, later, strict=True):
        at = min(end - MICROSECOND, now)
        balance = balance_now(connection, account, now) if end > now else ledger.balance(at, after)
        found.append(DayBalance(day, at, balance, spent.get(day.isoformat(), {}).get("untracked", 0)))
    return found


def _ledger(connection: Connection, account: Account) -> _Ledger:
    left = credits.balances(connection, account.account)
    booked = [one.credit for one in credits.of_account(connection, account.account) if one.void is None]
    held = [(credit, left[credit.credit_id].remaining) for credit in booked]
    downwards = corrections.of_account(connection, account.account, CorrectionRow.amount < 0)
    return _Ledger(account, held, downwards)


def _spent(connection: Connection, account: Account, period: Period, timezone: str) -> dict[str, dict[str, int]]:
    """What calls of each day took of the balance, by its parts."""
    scope = Scope(period=period, account=account.account)
    found: dict[str, dict[str, int]] = {}
    for record in read_sums(connection, scope, scope.accounts(connection), ("day",), timezone):
        sums = found.setdefault(record["day"], dict.fromkeys(_PARTS, 0))
        for name in _PARTS:
            sums[name] += record[name]
    return found


def _later(spent: Mapping[str, Mapping[str, int]], days: Sequence[date]) -> list[dict[str, int]]:
    """What calls took after each of the days."""
    last = days[-1].isoformat()
    beyond = {name: sum(sums[name] for day, sums in spent.items() if day > last) for name in _PARTS}
    own = [spent.get(day.isoformat(), dict.fromkeys(_PARTS, 0)) for day in reversed(days[1:])]
    sums = accumulate(own, lambda after, one: {name: after[name] + one[name] for name in _PARTS}, initial=beyond)
    return [dict(one) for one in sums][::-1]
