"""Reservations, and what refuses them, as HTTP shows them."""

from __future__ import annotations

from typing import Any

from costmeter.core.budgets import format_limit
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.core.reservations import Refusal, Reservation
from costmeter.store.keys import key_text


def reservation_shape(reservation: Reservation) -> dict[str, Any]:
    """A reservation; one that no budget has a part in has no id."""
    return {
        "reservation_id": key_text(reservation.reservation_id) if reservation.reservation_id else None,
        "account": reservation.account,
        "owner": reservation.owner,
        "cost": format_amount(reservation.cost),
        "tokens": reservation.tokens,
        "state": reservation.state,
        "budgets": [{"number": part.number, "from": format_instant(part.starts_at)} for part in reservation.parts],
        "reserved_at": format_instant(reservation.reserved_at),
        "expires_at": format_instant(reservation.expires_at),
        "ended_at": format_instant(reservation.ended_at) if reservation.ended_at else None,
    }


def refusal_shape(refusal: Refusal, *, in_full: bool) -> dict[str, Any]:
    """The budget that refuses and how it stands in its period; its sums only where they may be seen."""
    budget, period = refusal.budget, refusal.period
    sums = {"amount": budget.amount, "spent": refusal.spent, "reserved": refusal.reserved, "left": refusal.left}
    return {
        "account": refusal.account,
        "budget": budget.name,
        "number": budget.number,
        "filters": dict(budget.filters),
        "unit": budget.unit,
        **{name: format_limit(sum_, budget.unit) if in_full else None for name, sum_ in sums.items()},
        "asked": format_limit(refusal.asked, budget.unit),
        "per": budget.per,
        "timezone": budget.timezone,
        "from": format_instant(period.start) if period.start else None,
        "to": format_instant(period.end) if period.end else None,
    }


def refusal_text(refusal: Refusal, *, in_full: bool) -> str:
    """Why, in one line for people."""
    budget, end = refusal.budget, refusal.period.end
    asked, left = (f"{format_limit(amount, budget.unit)} {budget.unit}" for amount in (refusal.asked, refusal.left))
    until = f"; its period ends at {format_instant(end)}" if end else ""
    have = f"has {left} left" if in_full else "has not that much left"
    return f"budget {budget.name!r} {have}, and {asked} was asked for{until}"
