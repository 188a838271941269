"""Replay an account's ledger from its facts, in the order of its sequence, by the same pure rules but from nothing.

Whatever is stored beside the facts (prices, splits, balances, journal lines, digests) must come out the same. What was
folded again is folded again here, from what was known then. Where no call was posted out of canonical order
(completion, then event id), or those that were have been folded again since, a fold from the beginning must also come
to the same; where one was, it paid its way in the order of arrival.

What an earlier replay has found whole need not be folded again: it left a checkpoint to begin from, unless something
that came since reaches behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from costmeter.core.doubts import clock_doubt
from costmeter.core.ledger import (
    Purse,
    charge_lines,
    correction_lines,
    credit_lines,
    expiry_lines,
    repayment_lines,
)
from costmeter.core.periods import FIRST_INSTANT, LAST_INSTANT, month_of, month_period
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Unpriced, price_event
from costmeter.services.add_credit import seal_credit
from costmeter.services.close_month import seal_closing
from costmeter.services.correct_balance import seal_correction
from costmeter.services.fold import charge_fact, price_columns, seal_charges, seal_move
from costmeter.services.fold_again import MONEY, Again, first_affected
from costmeter.services.replay_fold import ReplayFold
from costmeter.services.void_credit import first_paid_by, seal_void
from costmeter.store import charges, closings, corrections, credits, journal
from costmeter.store.accounts import Account
from costmeter.store.booked import Booked, booked
from costmeter.store.checkpoints import Checkpoint
from costmeter.store.closings import Closing
from costmeter.store.corrections import Correction
from costmeter.store.credits import BookedCredit
from costmeter.store.tables import EntryRow, ExpiryRow, LineRow, RepaymentRow, Table


class Replay:
    """One account's ledger, folded again; `found` is told each promise that is broken, and by what."""

    def __init__(
        self,
        connection: Connection,
        account: Account,
        *,
        since: Checkpoint,
        book: Callable[[str], PriceBook | None],
        found: Callable[[int, str], None],
        progress: Callable[[int], None],
    ) -> None:
        self.connection, self.account, self.since = connection, account, since
        self._book, self._found, self._progress = book, found, progress
        self.credits = {b.credit.credit_id: b for b in credits.of_account(connection, account.account)}
        stood = [b.credit for b in self.credits.values() if b.void is None or b.void.seq > since.seq > 0]
        self.purse = since.purse(stood)
        self.expired = dict(since.expired)
        self.repayments = {row.seq: row for row in self._rows(RepaymentRow)}
        self.expiries = {row.seq: row for row in self._rows(ExpiryRow)}
        self.voids = {booked.void.seq: booked for booked in self.credits.values() if booked.void}
        self.corrections = {c.seq: c for c in corrections.of_account(connection, account.account) if c.amount < 0}
        self.closings = {closing.seq: closing for closing in closings.of_account(connection, account.account)}
        self._kinds: dict[str, tuple[Mapping[int, Any], Callable[[Any], tuple[dict[str, int], bytes]]]] = {
            "credit": (self.credits, self._fold_credit),
            "void": (self.voids, self._fold_void),
            "correction": (self.corrections, self._fold_correction),
            "close": (self.closings, self._fold_closing),
            "repayment": (self.repayments, self._fold_repayment),
            "expiry": (self.expiries, self._fold_expiry),
        }
        self._voided: int | None = None  # a credit that gives back what it gave, and has nothing after that
        self._folding: ReplayFold | None = None
        self._due: list[tuple[int, int]] = []  # what a folding again must have booked, in this order
        # What comes last in canonical order; what came before a checkpoint may have been any.
        self._newest = (LAST_INSTANT if since.seq else FIRST_INSTANT, "")
        self._late: datetime | None = None  # the earliest completion posted out of that order and not folded since
        self._now = FIRST_INSTANT  # of the newest entry
        self._in_time = True  # whether each entry was booked after the one before
        self.lines: dict[int, dict[str, int]] = {}
        for row in self._rows(LineRow):
            self.lines.setdefault(row.seq, {})[row.journal_account] = row.amount

    def run(self) -> Checkpoint:
        """Fold what came after the checkpoint; returns how far that went."""
        posted = booked(self.connection, self.account.account, after=self.since.seq)
        chain, last = self.since.chain, self.since.seq
        unbooked = {(kind, seq) for kind, (facts, _) in self._kinds.items() for seq in facts if seq > last}
        for entry in self._rows(EntryRow):
            if entry.first_seq != last + 1 or entry.seq < entry.first_seq:
                self._found(5, f"entry {entry.seq} begins at {entry.first_seq}, after {last}: the sequence has a gap")
            if entry.kind != "fold":
                self._end_folding()
            self._in_time &= entry.booked_at >= self._now
            self._now = entry.booked_at
            lines, seal = self._fold(entry, posted)
            self._check_entry(entry, lines, seal, chain)
            unbooked.discard((entry.kind, entry.seq))
            chain, last = entry.chain, entry.seq
        self._end_folding()
        self._expect_no_repayment()
        for charge in posted:
            self._found(5, f"charge {charge.seq} is in no journal entry")
        for kind, seq in sorted(unbooked):
            self._found(5, f"{kind} {seq} is in no journal entry")
        for seq in sorted(self.lines):
            self._found(6, f"journal lines {self.lines[seq]} stand under entry {seq}, which is not there")
        self._check_projections(chain, last)
        if self.since.seq == 0 and self._late is None and self._in_time:
            self._check_from_the_beginning(last)
        return self.since._replace(
            seq=last,
            chain=chain,
            overdraft=self.purse.overdraft,
            remaining=self.purse.remaining,
            expired=self.expired,
        )

    def _fold(self, entry: Row[Any], posted: Iterator[Booked]) -> tuple[dict[str, int], bytes]:
        """The lines and the digest that an entry should have, by its facts."""
        seq = entry.seq
        if entry.kind in ("charges", "fold"):
            return self._fold_charges(entry, posted)
        if entry.kind != "repayment":
            self._expect_no_repayment()
        facts, fold = self._kinds.get(entry.kind, ({}, None))
        if fold is not None and seq in facts:
            return fold(facts[seq])
        self._found(5, f"entry {seq} books a {entry.kind} that is not there")
        return {}, b""

    def _fold_credit(self, booked: BookedCredit) -> tuple[dict[str, int], bytes]:
        credit = booked.credit
        self._check_currency("credit", credit.credit_id, booked.currency)
        upto = credit.credit_id - 1
        since, begins = None, credit.effective_at
        if begins <= self._newest[0] or any(other.effective_at > begins for other in self.purse.credits):
            since = first_affected(self.connection, self.account.account, credit, self.purse.credits, upto)
        self.purse.add(credit)
        self.expired[credit.credit_id] = 0
        if since is not None:
            self._begin_folding(since, upto)
        return credit_lines(credit.kind, credit.amount, booked.origin), seal_credit(booked)

    def _fold_void(self, booked: BookedCredit) -> tuple[dict[str, int], bytes]:
        credit = booked.credit
        assert booked.void is not None
        if credit not in self.purse.credits:
            self._found(5, f"void {booked.void.seq} is of credit {credit.credit_id}, which was not there")
            return {}, b""
        self.purse.remove(credit.credit_id)
        upto = booked.void.seq - 1
        since = first_paid_by(self.connection, self.account.account, credit, self.purse.credits, upto)
        if since is not None:
            self._begin_folding(since, upto)
        self._voided = credit.credit_id
        return credit_lines(credit.kind, -credit.amount, booked.origin), seal_void(credit.credit_id, booked.void)

    def _fold_correction(self, correction: Correction) -> tuple[dict[str, int], bytes]:
        self.purse.overdraft -= correction.amount
        self._newest = max(self._newest, (correction.effective_at, ""))  # a call of before it comes out of order too
        upto, since = correction.seq - 1, correction.effective_at
        if charges.has_since(self.connection, self.account.account, since=since, upto=upto):
            self._begin_folding(since, upto)
        return correction_lines(-correction.amount), seal_correction(correction)

    def _fold_closing(self, closing: Closing) -> tuple[dict[str, int], bytes]:
        """A month that is closed is folded again as a whole, in canonical order."""
        start = month_period(closing.month, self.account.timezone).start
        assert start is not None
        self._begin_folding(start, closing.seq - 1)
        return {}, seal_closing(closing.seq, closing.month, closing.by_whom, closing.reason)

    def _begin_folding(self, since: datetime, upto: int) -> None:
        again = Again(self.connection, self.account.account, self.purse, since=since, upto=upto)
        self._folding = ReplayFold(again, self._found)
        if self._late is not None and self._late >= since:
            self._late = None

    def _end_folding(self) -> None:
        if self._folding is not None:
            self._due = self._folding.end(self._now)
            self._folding = None
        if self._voided is not None:
            self.purse.remaining[self._voided] = 0
            self._voided = None

    def _expect_no_repayment(self) -> None:
        for credit_id, amount in self._due:
            self._found(4, f"credit {credit_id} repays {amount} more, which is in no repayment")
        self._due = []

    def _check_from_the_beginning(self, last: int) -> None:
        """Promise 4: a fold of everything that is known, in canonical order, comes to what was posted."""
        purse = Purse(list(self.purse.credits), dict(self.purse.remaining), self.purse.overdraft)
        again = Again(self.connection, self.account.account, purse, since=FIRST_INSTANT, upto=last)
        ReplayFold(again, self._found).end(self._now)
        if purse != self.purse:
            what = f"{(purse.remaining, purse.overdraft)}, not {(self.purse.remaining, self.purse.overdraft)}"
            self._found(4, f"folded from the beginning, credits have and the account owes {what}")

    def _fold_charges(self, entry: Row[Any], posted: Iterator[Booked]) -> tuple[dict[str, int], bytes]:
        splits, facts = [], []
        for expected in range(entry.first_seq, entry.seq + 1):
            charge = next(posted, None)
            if charge is None or charge.seq != expected:
                self._found(5, f"charge {expected} is missing: the sequence has a gap")
                break
            self._check_price(charge)
            self._check_month(charge, entry.billing_month)
            self._check_currency("charge", charge.seq, charge.currency)
            if entry.kind == "fold":
                self._check_folding(charge)
            else:
                self._check_arrival(charge)
            splits.append(charge.split)
            facts.append(charge_fact(charge.seq, charge.stored, charge.revision, charge.cost, charge.split[:4]))
            self._progress(1)
        return charge_lines(splits), seal_charges(facts)

    def _check_arrival(self, charge: Booked) -> None:
        """A call that is posted takes what there is."""
        self._expect_no_repayment()
        if self.purse.deduct(charge.cost or 0, charge.completed_at) != charge.split:
            self._found(4, f"charge {charge.seq} of {charge.event_id} was not paid in the order of the rules")
        if (charge.revision, charge.sign) != (1, 1):
            self._found(5, f"charge {charge.seq} of {charge.event_id} is posted as revision {charge.revision}")
        place = charge.completed_at, charge.event_id
        if place < self._newest:
            self._late = min(self._late or charge.completed_at, charge.completed_at)
        self._newest = max(self._newest, place)

    def _check_folding(self, charge: Booked) -> None:
        """A call that is folded again; without a credit or a void before it, a price has changed."""
        if self._folding is None or not self._folding.goes_on_with(charge):
            self._end_folding()
            self._expect_no_repayment()
            self._begin_folding(charge.completed_at, charge.seq - 1)
        assert self._folding is not None
        self._folding.check(charge)

    def _fold_repayment(self, row: Row[Any]) -> tuple[dict[str, int], bytes]:
        if self._due:
            if self._due.pop(0) != (row.credit_id, row.amount):
                self._found(4, f"repayment {row.seq} is not what the fold of the calls before comes to")
            return repayment_lines(row.amount), seal_move(row._asdict())
        return self._fold_arrived_repayment(row)

    def _fold_arrived_repayment(self, row: Row[Any]) -> tuple[dict[str, int], bytes]:
        due = self.purse.repay(row.booked_at)
        if not due or (due[0].credit_id, due[0].amount) != (row.credit_id, row.amount):
            self._found(4, f"repayment {row.seq} is not what the topped-up credits owed")
        for rest in due[1:]:  # each has an entry of its own, which comes next
            self.purse.remaining[rest.credit_id] += rest.amount
            self.purse.overdraft += rest.amount
        return repayment_lines(row.amount), seal_move(row._asdict())

    def _fold_expiry(self, row: Row[Any]) -> tuple[dict[str, int], bytes]:
        if row.credit_id not in self.purse.remaining:
            self._found(4, f"expiry {row.seq} is of credit {row.credit_id}, which was not there")
            return expiry_lines(row.amount), seal_move(row._asdict())
        left = self.purse.remaining[row.credit_id] - self.expired[row.credit_id]
        credit = self.credits[row.credit_id].credit
        if credit.expires_at is None or credit.expires_at > row.booked_at or left != row.amount:
            self._found(4, f"expiry {row.seq} is not what credit {row.credit_id} held when it expired")
        self.expired[row.credit_id] += row.amount
        return expiry_lines(row.amount), seal_move(row._asdict())

    def _check_entry(self, entry: Row[Any], lines: dict[str, int], seal: bytes, chain: bytes) -> None:
        stored = self.lines.pop(entry.seq, {})
        self._check_currency("entry", entry.seq, entry.currency)
        if sum(stored.values()) != 0:
            self._found(4, f"entry {entry.seq} does not sum to zero")
        if stored != lines:
            self._found(6, f"entry {entry.seq} has lines {stored}, its facts give {lines}")
        kept = journal.Entry(
            entry.kind, entry.first_seq, entry.seq, entry.billing_month, entry.booked_at, entry.facts, stored
        )
        if seal != entry.facts:
            self._found(5, f"the facts of entry {entry.seq} are not those that it sealed")
        if journal.link(chain, self.account.account, kept) != entry.chain:
            self._found(5, f"entry {entry.seq} breaks the chain of digests")

    def _check_price(self, charge: Booked) -> None:
        """Promise 3: priced again by its own edition, a charge comes out the same.

        By the rule of core, call by call: what prices calls in bulk is another way, and must not be its own witness.
        """
        event, book = charge.stored.event, self._book(charge.edition)
        if book is None:
            self._found(3, f"charge {charge.seq} of {charge.event_id} has no price book: {charge.edition} is not whole")
            return
        if event.usage is None:
            return  # promise 1 has found it
        priced = price_event(book, event, charge.currency)
        marks = clock_doubt(book, event, priced, charge.currency, self.account.timezone).flags
        again = price_columns(priced, marks)
        if charge.price != again:
            self._tell_prices(charge, again)
        if isinstance(priced, Unpriced) and any(charge.split[:4]):
            self._found(3, f"charge {charge.seq} of {charge.event_id} is unpriced and took money")

    def _tell_prices(self, charge: Booked, again: Mapping[str, Any]) -> None:
        """Where they are not the same; those of a reversal are negated."""
        for name, value in again.items():
            stored = charge.price[name]
            if stored != (value * charge.sign if name in MONEY and value is not None else value):
                self._found(3, f"charge {charge.seq} of {charge.event_id} has {name} {stored}, priced again {value}")

    def _check_month(self, charge: Booked, booked: str) -> None:
        """Promise 5: a charge stands in the month of its entry: that of its completion, or it says which it adjusts."""
        own = month_of(charge.completed_at, self.account.timezone)
        if charge.billing_month != booked or (charge.adjusts or booked) != own:
            said = f" adjusting {charge.adjusts}" if charge.adjusts else ""
            stands = f"stands in {charge.billing_month}{said}, its entry in {booked}, its completion in {own}"
            self._found(5, f"charge {charge.seq} of {charge.event_id} {stands}")

    def _check_currency(self, kind: str, seq: int, currency: str) -> None:
        if currency != self.account.currency:
            self._found(5, f"{kind} {seq} is in {currency}, the account in {self.account.currency}")

    def _check_projections(self, chain: bytes, last: int) -> None:
        """Promise 6: what is kept for speed equals what the facts give."""
        stored = credits.balances(self.connection, self.account.account)
        for credit_id in sorted(stored.keys() | self.purse.remaining.keys()):
            fresh = None
            if credit_id in self.purse.remaining:
                fresh = credits.CreditBalance(self.purse.remaining[credit_id], self.expired[credit_id])
            if stored.get(credit_id) != fresh:
                self._found(6, f"credit {credit_id} is kept as {stored.get(credit_id)}, its facts give {fresh}")
        kept = (self.account.version, self.account.overdraft, self.account.chain)
        if kept != (last, self.purse.overdraft, chain):
            self._found(6, f"the account is kept at {kept[:2]}, its facts give {(last, self.purse.overdraft)}")

    def _rows(self, table: type[Table]) -> list[Row[Any]]:
        columns = table.__table__.columns
        mine = (columns["account"] == self.account.account, columns["seq"] > self.since.seq)
        query = select(*columns).where(*mine).order_by(columns["seq"])
        return list(self.connection.execute(query))
