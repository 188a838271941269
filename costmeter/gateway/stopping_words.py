"""What a caller is told whose call is stopped: DeepSeek's own 402, and why in plain words."""

from __future__ import annotations

import math
from datetime import datetime

from costmeter.core.budgets import BALANCE, format_limit
from costmeter.core.periods import format_instant
from costmeter.core.reservations import Refusal
from costmeter.gateway.refusals import Header, RefusedCallError


def over_budget(refusal: Refusal, now: datetime, *, is_bound: bool) -> RefusedCallError:
    """That a budget, or the balance, does not cover a call; `is_bound` where what it asked for is the most it can be.

    How a budget stands is told only where it counts one project: callers of others are in it, else. How much the
    account has is never told.
    """
    budget, end = refusal.budget, refusal.period.end
    words = ("use", "uses") if budget.unit == "tokens" else ("cost", "costs")
    may = f"may {words[0]}" if is_bound else f"{words[1]} about"
    asked = f"the call {may} {format_limit(refusal.asked, budget.unit)} {budget.unit}"
    if budget.number == BALANCE:
        return RefusedCallError(
            402, "insufficient_balance", f"Insufficient Balance: {asked}, and not that much is left"
        )
    said = f"budget {budget.name!r} does not cover this call: {asked}, and {_left(refusal)}"
    if end is None:
        return RefusedCallError(402, "over_budget", said)
    seconds = max(1, math.ceil((end - now).total_seconds()))
    headers: list[Header] = [(b"retry-after", b"%d" % seconds)]
    return RefusedCallError(402, "over_budget", f"{said}; its period ends at {format_instant(end)}", headers)


def no_bound(reason: str) -> RefusedCallError:
    """That a call could cost any amount, which no budget covers."""
    return RefusedCallError(400, "no_bound", f"a budget stops this call, and what it costs has no bound: {reason}")


def database_away() -> RefusedCallError:
    """That nobody can say whether a call is covered."""
    said = "the gateway cannot tell now whether the call is covered by its budgets; try again soon"
    return RefusedCallError(503, "database_away", said, [(b"retry-after", b"2")])


def _left(refusal: Refusal) -> str:
    budget = refusal.budget
    if "project" not in budget.filters:
        return "not that much is left"
    amounts = (budget.amount, refusal.spent, refusal.reserved, refusal.left)
    amount, spent, reserved, left = (format_limit(one, budget.unit) for one in amounts)
    return f"of {amount} {budget.unit} {spent} are spent and {reserved} reserved: {left} is left"
