"""What moved the balance of a month: the statement's own opening, movements and closing, told without its usage."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from costmeter.core.periods import check_month, format_instant
from costmeter.core.statements import moved_shape
from costmeter.store import closings
from costmeter.store.accounts import Account
from costmeter.store.statements import read_movements

_TOLD = ("month", "currency", "state", "as_of", "opening", "movements", "closing_balance")


def month_movements(connection: Connection, account: Account, month: str, now: datetime) -> dict[str, Any]:
    """These parts of `statement_shape`: of a closed month as they were kept, of an open one as they stand.

    An open month is told without reading its charges one by one. FrozenError where journal and charges do not agree,
    DetachedError where an open month's calls are detached.
    """
    closing = closings.get(connection, account.account, check_month(month))
    if closing is not None:
        kept = json.loads(closing.statement)
        return {name: kept[name] for name in _TOLD}
    opening, movements = read_movements(connection, account, month)
    shape = {"month": month, "currency": account.currency, "state": "open", "as_of": format_instant(now)}
    return {**shape, **moved_shape(opening, movements)}
