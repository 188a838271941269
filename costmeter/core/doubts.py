"""What the clock leaves in doubt: calls that another second could have put into another band or billing month.

A recorder stores how far the vendor's clock (its `Date` header) was from its own. The offset is never applied: a price
is a function of stored instants. But a call within it of a change is marked, and the money that hangs on it is told.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from costmeter.core.events import UsageEvent
from costmeter.core.periods import month_of
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, Unpriced, price_event

CLOCK_OFFSET = "clock_offset_seconds"  # in an event's detail: the vendor's clock less the recorder's
NEAR = "clock_near"  # how the flags begin
NEAR_BAND = f"{NEAR}_band"
NEAR_MONTH = f"{NEAR}_month"
RESOLUTION = 1  # seconds: a Date header has no fractions
MOST = 31 * 86_400  # seconds: with a clock so wrong, every call is near the end of a month
_DAY = timedelta(days=1)


class ClockDoubt(NamedTuple):
    """What of a call another second could change, in units of 10^-12; None where no such change is near."""

    by_band: int | None = None  # the most that its amount could differ by
    by_month: int | None = None  # its amount, which could belong to another billing month

    @property
    def flags(self) -> tuple[str, ...]:
        """What its charge's row says of it."""
        near = ((NEAR_BAND, self.by_band), (NEAR_MONTH, self.by_month))
        return tuple(flag for flag, amount in near if amount is not None)

    @property
    def amount(self) -> int:
        """How much money the doubt could move."""
        return max(self.by_band or 0, self.by_month or 0)


NO_DOUBT = ClockDoubt()


def clock_doubt(
    book: PriceBook, event: UsageEvent, priced: Charge | Unpriced, currency: str, timezone: str
) -> ClockDoubt:
    """The doubt about a measured call that was priced so, for an account in that currency and time zone.

    The call may have been earlier or later by its clock's offset and a second; without an offset there is no doubt. An
    unknown amount counts as nothing, as it does in a sum.
    """
    margin = clock_margin(event)
    if margin is None:
        return NO_DOUBT
    try:
        is_near_month = _is_near_month(event.completed_at, margin, timezone)
        shifts = _shifts(book, event, currency, margin)
        if not shifts:
            return ClockDoubt(None, _amount(priced) or 0) if is_near_month else NO_DOUBT
        others = {_amount(price_event(book, _shifted(event, shift), currency)) for shift in shifts}
    except OverflowError:
        return NO_DOUBT  # at the ends of the calendar
    amount = _amount(priced)
    by_band = max((abs((other or 0) - (amount or 0)) for other in others - {amount}), default=None)
    return ClockDoubt(by_band, (amount or 0) if is_near_month else None)


def clock_margin(event: UsageEvent) -> timedelta | None:
    """How much earlier or later a call may have been by the vendor's clock; None where no offset was recorded."""
    offset = event.detail.get(CLOCK_OFFSET)
    return _margin(offset) if type(offset) is float or type(offset) is int else None


@lru_cache(maxsize=4096)
def _margin(offset: float) -> timedelta:
    return timedelta(seconds=min(abs(offset) + RESOLUTION, MOST))


def _is_near_month(completed_at: datetime, margin: timedelta, timezone: str) -> bool:
    if 3 <= completed_at.day <= 27 and margin <= _DAY:
        return False  # in every time zone a month begins within a day of its first day in UTC
    return month_of(completed_at - margin, timezone) != month_of(completed_at + margin, timezone)


def _shifts(book: PriceBook, event: UsageEvent, currency: str, margin: timedelta) -> list[timedelta]:
    """By how much a call must be shifted to meet each price that it could have; none where there is but one."""
    at, started_at = event.completed_at, event.started_at
    edges, steps = book.steps_between(event.model, currency, at - margin, at + margin)
    shifts = [edge - at for edge in edges] if edges else []
    if started_at is not None and "start" in [step and step.tariff.basis for step in steps]:
        edges, _ = book.steps_between(event.model, currency, started_at - margin, started_at + margin)
        shifts += [edge - started_at for edge in edges]
    return [-margin, *shifts] if shifts else []


def _shifted(event: UsageEvent, shift: timedelta) -> UsageEvent:
    """The call as another clock would have it."""
    started_at = None if event.started_at is None else event.started_at + shift
    return event._replace(started_at=started_at, completed_at=event.completed_at + shift)


def _amount(priced: Charge | Unpriced) -> int | None:
    return None if isinstance(priced, Unpriced) else priced.total
