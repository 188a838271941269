"""Replay an account's ledger from its facts, in the order of its sequence, by the same pure rules but from nothing.

Whatever is stored beside the facts (prices, splits, balances, journal lines, digests) must come out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from costmeter.core.doubts import clock_doubt
from costmeter.core.ledger import Purse, Split, charge_lines, credit_lines, expiry_lines, repayment_lines
from costmeter.core.periods import month_of
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Unpriced, price_event
from costmeter.services.add_credit import seal_credit
from costmeter.services.post_charges import charge_fact, price_columns, seal_charges, seal_move
from costmeter.store import credits, journal
from costmeter.store.accounts import NO_CHAIN, Account
from costmeter.store.events import of_one_event, stored_event
from costmeter.store.tables import ChargeRow, DeductionRow, EntryRow, EventRow, ExpiryRow, LineRow, RepaymentRow, Table

CHUNK = 2_000
_ChargePaid = tuple[Row[Any], list[Row[Any]]]  # a charge and its deductions


class Replay:
    """One account's ledger, folded again; `found` is told each promise that is broken, and by what."""

    def __init__(
        self,
        connection: Connection,
        account: Account,
        *,
        book: Callable[[str], PriceBook | None],
        found: Callable[[int, str], None],
        progress: Callable[[int], None],
    ) -> None:
        self.connection, self.account = connection, account
        self._book, self._found, self._progress = book, found, progress
        self.purse = Purse()
        self.expired: dict[int, int] = {}
        self.credits = {b.credit.credit_id: b for b in credits.of_account(connection, account.account)}
        self.repayments = {row.seq: row for row in self._rows(RepaymentRow)}
        self.expiries = {row.seq: row for row in self._rows(ExpiryRow)}
        self.lines: dict[int, dict[str, int]] = {}
        for row in self._rows(LineRow):
            self.lines.setdefault(row.seq, {})[row.journal_account] = row.amount

    def run(self) -> None:
        charges = self._charges()
        chain, last = NO_CHAIN, 0
        unbooked = {
            *(("credit", seq) for seq in self.credits),
            *(("repayment", seq) for seq in self.repayments),
            *(("expiry", seq) for seq in self.expiries),
        }
        for entry in self._rows(EntryRow):
            if entry.first_seq != last + 1 or entry.seq < entry.first_seq:
                self._found(5, f"entry {entry.seq} begins at {entry.first_seq}, after {last}: the sequence has a gap")
            lines, seal = self._fold(entry, charges)
            self._check_entry(entry, lines, seal, chain)
            unbooked.discard((entry.kind, entry.seq))
            chain, last = entry.chain, entry.seq
        for charge, _ in charges:
            self._found(5, f"charge {charge.seq} is in no journal entry")
        for kind, seq in sorted(unbooked):
            self._found(5, f"{kind} {seq} is in no journal entry")
        for seq in sorted(self.lines):
            self._found(6, f"journal lines {self.lines[seq]} stand under entry {seq}, which is not there")
        self._check_projections(chain, last)

    def _fold(self, entry: Row[Any], charges: Iterator[_ChargePaid]) -> tuple[dict[str, int], bytes]:
        """The lines and the digest that an entry should have, by its facts."""
        seq = entry.seq
        if entry.kind == "charges":
            return self._fold_charges(entry, charges)
        if entry.kind == "credit" and seq in self.credits:
            booked = self.credits[seq]
            self._check_currency("credit", seq, booked.currency)
            self.purse.add(booked.credit)
            self.expired[seq] = 0
            return credit_lines(booked.credit.kind, booked.credit.amount), seal_credit(booked)
        if entry.kind == "repayment" and seq in self.repayments:
            return self._fold_repayment(self.repayments[seq])
        if entry.kind == "expiry" and seq in self.expiries:
            return self._fold_expiry(self.expiries[seq])
        self._found(5, f"entry {seq} books a {entry.kind} that is not there")
        return {}, b""

    def _fold_charges(self, entry: Row[Any], charges: Iterator[_ChargePaid]) -> tuple[dict[str, int], bytes]:
        splits, facts = [], []
        for expected in range(entry.first_seq, entry.seq + 1):
            charge, deductions = next(charges, (None, []))
            if charge is None or charge.seq != expected:
                self._found(5, f"charge {expected} is missing: the sequence has a gap")
                break
            self._check_price(charge)
            self._check_month(charge, entry.billing_month)
            self._check_currency("charge", charge.seq, charge.currency)
            stored = Split(
                charge.granted,
                charge.topped_up,
                charge.overdraft,
                charge.untracked,
                tuple((row.credit_id, row.kind, row.amount) for row in deductions),  # type: ignore[misc]
            )
            if self.purse.deduct(charge.cost or 0, charge.completed_at) != stored:
                self._found(4, f"charge {charge.seq} of {charge.event_id} was not paid in the order of the rules")
            splits.append(stored)
            facts.append(charge_fact(charge.seq, stored_event(charge), charge.revision, charge.cost, stored[:4]))
            self._progress(1)
        return charge_lines(splits), seal_charges(facts)

    def _fold_repayment(self, row: Row[Any]) -> tuple[dict[str, int], bytes]:
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

    def _check_price(self, charge: Row[Any]) -> None:
        """Promise 3: priced again by its own edition, a charge comes out the same."""
        event, book = stored_event(charge).event, self._book(charge.edition)
        if book is None:
            self._found(3, f"charge {charge.seq} of {charge.event_id} has no price book: {charge.edition} is not whole")
            return
        if event.usage is None:
            return  # promise 1 has found it
        priced = price_event(book, event, charge.currency)
        marks = clock_doubt(book, event, priced, charge.currency, self.account.timezone).flags
        again = price_columns(priced, marks)
        for name, value in again.items():
            stored = charge.charge_status if name == "status" else getattr(charge, name)
            if stored != value:
                self._found(3, f"charge {charge.seq} of {charge.event_id} has {name} {stored}, priced again {value}")
        if isinstance(priced, Unpriced) and charge.granted | charge.topped_up | charge.overdraft | charge.untracked:
            self._found(3, f"charge {charge.seq} of {charge.event_id} is unpriced and took money")

    def _check_month(self, charge: Row[Any], booked: str) -> None:
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

    def _charges(self) -> Iterator[_ChargePaid]:
        """The account's charges with their events, in order of sequence, each with its deductions."""
        columns = [c for c in ChargeRow.__table__.columns if c.name not in EventRow.__table__.columns]
        query = (
            select(*EventRow.__table__.columns, *columns, ChargeRow.status.label("charge_status"))
            .add_columns(ChargeRow.supersedes.label("charge_supersedes"))
            .join(ChargeRow, of_one_event(EventRow, ChargeRow))
            .where(ChargeRow.account == self.account.account)
            .order_by(ChargeRow.seq)
        )
        for rows in self.connection.execute(query, execution_options={"yield_per": CHUNK}).partitions():
            deductions = self._deductions([row.event_key for row in rows])
            for row in rows:
                yield row, deductions.get((row.event_key, row.revision), [])

    def _deductions(self, keys: Sequence[bytes]) -> dict[tuple[bytes, int], list[Row[Any]]]:
        where = (DeductionRow.account == self.account.account, DeductionRow.event_key.in_(keys))
        found: dict[tuple[bytes, int], list[Row[Any]]] = {}
        query = select(*DeductionRow.__table__.columns).where(*where).order_by(DeductionRow.ordinal)
        for row in self.connection.execute(query):
            found.setdefault((row.event_key, row.revision), []).append(row)
        return found

    def _rows(self, table: type[Table]) -> list[Row[Any]]:
        columns = table.__table__.columns
        query = select(*columns).where(columns["account"] == self.account.account).order_by(columns["seq"])
        return list(self.connection.execute(query))
