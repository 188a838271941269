"""What stands against closing a month of an account."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from costmeter.core.periods import format_instant, month_after, month_period
from costmeter.store import charges, closings, journal, observations, quarantine
from costmeter.store.accounts import Account
from costmeter.store.tables import PendingRow, QuarantineRow

# What is looked at before a month is closed, in this order.
CHECKS = ("order", "time", "frozen", "unpriced", "provisional", "quarantined", "unposted", "differences")
_DOUBTS = {
    "unpriced": "unpriced (add the model to the price book, then run costmeter reprice)",
    "provisional": "provisional (a price book with the published calendar, then costmeter reprice)",
    "quarantined": "in quarantine (costmeter quarantine list)",
    "unposted": "not posted yet (costmeter flush)",
}


class Blocker(NamedTuple):
    """One thing that stands against it, and which of CHECKS found it; what is final cannot be overridden.

    `month` is the one that is to be closed before, where it is that.
    """

    check: str
    text: str
    is_final: bool = False
    month: str | None = None


def blockers(connection: Connection, account: Account, month: str, *, grace: timedelta, now: datetime) -> list[Blocker]:
    """All that stands against closing a month that is open; nothing where it can be closed."""
    found = [*_order(connection, account, month), *_time(account, month, grace, now)]
    if account.frozen_at is not None:
        since = format_instant(account.frozen_at)
        found.append(Blocker("frozen", f"the account is frozen since {since} (costmeter account show)", is_final=True))
    found += _doubts(connection, account, month)
    if differences := len(observations.open_differences(connection, account.account, now)):
        word = "observation differs" if differences == 1 else "observations differ"
        found.append(Blocker("differences", f"{differences:,} {word} from the books (costmeter reconcile list)"))
    return found


def _order(connection: Connection, account: Account, month: str) -> list[Blocker]:
    """Months are closed one after the other, from the first of the books on: each begins with what the last left."""
    newest = closings.newest(connection, account.account)
    first = journal.first_month(connection, account.account)
    due = month_after(newest.month) if newest else first
    if due is None:
        return [Blocker("order", "nothing is booked in this account yet", is_final=True)]
    if month < due:
        return [Blocker("order", f"the books of this account begin with {first}", is_final=True)]
    if month > due:
        return [Blocker("order", f"{due} comes first (costmeter close {due})", is_final=True, month=due)]
    return []


def _time(account: Account, month: str, grace: timedelta, now: datetime) -> list[Blocker]:
    _, end = month_period(month, account.timezone)
    assert end is not None
    if now < end:
        return [Blocker("time", f"the month ends at {format_instant(end)}", is_final=True)]
    if now < end + grace:
        until = format_instant(end + grace)
        return [Blocker("time", f"late calls are waited for until {until} (COSTMETER_CLOSE_GRACE_HOURS)")]
    return []


def _doubts(connection: Connection, account: Account, month: str) -> list[Blocker]:
    """Calls whose cost is not known or not certain, or that are not booked."""
    doubts = charges.doubts_in_force(connection, account.account, month)
    _, end = month_period(month, account.timezone)
    waiting = select(func.count()).select_from(PendingRow)
    unposted = connection.scalar(waiting.where(PendingRow.account == account.account, PendingRow.completed_at < end))
    items = (QuarantineRow.account == account.account, QuarantineRow.billing_month <= month)
    counts = {
        "unpriced": doubts.get("unpriced", 0),
        "provisional": doubts.get("provisional", 0),
        "quarantined": quarantine.count(connection, None, *items),
        "unposted": unposted or 0,
    }
    return [Blocker(name, f"{_calls(count)} {_DOUBTS[name]}") for name, count in counts.items() if count]


def _calls(count: int) -> str:
    return "1 call is" if count == 1 else f"{count:,} calls are"
