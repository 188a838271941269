"""How many calls there were, and how they went."""

from __future__ import annotations

from collections import Counter


class Tally:
    """Counts each call once, when it has ended for the vendor."""

    def __init__(self) -> None:
        self._billed = 0
        self._refused: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()

    def bill(self, fault: str | None) -> None:
        """A call that is in the ledger; a fault is what disturbed it."""
        self._billed += 1
        if fault:
            self._faults[fault] += 1

    def refuse(self, reason: str, *, on_demand: bool = False) -> None:
        """A call that is not; the reason is its status, or "silent"."""
        self._refused[reason] += 1
        if on_demand:
            self._faults[reason] += 1

    def as_json(self) -> dict[str, object]:
        """All calls, and among them those that a fault disturbed."""
        refused = dict(sorted(self._refused.items()))
        return {
            "calls": self._billed + sum(refused.values()),
            "billed": self._billed,
            "refused": refused,
            "faults": dict(sorted(self._faults.items())),
        }
