"""Replay one folding again: the same calls, folded from the facts that were known then, must change in the same way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from costmeter.services.fold_again import Again
from costmeter.store.booked import Booked
from costmeter.store.charges import Paid

Found = Callable[[int, str], None]


class ReplayFold:
    """A folding again while its rows go by: reversal, new charge, reversal, new charge, in canonical order."""

    def __init__(self, again: Again, found: Found) -> None:
        self._again, self._found = again, found
        self._calls = (paid for chunk in again.calls() for paid in chunk)
        self._reversed: Paid | None = None
        self._last = (again.since, "")

    def goes_on_with(self, charge: Booked) -> bool:
        """Whether a row can be of this folding again: no call is changed twice, nor before one that comes after it."""
        return charge.sign > 0 or (charge.completed_at, charge.event_id) > self._last

    def check(self, charge: Booked) -> None:
        """The next row: a charge in force is reversed, then made again by the rules."""
        self._last = (charge.completed_at, charge.event_id)
        if charge.sign < 0:
            self._reversed = self._next(charge.stored.event_key)
        if (old := self._reversed) is None:
            self._found(5, f"charge {charge.seq} of {charge.event_id} reverses or replaces none that is in force")
            return
        revision = old.revision + (1 if charge.sign < 0 else 2)
        if (charge.revision, charge.supersedes) != (revision, old.revision):
            self._found(5, f"charge {charge.seq} of {charge.event_id} is not the revision that comes next")
        if charge.sign < 0:
            taken_back = (None if old.cost is None else -old.cost, old.split.reversed(), old.edition)
            if (charge.cost, charge.split, charge.edition) != taken_back:
                self._found(5, f"charge {charge.seq} of {charge.event_id} does not take back what it reverses")
            return
        self._reversed = None
        if self._again.fold(charge.cost, charge.completed_at) != charge.split:
            self._found(4, f"charge {charge.seq} of {charge.event_id} was not paid in the order of the rules")

    def end(self, now: datetime) -> list[tuple[int, int]]:
        """Fold what is left, none of which changes; returns by how much the repayments of which credits must change."""
        if self._reversed is not None:
            self._found(5, f"the charge of {self._reversed.event_id} is reversed and not made again")
        self._next(None)
        self._again.repay(now)
        return self._again.repayments()

    def _next(self, event_key: bytes | None) -> Paid | None:
        """The charge of a call, after folding those before it, which must stay as they are."""
        for paid in self._calls:
            if paid.event_key == event_key:
                return paid
            if self._again.fold(paid.cost, paid.completed_at) != paid.split:
                self._found(4, f"the charge of {paid.event_id} ought to be paid otherwise since it was folded again")
        return None
