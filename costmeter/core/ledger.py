"""Which credit pays for which charge: granted before topped up, and overdraft for what nothing covers.

A credit counts from `effective_at` up to, without, `expires_at`, judged at the completion of the call. Among credits
that count, the order is kind (granted first), expiry (none last), effective_at, credit id: a total order, so that the
same facts always give the same split. Source: price page, Deduction Rules ("with a preference for using the granted
balance first when both balances are available").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

GRANTED, TOPPED_UP = "granted", "topped_up"
KINDS: tuple[str, ...] = (GRANTED, TOPPED_UP)

# The journal's accounts. A positive line is what the account has or was spent; every entry sums to zero.
OVERDRAFT, UNTRACKED, USAGE_COST, EXPIRED, FUNDING = "overdraft", "untracked", "usage_cost", "expired", "funding"
ADJUSTMENT = "adjustment"
JOURNAL_ACCOUNTS = (GRANTED, TOPPED_UP, OVERDRAFT, UNTRACKED, USAGE_COST, EXPIRED, FUNDING, ADJUSTMENT)
# How a credit came about: it was given or paid, it was there when the account was opened, or it corrects the balance.
ADDED, OPENING, CORRECTION = "credit", "opening", "correction"
ORIGINS = (ADDED, OPENING, CORRECTION)

_NEVER = datetime.max.replace(tzinfo=UTC)


class Credit(NamedTuple):
    """Balance given or paid for; `amount` in units of 10^-12."""

    credit_id: int
    kind: str
    amount: int
    effective_at: datetime
    expires_at: datetime | None = None

    def counts_at(self, instant: datetime) -> bool:
        """Whether a call that completed at this instant may spend it."""
        return self.effective_at <= instant and (self.expires_at is None or instant < self.expires_at)


class Deduction(NamedTuple):
    """What one credit gave for one charge or repayment."""

    credit_id: int
    kind: str
    amount: int


class Split(NamedTuple):
    """How one charge was paid; the four parts add up to the charge."""

    granted: int
    topped_up: int
    overdraft: int
    untracked: int
    deductions: tuple[Deduction, ...]

    def reversed(self) -> Split:
        """The split that takes this one back: every amount negated."""
        negated = tuple(deduction._replace(amount=-deduction.amount) for deduction in self.deductions)
        return Split(-self.granted, -self.topped_up, -self.overdraft, -self.untracked, negated)


class Repayment(NamedTuple):
    """Overdraft paid off by a topped-up credit, as of an instant."""

    credit_id: int
    amount: int
    effective_at: datetime


def rank(credit: Credit) -> tuple[int, datetime, datetime, int]:
    """The place of a credit in the order of spending."""
    return KINDS.index(credit.kind), credit.expires_at or _NEVER, credit.effective_at, credit.credit_id


@dataclass(slots=True)
class Purse:
    """What an account has at one point of its ledger; folding a charge into it gives the charge's split.

    `remaining` is what each credit has not yet given, whether or not it has expired since.
    """

    credits: list[Credit] = field(default_factory=list)
    remaining: dict[int, int] = field(default_factory=dict)
    overdraft: int = 0

    def __post_init__(self) -> None:
        self.credits.sort(key=rank)

    @property
    def opened_at(self) -> datetime | None:
        """From here on calls are deducted: the first instant at which any credit counts."""
        return min((credit.effective_at for credit in self.credits), default=None)

    def add(self, credit: Credit) -> None:
        self.credits.append(credit)
        self.credits.sort(key=rank)
        self.remaining[credit.credit_id] = credit.amount

    def remove(self, credit_id: int) -> Credit:
        """Take a credit out, as if it had never been given; what it gave is still counted in `remaining`."""
        (credit,) = (credit for credit in self.credits if credit.credit_id == credit_id)
        self.credits.remove(credit)
        return credit

    def give_back(self, split: Split) -> None:
        """Undo a split: what credits gave is theirs again, and what it left owed is not."""
        for deduction in split.deductions:
            self.remaining[deduction.credit_id] += deduction.amount
        self.overdraft -= split.overdraft

    def take(self, split: Split) -> None:
        """Take what a split says, without asking whether it is the one that the rules give."""
        self.give_back(split.reversed())

    def deduct(self, cost: int, completed_at: datetime) -> Split:
        """Take a charge from the credits that count at its completion; what is left is overdraft."""
        opened_at = self.opened_at
        if opened_at is None or completed_at < opened_at:
            return Split(0, 0, 0, cost, ())
        left, deductions = cost, []
        paid = dict.fromkeys(KINDS, 0)
        for credit in self.credits:
            if not left:
                break
            taken = min(left, self.remaining[credit.credit_id])
            if taken and credit.counts_at(completed_at):
                self.remaining[credit.credit_id] -= taken
                deductions.append(Deduction(credit.credit_id, credit.kind, taken))
                paid[credit.kind] += taken
                left -= taken
        self.overdraft += left
        return Split(paid[GRANTED], paid[TOPPED_UP], left, 0, tuple(deductions))

    def can_repay(self, at: datetime) -> bool:
        """Whether overdraft is owed that a topped-up credit in effect could pay."""
        return self.overdraft > 0 and any(
            credit.kind == TOPPED_UP and credit.effective_at <= at and self.remaining[credit.credit_id]
            for credit in self.credits
        )

    def repay(self, now: datetime) -> list[Repayment]:
        """Pay the overdraft off with topped-up credits that are in effect; a grant never repays it."""
        repayments = []
        for credit in self.credits:
            amount = min(self.overdraft, self.remaining[credit.credit_id])
            if amount and credit.kind == TOPPED_UP and credit.effective_at <= now:
                self.remaining[credit.credit_id] -= amount
                self.overdraft -= amount
                # Charges that this credit could have paid took from it, so what is owed is older than the credit.
                repayments.append(Repayment(credit.credit_id, amount, credit.effective_at))
        return repayments


def charge_lines(splits: Iterable[Split]) -> dict[str, int]:
    """The journal lines of a batch of charges, one an account."""
    lines = dict.fromkeys((GRANTED, TOPPED_UP, OVERDRAFT, UNTRACKED, USAGE_COST), 0)
    for split in splits:
        lines[GRANTED] -= split.granted
        lines[TOPPED_UP] -= split.topped_up
        lines[OVERDRAFT] -= split.overdraft
        lines[UNTRACKED] -= split.untracked
        lines[USAGE_COST] += split.granted + split.topped_up + split.overdraft + split.untracked
    return {account: amount for account, amount in lines.items() if amount}


def credit_lines(kind: str, amount: int, origin: str = ADDED) -> dict[str, int]:
    """The journal lines of a credit: it comes from outside the account; a negative amount is of its void."""
    return {kind: amount, ADJUSTMENT if origin == CORRECTION else FUNDING: -amount}


def correction_lines(amount: int) -> dict[str, int]:
    """The journal lines of a correction downwards: it is owed until topped-up balance repays it."""
    return {OVERDRAFT: -amount, ADJUSTMENT: amount}


def repayment_lines(amount: int) -> dict[str, int]:
    """The journal lines of overdraft repaid from the topped-up balance; a negative amount takes a repayment back."""
    return {TOPPED_UP: -amount, OVERDRAFT: amount}


def expiry_lines(amount: int) -> dict[str, int]:
    """The journal lines of a grant that expired; a negative amount reverses what a late call still takes."""
    return {GRANTED: -amount, EXPIRED: amount}


def is_balanced(lines: Mapping[str, int]) -> bool:
    """Whether an entry sums to zero, as every entry must."""
    return sum(lines.values()) == 0
