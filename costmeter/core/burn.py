"""How a budget burns: against an even pace, and until when it lasts at the pace of the days before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from costmeter.core.budgets import TOKENS, Budget
from costmeter.core.forecast import Pace, Part
from costmeter.core.money import UNITS, round_amount
from costmeter.core.periods import MICROSECOND, Period


def even_pace(budget: Budget, period: Period, at: datetime) -> int | None:
    """What would be spent by an instant if each hour of the period took as much as any other; None without an end.

    For people's eyes: two decimals, six of a budget below one; whole tokens. At the period's end it is the budget.
    """
    if period.start is None or period.end is None:
        return None
    if at >= period.end:
        return budget.amount
    exact = budget.amount * ((at - period.start) // MICROSECOND) // ((period.end - period.start) // MICROSECOND)
    if budget.unit == TOKENS:
        return exact
    return round_amount(exact, 2 if budget.amount >= UNITS else 6)


def used_up_on(left: int, rest: Sequence[Part], pace: Pace) -> date | None:
    """The day to come on which what is left is spent at a pace; None where it lasts through all of these days."""
    expected = 0.0
    for part in rest:
        expected += pace.on(part.day) * part.share
        if expected >= left:
            return part.day
    return None


def periods_before(budget: Budget, instant: datetime) -> Iterator[Period]:
    """The periods of a budget that were over by an instant, the newest first."""
    if budget.ends_at is not None:
        instant = min(instant, budget.ends_at)
    present = budget.period_of(instant)
    end = instant if present is None else present.start
    while end is not None and end > budget.starts_at:
        before = budget.period_of(end - MICROSECOND)
        assert before is not None
        yield before
        end = before.start
