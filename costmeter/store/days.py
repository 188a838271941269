"""What was spent on each day of a time zone: the past that a forecast is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection

from costmeter.core.budgets import TOKENS
from costmeter.core.forecast import HISTORY
from costmeter.core.periods import Period, day_period, month_after
from costmeter.store import detached
from costmeter.store.accounts import Account
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums

_TOKENS = ("cache_hit_tokens", "cache_miss_tokens", "output_tokens")


def measure(record: Mapping[str, Any], unit: str) -> int:
    """What a sum of charges comes to in a unit: money of 10^-12, or tokens of input and output."""
    return sum(record[name] for name in _TOKENS) if unit == TOKENS else int(record["cost"])


def spent_before(
    connection: Connection, scope: Scope, in_scope: Sequence[Account], timezone: str, today: date, *, unit: str
) -> list[int]:
    """What calls of the scope, whenever they were booked, took on each day before today, the oldest first.

    As many days as a forecast looks at, and the one before; fewer where calls of a detached month would be needed.
    """
    first = today - timedelta(days=HISTORY + 1)
    if away := detached.detached_months(connection, [account.account for account in in_scope]):
        # A month of UTC: in some zones its last call is of the first day after it.
        first = max(first, date.fromisoformat(f"{month_after(away[-1])}-01") + timedelta(days=1))
    if first >= today:
        return []
    period = Period(day_period(first, timezone).start, day_period(today, timezone).start)
    spent = [0] * (today - first).days
    for record in read_sums(connection, replace(scope, month=None, period=period), in_scope, ("day",), timezone):
        spent[(date.fromisoformat(record["day"]) - first).days] += measure(record, unit)
    return spent
