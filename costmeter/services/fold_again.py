"""Fold posted calls again where what was known of them has changed, and post only the differences.

A credit entered late, a void and a price that changed all alter how calls were paid that are posted already. From the
earliest call that is affected, all calls are folded again in canonical order (completion, then event id), by the rules
that posting goes by. A charge that comes out otherwise is reversed and made again; what repayments and expiries come
to otherwise is booked as new rows.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection

from costmeter.core.events import UsageEvent
from costmeter.core.ledger import TOPPED_UP, Credit, Purse, Repayment, Split, charge_lines, rank
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import Period
from costmeter.services.fold import Fold, charge_fact, seal_charges
from costmeter.store import charges, corrections, credits, detached
from costmeter.store.charges import Paid
from costmeter.store.events import StoredEvent
from costmeter.store.journal import Entry
from costmeter.store.tables import CorrectionRow

COSTS = ("cost_cache_hit", "cost_cache_miss", "cost_output", "cost")
MONEY = (*COSTS, "granted", "topped_up", "overdraft", "untracked", "cache_savings", "off_peak_savings")


class Price(NamedTuple):
    """A call's new price: what it costs, and the columns that say so once its event has been read."""

    cost: int | None
    columns: Callable[[UsageEvent], Mapping[str, Any]]


Prices = Callable[[Sequence[Paid]], Mapping[bytes, Price]]  # the new prices of those calls that have one


class Change(NamedTuple):
    """A charge in force that is to be replaced: how it is paid now, and its new price if that changed too."""

    paid: Paid
    split: Split
    price: Price | None


class _Row(NamedTuple):
    """One row of a charge on its way into the books, with what its entry says of it."""

    charge: dict[str, Any]
    split: Split
    stored: StoredEvent


class Again:
    """The calls of an account from an instant on, folded again into its purse, from which they are unwound first.

    `upto` is the number of the newest fact that was known; the one after it is what the calls are folded again for.
    What credits gave for calls before `since` stands as it was posted, as do repayments, by credits that were in effect
    by then, of what was owed then. A correction downwards is owed from its own instant on.
    """

    def __init__(self, connection: Connection, account: str, purse: Purse, *, since: datetime, upto: int) -> None:
        self._connection, self._account, self._upto = connection, account, upto
        self.purse, self.since = purse, since
        detached.refuse_period(connection, [account], Period(since, None))
        standing = {credit.credit_id for credit in purse.credits if credit.effective_at <= since}
        repaid = credits.repaid(connection, account, upto)
        self._was_repaid = Counter({key: amount for key, amount in repaid.items() if key not in standing})
        self._is_repaid: Counter[int] = Counter()
        given, overdraft = charges.given_since(connection, account, since=since, upto=upto)
        for before in (given, self._was_repaid):
            for credit_id, amount in before.items():
                purse.remaining[credit_id] = purse.remaining.get(credit_id, 0) + amount
        since_then = (CorrectionRow.effective_at >= since, CorrectionRow.seq <= upto + 1, CorrectionRow.amount < 0)
        owed = corrections.of_account(connection, account, *since_then)
        self._to_owe = deque(sorted((one.effective_at, -one.amount) for one in owed))
        purse.overdraft += self._was_repaid.total() - overdraft - sum(amount for _, amount in self._to_owe)
        self._take_back({key: amount for key, amount in repaid.items() if key in standing})

    def _take_back(self, repaid: Mapping[int, int]) -> None:
        """More was repaid than was owed then: the rest paid a correction that comes later, and what came last goes."""
        for credit in sorted(self.purse.credits, key=rank, reverse=True):
            back = min(-self.purse.overdraft, repaid.get(credit.credit_id, 0))
            if back > 0:
                self._was_repaid[credit.credit_id] += back
                self.purse.remaining[credit.credit_id] += back
                self.purse.overdraft += back

    def calls(self) -> Iterator[list[Paid]]:
        """The charges in force from there on, in canonical order."""
        return charges.in_force(self._connection, self._account, since=self.since, upto=self._upto)

    def fold(self, cost: int | None, completed_at: datetime) -> Split:
        """How the next call is paid; what is owed is repaid before a call that comes after a top-up."""
        self._owe(completed_at)
        if self.purse.can_repay(completed_at):
            self.repay(completed_at)
        return self.purse.deduct(cost or 0, completed_at)

    def _owe(self, until: datetime) -> None:
        while self._to_owe and self._to_owe[0][0] <= until:
            self.purse.overdraft += self._to_owe.popleft()[1]

    def repay(self, at: datetime) -> None:
        self._owe(at)
        for repayment in self.purse.repay(at):
            self._is_repaid[repayment.credit_id] += repayment.amount

    def repayments(self) -> list[tuple[int, int]]:
        """By how much the repayments of which credits come out otherwise: first what is taken back."""
        differences = Counter(self._is_repaid)
        differences.subtract(self._was_repaid)
        changed = [(credit_id, amount) for credit_id, amount in sorted(differences.items()) if amount]
        return sorted(changed, key=lambda change: change[1] > 0)


def first_affected(
    connection: Connection, account: str, credit: Credit, others: Sequence[Credit], upto: int
) -> datetime | None:
    """From when on calls are folded again once this credit is known; None where it changes nothing posted.

    A topped-up credit also comes before younger ones in repaying overdraft.
    """
    if credit.kind == TOPPED_UP:
        younger = {other.credit_id for other in others if other.effective_at > credit.effective_at}
        if younger & credits.repaid(connection, account, upto).keys():
            return credit.effective_at
    return charges.first_paid_otherwise(connection, account, credit, others, upto)


def fold_again(fold: Fold, since: datetime, prices: Prices = lambda _: {}) -> None:
    """Fold the calls completed from `since` on again, with the new prices of some; writes what changes as it goes."""
    starts = {b.credit.credit_id: b.credit.effective_at for b in credits.of_account(fold.batch.connection, fold.name)}
    again = Again(fold.batch.connection, fold.name, fold.purse, since=since, upto=fold.began)
    for calls in again.calls():
        priced = prices(calls)
        changes = []
        for paid in calls:
            price = priced.get(paid.event_key)
            split = again.fold(price.cost if price else paid.cost, paid.completed_at)
            if price or split != paid.split:
                changes.append(Change(paid, split, price))
        _replace(fold, changes)
    again.repay(fold.now)
    for credit_id, amount in again.repayments():
        fold.book_repayment(Repayment(credit_id, amount, starts[credit_id]))
    fold.reverse_expiries()


def _replace(fold: Fold, changes: Sequence[Change]) -> None:
    """Reverse each charge and make it again, in the month that is open for it."""
    found = charges.whole(fold.batch.connection, fold.name, [change.paid for change in changes])
    rows: list[_Row] = []
    for change in changes:
        charge, stored = found[change.paid.event_key]
        month, adjusts = fold.month(change.paid.completed_at)
        booked = {"supersedes": change.paid.revision, "booked_at": fold.now}
        booked |= {"billing_month": month, "adjusts": adjusts}
        parts = dict(zip(("granted", "topped_up", "overdraft", "untracked"), change.split, strict=False))
        rows.append(_Row({**charge, **negated(charge), **booked}, change.paid.split.reversed(), stored))
        price = change.price.columns(stored.event) if change.price else {}
        rows.append(_Row({**charge, **price, **parts, **booked}, change.split, stored))
        for revision, row in enumerate(rows[-2:], change.paid.revision + 1):
            row.charge["revision"] = revision
    for _, group in groupby(rows, key=lambda row: row.charge["billing_month"]):
        for part in _within_64_bits(group):
            _book(fold, part)
    fold.flush()


def _book(fold: Fold, rows: Sequence[_Row]) -> None:
    """An entry for rows of one billing month."""
    first = fold.next_seq
    facts = []
    for seq, (charge, split, stored) in enumerate(rows, first):
        charge["seq"] = seq
        fold.keep(charge, stored.event, split)
        facts.append(charge_fact(seq, stored, charge["revision"], charge["cost"], split[:4]))
    last, month = first + len(rows) - 1, rows[0].charge["billing_month"]
    lines = charge_lines(split for _, split, _ in rows)
    fold.entries.append(Entry("fold", first, last, month, fold.now, seal_charges(facts), lines))


def negated(charge: Mapping[str, Any]) -> dict[str, Any]:
    """What a reversal says otherwise than the charge that it reverses."""
    money = {name: None if charge[name] is None else -charge[name] for name in MONEY}
    return {**money, "sign": -1}


def _within_64_bits(rows: Iterator[_Row]) -> list[list[_Row]]:
    """The rows in runs whose sums fit one journal line, whichever of them is taken first."""
    runs: list[list[_Row]] = [[]]
    total = 0
    for row in rows:
        amount = sum(abs(part) for part in row.split[:4])
        if total + amount > MAX_AMOUNT:
            runs.append([])
            total = 0
        runs[-1].append(row)
        total += amount
    return [run for run in runs if run]
