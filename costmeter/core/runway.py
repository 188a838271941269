"""How long a balance lasts: what is to come at the pace of the forecast, deducted as the ledger deducts charges.

Granted before topped up, each credit from its start to its expiry. What comes of it is a forecast: whole days, and an
amount of a few digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from costmeter.core.forecast import Pace, told
from costmeter.core.ledger import GRANTED, KINDS, TOPPED_UP, Credit, Purse
from costmeter.core.periods import Period, day_period

HORIZON = 366  # days that are looked ahead
_TOTAL = "total"


class Lasting(NamedTuple):
    """How long something lasts: so many whole days, and the day on which it runs out.

    Without that day it lasts beyond what is looked ahead; without days nothing is spent.
    """

    days: int | None
    runs_out_on: date | None


class Runway(NamedTuple):
    """How long grants last, topped-up credits, and all together: until a call finds nothing to pay for it.

    `expires` is what of the grants would expire unspent within what is looked ahead.
    """

    granted: Lasting
    topped_up: Lasting
    total: Lasting
    expires: int


def find_runway(purse: Purse, pace: Pace, now: datetime, timezone: str) -> Runway:
    """The runway of what an account has now; days are those of the time zone that the pace is of."""
    purse = Purse([*purse.credits], dict(purse.remaining), purse.overdraft)
    _expire(purse, now)
    days = [pace.today + timedelta(days=number) for number in range(HORIZON)]
    ended: dict[str, date] = {}
    expired = 0
    for day in days:
        for stretch, share in _stretches(day, now, timezone, purse.credits):
            assert stretch.start is not None
            assert stretch.end is not None
            purse.repay(stretch.start)
            if purse.deduct(round(pace.on(day) * share), stretch.start).overdraft:
                ended.setdefault(_TOTAL, day)
            expired += _expire(purse, stretch.end)
        for kind in KINDS:
            if not any(purse.remaining[one.credit_id] for one in purse.credits if one.kind == kind):
                ended.setdefault(kind, day)
        if len(ended) > len(KINDS):
            break
    is_spent = any(pace.on(day) > 0 for day in days)
    lasting = {
        name: _lasting(ended.get(name), pace.today) if is_spent else Lasting(None, None) for name in (*KINDS, _TOTAL)
    }
    return Runway(lasting[GRANTED], lasting[TOPPED_UP], lasting[_TOTAL], told(0, expired))


def _lasting(ended: date | None, today: date) -> Lasting:
    return Lasting(HORIZON, None) if ended is None else Lasting((ended - today).days, ended)


def _expire(purse: Purse, by: datetime) -> int:
    """Take what credits hold that have expired by an instant; returns how much."""
    gone = [one.credit_id for one in purse.credits if one.expires_at is not None and one.expires_at <= by]
    held = sum(purse.remaining[credit_id] for credit_id in gone)
    purse.remaining |= dict.fromkeys(gone, 0)
    return held


def _stretches(day: date, now: datetime, timezone: str, credits: Sequence[Credit]) -> Iterator[tuple[Period, float]]:
    """What is to come of a day, cut where a credit starts or expires, with the share of the day that each part is."""
    whole = day_period(day, timezone)
    assert whole.start is not None
    assert whole.end is not None
    begins = max(now, whole.start)
    changes = {at for one in credits for at in (one.effective_at, one.expires_at) if at and begins < at < whole.end}
    for start, end in pairwise([begins, *sorted(changes), whole.end]):
        if start < end:
            yield Period(start, end), (end - start) / (whole.end - whole.start)
