"""A fold: one posting of one account. It folds facts into the purse and collects the rows and entries that say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from costmeter.core.doubts import clock_doubt
from costmeter.core.errors import FrozenError
from costmeter.core.events import UsageEvent, digest
from costmeter.core.ledger import (
    Credit,
    Purse,
    Repayment,
    Split,
    charge_lines,
    expiry_lines,
    repayment_lines,
)
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import format_instant, month_after, month_of, quarter_of
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, Unpriced, price_event
from costmeter.services.count_budgets import Tally, count_budgets
from costmeter.store import accounts, charges, credits, journal
from costmeter.store.accounts import Account
from costmeter.store.bulk import Batch
from costmeter.store.credits import CreditBalance
from costmeter.store.events import StoredEvent
from costmeter.store.journal import Entry
from costmeter.store.rollups import Rollup


class _Posting(NamedTuple):
    """One call on its way into the books."""

    stored: StoredEvent
    priced: Charge | Unpriced
    marks: tuple[str, ...]  # what the clock leaves in doubt
    split: Split
    seq: int
    billing_month: str
    adjusts: str | None


def open_folds(batch: Batch, locked: Sequence[Account], now: datetime) -> Iterator[Fold]:
    """The folds of accounts, opened by two queries for all of them."""
    held = credits.held(batch.connection, locked)
    closed = journal.closed_months(batch.connection, [account.account for account in locked])
    for account in locked:
        purse, before = held[account.account]
        tally = Tally.of(batch.connection, account)
        yield Fold(batch, account, now, purse, before, closed.get(account.account), tally)


def write_folds(batch: Batch, folds: Sequence[Fold], now: datetime) -> None:
    """Write what was folded and, after it, what it spends of the accounts' budgets."""
    for fold in folds:
        fold.write()
    batch.write()
    count_budgets(batch.connection, {fold.tally: fold.account for fold in folds if fold.tally is not None}, now)


@dataclass
class Fold:
    """One posting of one account: folds facts into its purse and collects the rows that say so."""

    batch: Batch
    account: Account
    now: datetime
    purse: Purse
    before: dict[int, CreditBalance]
    closed_upto: str | None  # the last closed month
    tally: Tally | None  # of the budgets, if the account ever had one
    began: int = field(init=False)
    expired: dict[int, int] = field(init=False)
    entries: list[Entry] = field(default_factory=list)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    rollup: Rollup = field(default_factory=Rollup)

    def __post_init__(self) -> None:
        if self.account.frozen_at is not None:
            name, since = self.account.account, format_instant(self.account.frozen_at)
            remedy = f"nothing is posted to it; see: costmeter account show {name}"
            raise FrozenError(f"account {name!r} is frozen since {since}, as its ledger failed verify: {remedy}")
        self.began = self.account.version
        self.expired = {key: balance.expired for key, balance in self.before.items()}
        self.rows = {"charge": [], "deduction": [], "repayment": [], "expiry": []}

    @property
    def name(self) -> str:
        return self.account.account

    @property
    def is_rolled_up(self) -> bool:
        """Whether the rollups are kept: what was posted before is in them, or they are left to be rebuilt."""
        return self.account.rolled_up == self.began

    @property
    def next_seq(self) -> int:
        return (self.entries[-1].seq if self.entries else self.account.version) + 1

    def post(self, waiting: Sequence[StoredEvent], book: PriceBook) -> None:
        """Charge the calls in order of completion; what is owed is repaid before a call that comes after a top-up."""
        postings: list[_Posting] = []
        for stored in sorted(waiting, key=lambda stored: (stored.event.completed_at, stored.event.event_id or "")):
            if self.purse.can_repay(stored.event.completed_at):
                self._book(postings)
                postings = []
                self.repay(stored.event.completed_at)
            postings.append(self._charge(stored, book, self.next_seq + len(postings)))
        self._book(postings)
        self.reverse_expiries()

    def _charge(self, stored: StoredEvent, book: PriceBook, seq: int) -> _Posting:
        """Price one call and take it from the purse."""
        event, account = stored.event, self.account
        priced, marks = price_and_marks(book, event, account)
        split = self.purse.deduct(_cost(priced) or 0, event.completed_at)
        posting = _Posting(stored, priced, marks, split, seq, *self.month(event.completed_at))
        self._keep_posting(posting, book.edition)
        return posting

    def _book(self, postings: Sequence[_Posting]) -> None:
        """An entry for the calls of each billing month."""
        for month, group in groupby(postings, key=lambda posting: posting.billing_month):
            for part in _within_64_bits(list(group)):
                lines = charge_lines(posting.split for posting in part)
                self.entries.append(Entry("charges", part[0].seq, part[-1].seq, month, self.now, _seal(part), lines))

    def add_credit(self, credit: Credit, lines: dict[str, int], seal: bytes) -> None:
        """Book a credit under its own number."""
        month, _ = self.month(credit.effective_at)
        self.entries.append(Entry("credit", credit.credit_id, credit.credit_id, month, self.now, seal, lines))
        self.purse.add(credit)
        self.expired[credit.credit_id] = 0

    def repay(self, at: datetime | None = None) -> None:
        """Pay overdraft off with what topped-up credits have at an instant, by default now."""
        for repayment in self.purse.repay(at or self.now):
            self.book_repayment(repayment)

    def book_repayment(self, repayment: Repayment) -> None:
        """Book what the purse repaid; a negative amount takes back what it repaid before."""
        row = {**repayment._asdict(), "account": self.account.account, "booked_at": self.now, "seq": self.next_seq}
        self.rows["repayment"].append(row)
        self._move("repayment", repayment_lines(repayment.amount), repayment.effective_at, row)

    def expire(self) -> None:
        """Post what grants still held when they expired."""
        for credit in self.purse.credits:
            left = self.purse.remaining[credit.credit_id] - self.expired[credit.credit_id]
            if credit.expires_at is not None and credit.expires_at <= self.now and left:
                self.book_expiry(credit.credit_id, left, credit.expires_at)

    def flush(self) -> None:
        """Write the rows and entries that were folded so far, so that a long fold does not keep them all."""
        self._fill()
        self.batch.write()

    def _fill(self) -> None:
        charges.add(self.batch, self.rows["charge"], self.rows["deduction"])
        for kind in ("repayment", "expiry"):
            credits.add_moves(self.batch, kind, self.rows[kind])
        if self.is_rolled_up:
            self.rollup.write(self.batch, self.account.account, self.account.timezone)
        self.account = journal.append(self.batch, self.account, self.entries)
        self.entries = []
        self.rows = {kind: [] for kind in self.rows}

    def write(self) -> None:
        """Put into the batch what was folded, and the account and balances as they stand after it."""
        name = self.account.account
        self._fill()
        after = {key: CreditBalance(self.purse.remaining[key], self.expired[key]) for key in self.purse.remaining}
        changed = {key: balance for key, balance in after.items() if balance != self.before.get(key)}
        credits.save_balances(self.batch, name, changed)
        if self.account.version != self.began:
            rolled_up = self.account.version if self.is_rolled_up else self.account.rolled_up
            accounts.save(self.batch, self.account._replace(overdraft=self.purse.overdraft, rolled_up=rolled_up))

    def reverse_expiries(self) -> None:
        """A late call that took from a grant posted as expired: that part did not expire."""
        for credit in self.purse.credits:
            excess = self.expired[credit.credit_id] - self.purse.remaining[credit.credit_id]
            if excess > 0 and credit.expires_at is not None:
                self.book_expiry(credit.credit_id, -excess, credit.expires_at)

    def book_expiry(self, credit_id: int, amount: int, effective_at: datetime) -> None:
        """Book that a grant expired; a negative amount takes that back."""
        self.expired[credit_id] += amount
        row = {"credit_id": credit_id, "amount": amount, "effective_at": effective_at, "seq": self.next_seq}
        row |= {"account": self.account.account, "booked_at": self.now}
        self.rows["expiry"].append(row)
        self._move("expiry", expiry_lines(amount), effective_at, row)

    def _move(self, kind: str, lines: dict[str, int], effective_at: datetime, row: dict[str, Any]) -> None:
        month, _ = self.month(effective_at)
        self.entries.append(Entry(kind, row["seq"], row["seq"], month, self.now, seal_move(row), lines))

    def month(self, instant: datetime) -> tuple[str, str | None]:
        """The billing month, and the closed month that it adjusts: with a month all before it are closed."""
        month = month_of(instant, self.account.timezone)
        if self.closed_upto is None or month > self.closed_upto:
            return month, None
        return max(month_of(self.now, self.account.timezone), month_after(self.closed_upto)), month

    def _keep_posting(self, posting: _Posting, edition: str) -> None:
        stored, split = posting.stored, posting.split
        key = {
            "account": self.account.account,
            "event_key": stored.event_key,
            "completed_at": stored.event.completed_at,
            "revision": 1,
        }
        charge = {
            **key,
            "supersedes": None,
            "sign": 1,
            "seq": posting.seq,
            "booked_at": self.now,
            "billing_month": posting.billing_month,
            "adjusts": posting.adjusts,
            "currency": self.account.currency,
            "edition": edition,
            **price_columns(posting.priced, posting.marks),
            "granted": split.granted,
            "topped_up": split.topped_up,
            "overdraft": split.overdraft,
            "untracked": split.untracked,
        }
        self.keep(charge, stored.event, split)

    def keep(self, charge: dict[str, Any], event: UsageEvent, split: Split) -> None:
        """Keep a charge's row, what paid it, and what it adds to the rollups."""
        self.rows["charge"].append(charge)
        key = {name: charge[name] for name in ("account", "event_key", "completed_at", "revision")}
        for ordinal, (credit_id, kind, amount) in enumerate(split.deductions):
            paid = {"ordinal": ordinal, "credit_id": credit_id, "kind": kind, "amount": amount}
            self.rows["deduction"].append(key | paid)
        quarter = quarter_of(event.completed_at)
        self.rollup.add(charge, event, quarter)
        if self.tally is not None:
            self.tally.add(charge, event, quarter)


def _seal(postings: Sequence[_Posting]) -> bytes:
    return seal_charges([charge_fact(p.seq, p.stored, 1, _cost(p.priced), p.split[:4]) for p in postings])


def seal_charges(facts: Sequence[Sequence[Any]]) -> bytes:
    """The digest of the charges that an entry books."""
    return digest(facts)


def charge_fact(seq: int, stored: StoredEvent, revision: int, cost: int | None, split: Sequence[int]) -> list[Any]:
    """What a journal entry's digest says of one charge, and through it of the call."""
    return [seq, stored.event_key.hex(), stored.event.seal().hex(), revision, cost, list(split)]


def seal_move(row: Mapping[str, Any]) -> bytes:
    """What a journal entry's digest says of a repayment or an expiry."""
    return digest([row["seq"], row["credit_id"], row["amount"], format_instant(row["effective_at"])])


def _cost(priced: Charge | Unpriced) -> int | None:
    return None if isinstance(priced, Unpriced) else priced.total


def price_and_marks(book: PriceBook, event: UsageEvent, account: Account) -> tuple[Charge | Unpriced, tuple[str, ...]]:
    """What a call costs in an account's currency, and what a doubt of the clock could change."""
    priced = price_event(book, event, account.currency)
    return priced, clock_doubt(book, event, priced, account.currency, account.timezone).flags


def price_columns(priced: Charge | Unpriced, marks: Sequence[str]) -> dict[str, Any]:
    """What a charge's row says of its price, and of the doubts about it."""
    if isinstance(priced, Unpriced):
        nothing = dict.fromkeys(("tariff", "band", "cost_cache_hit", "cost_cache_miss", "cost_output", "cost"))
        flags = ",".join(marks) or None
        return {"status": "unpriced", **nothing, "cache_savings": 0, "off_peak_savings": 0, "flags": flags}
    return {
        "status": "provisional" if priced.provisional else "priced",
        "tariff": priced.tariff.tariff_id,
        "band": priced.band,
        "cost_cache_hit": priced.cost_cache_hit,
        "cost_cache_miss": priced.cost_cache_miss,
        "cost_output": priced.cost_output,
        "cost": priced.total,
        "cache_savings": priced.cache_savings,
        "off_peak_savings": priced.off_peak_savings,
        "flags": ",".join((*priced.flags, *marks)) or None,
    }


def _within_64_bits(postings: list[_Posting]) -> list[list[_Posting]]:
    """The postings in runs whose sum fits one journal line."""
    runs: list[list[_Posting]] = [[]]
    total = 0
    for posting in postings:
        cost = _cost(posting.priced) or 0
        if total + cost > MAX_AMOUNT:
            runs.append([])
            total = 0
        runs[-1].append(posting)
        total += cost
    return runs
