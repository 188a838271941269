"""The ledger's rules told a second and a third time, sharing no code with costmeter: what the tests compare with.

Amounts are plain integers, instants are anything that can be compared. A credit is a dictionary with `id`, `kind`
("granted" or "topped_up"), `amount`, `starts` and `ends` (None: never); a charge is a pair of amount and instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Taken = dict[Any, int]  # credit id -> what it gave


def in_spending_order(credits: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Granted before topped up; then what ends first (what never ends last), what starts first, the lowest id."""
    ordered = sorted(credits, key=lambda credit: credit["id"])
    ordered.sort(key=lambda credit: credit["starts"])
    ending = sorted((c for c in ordered if c["ends"] is not None), key=lambda credit: credit["ends"])
    ordered = ending + [c for c in ordered if c["ends"] is None]
    return [c for c in ordered if c["kind"] == "granted"] + [c for c in ordered if c["kind"] == "topped_up"]


def greedy(
    credits: Sequence[Mapping[str, Any]], charges: Sequence[tuple[int, Any]]
) -> tuple[list[tuple[Taken, int, int]], Taken]:
    """Charge after charge, coin after coin: what each charge took from each credit, its overdraft and what of it is
    untracked; and what every credit has left."""
    left = {credit["id"]: credit["amount"] for credit in credits}
    opening = min((credit["starts"] for credit in credits), default=None)
    outcomes: list[tuple[Taken, int, int]] = []
    for amount, instant in charges:
        if opening is None or instant < opening:
            outcomes.append(({}, 0, amount))
            continue
        taken: Taken = {}
        owed = amount
        for credit in in_spending_order(credits):
            has_begun = credit["starts"] <= instant
            has_ended = credit["ends"] is not None and credit["ends"] <= instant
            part = min(owed, left[credit["id"]])
            if has_begun and not has_ended and part > 0:
                taken[credit["id"]] = part
                left[credit["id"]] -= part
                owed -= part
        outcomes.append((taken, owed, 0))
    return outcomes, left


def by_overlap(credits: Sequence[tuple[Any, int]], charges: Sequence[int]) -> list[tuple[Taken, int]]:
    """The closed form where no credit starts or ends: credits (id, amount) in spending order and charges are laid end
    to end on two rulers; what a credit gives a charge is the overlap of their stretches, beyond all credits is
    overdraft."""
    outcomes: list[tuple[Taken, int]] = []
    charged_before = 0
    for charge in charges:
        charged = charged_before + charge
        taken: Taken = {}
        credited_before = 0
        for credit_id, amount in credits:
            credited = credited_before + amount
            overlap = min(charged, credited) - max(charged_before, credited_before)
            if overlap > 0:
                taken[credit_id] = overlap
            credited_before = credited
        outcomes.append((taken, charge - sum(taken.values())))
        charged_before = charged
    return outcomes
