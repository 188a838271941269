"""How long a balance lasts: the credits that there are, spent day by day at the pace of the forecast.

Granted before topped up, as charges are deducted, each credit from its start to its expiry. What comes of it is a
forecast: whole days, and an amount of a few digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from costmeter.core.forecast import Pace, told
from costmeter.core.ledger import GRANTED, KINDS, TOPPED_UP, Credit, rank
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


def find_runway(left: Mapping[Credit, int], overdraft: int, pace: Pace, now: datetime, timezone: str) -> Runway:
    """The runway of credits with what each has left, and of an overdraft, which topped-up credits pay at once.

    Days are those of the time zone that the pace is of; what has expired by now is left out.
    """
    purse = _Purse(
        {one: amount for one, amount in left.items() if not one.expires_at or one.expires_at > now}, overdraft
    )
    days = [pace.today + timedelta(days=number) for number in range(HORIZON)]
    ended: dict[str, date] = {}
    for day in days:
        for stretch, share in _stretches(day, now, timezone, [*left]):
            if not purse.pay(round(pace.on(day) * share), stretch):
                ended.setdefault(_TOTAL, day)
        for kind in KINDS:
            if not purse.has(kind):
                ended.setdefault(kind, day)
        if len(ended) > len(KINDS):
            break
    is_spent = any(pace.on(day) > 0 for day in days)
    lasting = {
        name: _lasting(ended.get(name), pace.today) if is_spent else Lasting(None, None) for name in (*KINDS, _TOTAL)
    }
    return Runway(lasting[GRANTED], lasting[TOPPED_UP], lasting[_TOTAL], told(0, purse.expired))


def _lasting(ended: date | None, today: date) -> Lasting:
    return Lasting(HORIZON, None) if ended is None else Lasting((ended - today).days, ended)


def _stretches(day: date, now: datetime, timezone: str, credits: Sequence[Credit]) -> Iterator[tuple[Period, float]]:
    """What is to come of a day, cut where a credit starts or expires, with the share of the day that each part is."""
    whole = day_period(day, timezone)
    assert whole.start is not None
    assert whole.end is not None
    begins = max(now, whole.start)
    changes = {at for one in credits for at in (one.effective_at, one.expires_at) if at and begins < at < whole.end}
    edges = [begins, *sorted(changes), whole.end]
    for start, end in pairwise(edges):
        if start < end:
            yield Period(start, end), (end - start) / (whole.end - whole.start)


class _Purse:
    """What credits have left while they are spent."""

    def __init__(self, left: Mapping[Credit, int], overdraft: int) -> None:
        self._left = {credit: left[credit] for credit in sorted(left, key=rank)}
        self._overdraft = overdraft
        self.expired = 0

    def has(self, kind: str) -> bool:
        return any(amount > 0 and credit.kind == kind for credit, amount in self._left.items())

    def pay(self, due: int, during: Period) -> bool:
        """Spend this much in a stretch of time, and drop what expires at its end; whether credits paid all of it."""
        counting = [credit for credit in self._left if during.start and credit.counts_at(during.start)]
        self._overdraft -= self._take(self._overdraft, [credit for credit in counting if credit.kind == TOPPED_UP])
        owed = due - self._take(due, counting)
        self._overdraft += owed
        for credit in counting:
            if credit.expires_at is not None and during.end is not None and credit.expires_at <= during.end:
                self.expired += self._left.pop(credit)
        return not owed

    def _take(self, due: int, credits: Sequence[Credit]) -> int:
        taken = 0
        for credit in credits:
            part = min(due - taken, self._left[credit])
            self._left[credit] -= part
            taken += part
        return taken
