"""Reservations, and what refuses them, as HTTP shows them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from costmeter.core.budgets import format_limit
from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.core.reservations import OPEN, Refusal, Reservation
from costmeter.store import reservations
from costmeter.store.keys import key_text

SHOWN, LOOKED_AT = 20, 500


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


def reservations_of(connection: Connection, account: str, number: int, unit: str) -> dict[str, Any]:
    """What is held back of a budget by reservations that are open: the newest SHOWN of them, each with its part.

    `has_more` says that others may be: of an account LOOKED_AT are looked through.
    """
    found = reservations.newest(connection, account, OPEN, limit=LOOKED_AT)
    held = [(one, sum(part.amount for part in one.parts if part.number == number)) for one in found]
    of_budget = [{**reservation_shape(one), "held": format_limit(amount, unit)} for one, amount in held if amount]
    return {"rows": of_budget[:SHOWN], "has_more": len(of_budget) > SHOWN or len(found) == LOOKED_AT}
