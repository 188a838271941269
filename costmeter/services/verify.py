"""Verify the promises on the database at hand, and name what breaks them.

The ledger is replayed from its facts in the order of its sequence, by the same pure rules but from nothing: whatever
is stored beside the facts (splits, balances, journal lines, digests) must come out the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, and_, func, literal_column, select

from costmeter.core.ledger import Purse, Split, charge_lines, credit_lines, expiry_lines, repayment_lines
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Unpriced, price_usage
from costmeter.prices.read import read_edition
from costmeter.services.add_credit import seal_credit
from costmeter.services.post_charges import charge_fact, price_columns, seal_charges, seal_move
from costmeter.store import accounts, credits, editions, journal
from costmeter.store.accounts import NO_CHAIN, Account
from costmeter.store.engine import reading
from costmeter.store.events import stored_event
from costmeter.store.tables import (
    ChargeRow,
    DeductionRow,
    EntryRow,
    EventRow,
    ExpiryRow,
    IdentityRow,
    LineRow,
    PendingRow,
    RepaymentRow,
    Table,
)
from costmeter.store.types import ExactMoney

CHUNK = 2_000
MOST_FINDINGS = 100  # of one promise and account: a broken database would fill a terminal
PROMISES = {
    1: "nothing recorded is lost and nothing counts twice",
    2: "money is exact",
    3: "price is a pure function of stored facts and a dated tariff",
    4: "granted before topped up",
    5: "facts are only added",
    6: "balances are projections of the journal",
}


class Finding(NamedTuple):
    """One thing that breaks a promise."""

    promise: int
    account: str
    what: str


def verify(
    engine: Engine, names: Sequence[str] | None = None, *, progress: Callable[[int], None] = lambda _: None
) -> list[Finding]:
    """What breaks promises 1 to 6, nothing if all hold; `progress` is told how many charges were checked."""
    with reading(engine) as connection:
        audit = _Audit(connection, progress)
        for account in accounts.listed(connection, names):
            audit.account(account)
        return audit.findings


class _Audit:
    """Collects findings; knows the editions that charges were priced by."""

    def __init__(self, connection: Connection, progress: Callable[[int], None]) -> None:
        self.connection = connection
        self.progress = progress
        self.findings: list[Finding] = []
        self._counts: Counter[tuple[int, str]] = Counter()
        self._books: dict[str, PriceBook] = {}

    def account(self, account: Account) -> None:
        self._every_event_counts_once(account.account)
        if self.connection.dialect.name == "sqlite":
            self._amounts_are_integers(account.account)
        _Replay(self, account).run()

    def found(self, promise: int, account: str, what: str) -> None:
        self._counts[promise, account] += 1
        if self._counts[promise, account] <= MOST_FINDINGS:
            self.findings.append(Finding(promise, account, what))

    def book(self, edition: str) -> PriceBook:
        if edition not in self._books:
            self._books[edition] = read_edition(editions.text_of(self.connection, edition))
        return self._books[edition]

    def _every_event_counts_once(self, name: str) -> None:
        """Promise 1: each event has its identity, each identity its event, each measured call its one charge."""
        same = _same_key(EventRow)
        checks = {
            "an event has no identity": select(EventRow.event_id).where(~same(IdentityRow).exists()),
            "an identity has no event": select(IdentityRow.event_key).where(~_same_key(IdentityRow)(EventRow).exists()),
            "a measured call is neither charged nor waiting": select(EventRow.event_id).where(
                EventRow.cache_hit_tokens.is_not(None), ~same(ChargeRow).exists(), ~same(PendingRow).exists()
            ),
            "a call waits that is charged already": select(PendingRow.event_key).where(
                _same_key(PendingRow)(ChargeRow).exists()
            ),
            "a charge has no measured call": select(ChargeRow.event_key).where(
                ~_same_key(ChargeRow)(EventRow).where(EventRow.cache_hit_tokens.is_not(None)).exists()
            ),
            "a call counts other than once": select(EventRow.event_id)
            .join(ChargeRow, _is_same(EventRow, ChargeRow))
            .group_by(EventRow.event_id, EventRow.event_key)
            .having(func.sum(ChargeRow.sign) != 1),
        }
        for what, query in checks.items():
            owner = query.selected_columns[0].table.c.account
            for (key,) in self.connection.execute(query.where(owner == name).limit(MOST_FINDINGS)):
                self.found(1, name, f"{what}: {key.hex() if isinstance(key, bytes) else key}")

    def _amounts_are_integers(self, name: str) -> None:
        """Promise 2: SQLite keeps any type in any column; every amount must be an integer."""
        for table in Table.metadata.sorted_tables:
            for column in table.columns:
                if isinstance(column.type, ExactMoney):
                    kind = func.typeof(literal_column(column.name))
                    query = select(func.count()).select_from(table)
                    query = query.where(table.c.account == name, kind.not_in(("integer", "null")))
                    if count := self.connection.scalar(query):
                        self.found(2, name, f"{count} amounts in {table.name}.{column.name} are no integers")


class _Replay:
    """One account's ledger, folded again from nothing in the order of its sequence."""

    def __init__(self, audit: _Audit, account: Account) -> None:
        self.audit, self.account, self.connection = audit, account, audit.connection
        self.purse = Purse()
        self.expired: dict[int, int] = {}
        self.credits = {b.credit.credit_id: b for b in credits.of_account(self.connection, account.account)}
        self.repayments = {row.seq: row for row in self._rows(RepaymentRow)}
        self.expiries = {row.seq: row for row in self._rows(ExpiryRow)}
        self.lines: dict[int, dict[str, int]] = {}
        for row in self._rows(LineRow):
            self.lines.setdefault(row.seq, {})[row.journal_account] = row.amount

    def run(self) -> None:
        charges = self._charges()
        chain, last = NO_CHAIN, 0
        for entry in self._rows(EntryRow):
            if entry.first_seq != last + 1 or entry.seq < entry.first_seq:
                self._found(5, f"entry {entry.seq} begins at {entry.first_seq}, after {last}: the sequence has a gap")
            lines, seal = self._fold(entry, charges)
            self._check_entry(entry, lines, seal, chain)
            chain, last = entry.chain, entry.seq
        for charge, _ in charges:
            self._found(5, f"charge {charge.seq} is in no journal entry")
        self._check_projections(chain, last)

    def _fold(
        self, entry: Row[Any], charges: Iterator[tuple[Row[Any], list[Row[Any]]]]
    ) -> tuple[dict[str, int], bytes]:
        """The lines and the digest that an entry should have, by its facts."""
        seq = entry.seq
        if entry.kind == "charges":
            return self._fold_charges(entry, charges)
        if entry.kind == "credit" and seq in self.credits:
            credit = self.credits[seq].credit
            self.purse.add(credit)
            self.expired[seq] = 0
            return credit_lines(credit.kind, credit.amount), seal_credit(self.credits[seq])
        if entry.kind == "repayment" and seq in self.repayments:
            return self._fold_repayment(self.repayments[seq])
        if entry.kind == "expiry" and seq in self.expiries:
            return self._fold_expiry(self.expiries[seq])
        self._found(5, f"entry {seq} books a {entry.kind} that is not there")
        return {}, b""

    def _fold_charges(
        self, entry: Row[Any], charges: Iterator[tuple[Row[Any], list[Row[Any]]]]
    ) -> tuple[dict[str, int], bytes]:
        splits, facts = [], []
        for expected in range(entry.first_seq, entry.seq + 1):
            charge, deductions = next(charges, (None, []))
            if charge is None or charge.seq != expected:
                self._found(5, f"charge {expected} is missing: the sequence has a gap")
                break
            self._check_price(charge)
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
            facts.append(charge_fact(charge.seq, charge.event_key, charge.revision, charge.cost, stored[:4]))
            self.audit.progress(1)
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
        left = self.purse.remaining[row.credit_id] - self.expired[row.credit_id]
        credit = self.credits[row.credit_id].credit
        if credit.expires_at is None or credit.expires_at > row.booked_at or left != row.amount:
            self._found(4, f"expiry {row.seq} is not what credit {row.credit_id} held when it expired")
        self.expired[row.credit_id] += row.amount
        return expiry_lines(row.amount), seal_move(row._asdict())

    def _check_entry(self, entry: Row[Any], lines: dict[str, int], seal: bytes, chain: bytes) -> None:
        stored = self.lines.get(entry.seq, {})
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
        event = stored_event(charge).event
        if event.usage is None:
            return  # promise 1 has found it
        priced = price_usage(
            self.audit.book(charge.edition),
            model=event.model,
            usage=event.usage,
            completed_at=event.completed_at,
            started_at=event.started_at,
            currency=charge.currency,
        )
        again = price_columns(priced)
        for name, value in again.items():
            stored = charge.charge_status if name == "status" else getattr(charge, name)
            if stored != value:
                self._found(3, f"charge {charge.seq} of {charge.event_id} has {name} {stored}, priced again {value}")
        if isinstance(priced, Unpriced) and charge.granted | charge.topped_up | charge.overdraft | charge.untracked:
            self._found(3, f"charge {charge.seq} of {charge.event_id} is unpriced and took money")

    def _check_projections(self, chain: bytes, last: int) -> None:
        """Promise 6: what is kept for speed equals what the facts give."""
        stored = credits.balances(self.connection, self.account.account)
        for credit_id, remaining in self.purse.remaining.items():
            fresh = credits.CreditBalance(remaining, self.expired[credit_id])
            if stored.get(credit_id) != fresh:
                self._found(6, f"credit {credit_id} is kept as {stored.get(credit_id)}, its facts give {fresh}")
        kept = (self.account.version, self.account.overdraft, self.account.chain)
        if kept != (last, self.purse.overdraft, chain):
            self._found(6, f"the account is kept at {kept[:2]}, its facts give {(last, self.purse.overdraft)}")

    def _charges(self) -> Iterator[tuple[Row[Any], list[Row[Any]]]]:
        """The account's charges with their events, in order of sequence, each with its deductions."""
        columns = [c for c in ChargeRow.__table__.columns if c.name not in EventRow.__table__.columns]
        query = (
            select(*EventRow.__table__.columns, *columns, ChargeRow.status.label("charge_status"))
            .add_columns(ChargeRow.supersedes.label("charge_supersedes"))
            .join(ChargeRow, _is_same(EventRow, ChargeRow))
            .where(ChargeRow.account == self.account.account)
            .order_by(ChargeRow.seq)
        )
        last = 0
        while rows := self.connection.execute(query.where(ChargeRow.seq > last).limit(CHUNK)).all():
            deductions = self._deductions([row.event_key for row in rows])
            for row in rows:
                yield row, deductions.get((row.event_key, row.revision), [])
            last = rows[-1].seq

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

    def _found(self, promise: int, what: str) -> None:
        self.audit.found(promise, self.account.account, what)


def _is_same(left: Any, right: Any) -> Any:
    return and_(
        left.account == right.account, left.event_key == right.event_key, left.completed_at == right.completed_at
    )


def _same_key(left: Any) -> Callable[[Any], Any]:
    return lambda right: select(right.account).where(_is_same(left, right))
