"""Verify the promises on the database at hand, and name what breaks them.

What is recorded is compared row by row, and each account's ledger is replayed from its facts (`replay`).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, select

from costmeter.core.errors import NotFoundError
from costmeter.core.price_book import PriceBook
from costmeter.prices.read import read_edition
from costmeter.services.check_budgets import budget_findings
from costmeter.services.check_closings import closing_findings
from costmeter.services.check_reserved import reserved_findings
from costmeter.services.check_rollups import rollup_findings
from costmeter.services.checks import broken
from costmeter.services.freeze_account import freeze_account
from costmeter.services.integers import not_integers
from costmeter.services.replay import Replay
from costmeter.store import accounts, bulk, checkpoints, credits, detached, editions, freezes
from costmeter.store.accounts import Account
from costmeter.store.checkpoints import START, Checkpoint, before
from costmeter.store.engine import in_transaction, reading
from costmeter.store.keys import identity_key
from costmeter.store.rows import first_of, is_any
from costmeter.store.statistics import learn_new_tables
from costmeter.store.tables import EntryRow, EventRow, IdentityRow, PendingRow

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


_Books = dict[str, PriceBook | None]


class Finding(NamedTuple):
    """One thing that breaks a promise."""

    promise: int
    account: str
    what: str


def verify(
    engine: Engine,
    names: Sequence[str] | None = None,
    *,
    full: bool = False,
    now: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Finding]:
    """What breaks promises 1 to 6, nothing if all hold; `progress` is told how many charges were checked.

    Each account is checked from where it was found whole the last time, or, with `full`, from its start (where months
    are detached: from the checkpoint at that time). One that
    fails is frozen: calls go on being recorded, but nothing is posted to it until somebody releases it.
    """
    learn_new_tables(engine)
    with reading(engine) as connection:
        listed = [account.account for account in accounts.listed(connection, names)]
    books: _Books = {}
    findings = []
    for name in listed:
        findings += _verify_account(engine, name, full, now or datetime.now(UTC), _Telling(books, progress))
    return findings


def count_unverified(engine: Engine, names: Sequence[str] | None = None, *, full: bool = False) -> int:
    """How many facts of the ledgers `verify` has to look at: an upper bound of the charges among them."""
    with reading(engine) as connection:
        found = 0
        for account in accounts.listed(connection, names):
            since = _since(connection, account.account, full)
            found += max(account.version - since.seq, 0)
        return found


def _verify_account(engine: Engine, name: str, full: bool, now: datetime, telling: _Telling) -> list[Finding]:
    with reading(engine) as connection:
        account = accounts.get(connection, name)
        kept = checkpoints.get(connection, name)
        if kept is not None and not full and _is_as_it_was(connection, account, kept):
            return []
        audit = _Audit(connection, account, _since(connection, name, full), telling)
        audit.run()
        findings = audit.findings
        released = freezes.released_state(connection, name)
        if (
            findings and full and released.seq > audit.since.seq
        ):  # what a release answered for is told, and freezes no more
            audit = _Audit(connection, account, released, telling._replace(progress=lambda _: None))
            audit.run()
    if audit.findings:
        first, more = audit.findings[0], len(audit.findings) - 1
        reason = f"promise {first.promise}: {first.what}" + (f", and {more} more" if more else "")
        freeze_account(engine, name, by="verify", reason=reason, now=now)
    elif audit.reached != kept:
        in_transaction(engine, lambda c: checkpoints.save(c, name, audit.reached, now))
    return findings


def _since(connection: Connection, name: str, full: bool) -> Checkpoint:
    """Where to begin: at the checkpoint or release, unless calls were folded again since, which reaches behind it.

    Calls of detached months cannot be replayed: then the beginning is the state that they left. What a release answered
    for is not looked at again but by a full run, whatever was folded since.
    """
    beginning = detached.beginning(connection, name)
    if full:
        return beginning
    released = freezes.released_state(connection, name)
    since = checkpoints.get(connection, name) or released
    again = (EntryRow.account == name, EntryRow.seq > since.seq, EntryRow.kind.in_(("fold", "void")))
    is_reached_behind = connection.scalar(select(EntryRow.seq).where(*again).limit(1)) is not None
    return max(beginning, released, key=lambda state: state.seq) if is_reached_behind else since


def _is_as_it_was(connection: Connection, account: Account, checkpoint: Checkpoint) -> bool:
    """Whether nothing has come to an account since its checkpoint, nothing waits, and its balances are the same."""
    name = account.account
    kept = (account.version, account.overdraft, account.chain)
    if kept != (checkpoint.seq, checkpoint.overdraft, checkpoint.chain):
        return False
    came = first_of(EventRow.event_key, EventRow.account == name, EventRow.event_key > checkpoint.newest)
    waits = first_of(PendingRow.event_key, PendingRow.account == name)
    if is_any(connection, came, waits):
        return False
    same = {key: (balance.remaining, balance.expired) for key, balance in credits.balances(connection, name).items()}
    return same == {key: (left, checkpoint.expired[key]) for key, left in checkpoint.remaining.items()}


class _Telling(NamedTuple):
    """The editions that charges were priced by, as far as they were read, and who is told of the work done."""

    books: _Books
    progress: Callable[[int], None]


class _Audit:
    """Checks one account from a checkpoint on, and collects findings."""

    def __init__(self, connection: Connection, account: Account, since: Checkpoint, telling: _Telling) -> None:
        self.connection, self.account, self.since = connection, account, since
        self.reached = since
        self.findings: list[Finding] = []
        self._telling = telling
        self._counts: Counter[int] = Counter()

    def run(self) -> None:
        name = self.account.account
        newest = self._every_event_is_known_by_its_ids(name)
        for one in broken(self.connection, name, self.since, MOST_FINDINGS):
            self._found(one.promise, f"{one.what}: {self._event_id(name, one.event_key)}")
        others = [*not_integers(self.connection, name, self.since)]
        for what in others:
            self._found(2, what)
        for what in rollup_findings(self.connection, self.account, full=self.since == START):
            self._found(6, what)
        if self.since == START:
            for what in budget_findings(self.connection, self.account):
                self._found(6, what)
        for what in reserved_findings(self.connection, self.account):
            self._found(6, what)
        for what in closing_findings(self.connection, self.account, full=self.since == START):
            self._found(5, what)
        if not others:
            reached = Replay(
                self.connection,
                self.account,
                since=self.since,
                book=self._book,
                found=self._found,
                progress=self._telling.progress,
            ).run()
            newest = max(newest, self.since.newest)
            self.reached = reached._replace(event_key=max(self.since.event_key, before(newest)), newest=newest)

    def _found(self, promise: int, what: str) -> None:
        self._counts[promise] += 1
        if self._counts[promise] <= MOST_FINDINGS:
            self.findings.append(Finding(promise, self.account.account, what))

    def _book(self, edition: str) -> PriceBook | None:
        """The book of an edition; None where its text is gone or is another one."""
        books = self._telling.books
        if edition not in books:
            try:
                text = editions.text_of(self.connection, edition)
            except NotFoundError:
                text = ""
            is_whole = hashlib.sha256(text.encode()).hexdigest() == edition
            books[edition] = read_edition(text) if is_whole else None
        return books[edition]

    def _event_id(self, name: str, key: bytes) -> str:
        """What people call the event of a key; the key itself where there is none."""
        query = select(EventRow.event_id).where(EventRow.account == name, EventRow.event_key == key)
        return self.connection.scalar(query.limit(1)) or key.hex()

    def _every_event_is_known_by_its_ids(self, name: str) -> bytes:
        """Promise 1: each id of an event stands for it, or for the unmetered one it replaces: it cannot come again.

        Returns the newest key that was looked at.
        """
        newest = b""
        for rows in self._events(name):
            newest = rows[-1].event_key
            identities = [(row, *named) for row in rows for named in _identities(row)]
            known = self._known(name, identities)
            for row, kind, identity in identities:
                stands_for = known.get((row.provider, identity))
                if stands_for == (row.event_key, row.completed_at):
                    continue
                is_measured_now = kind == "event" and stands_for == (row.supersedes, row.supersedes_at)
                if stands_for is None or not (kind == "response" or is_measured_now):
                    self._found(1, f"the {kind} id of an event does not stand for it: {row.event_id}")
        return newest

    def _events(self, name: str) -> Iterator[Sequence[Row[Any]]]:
        query = select(*(getattr(EventRow, column) for column in _NAMED_BY))
        query = query.where(EventRow.account == name).order_by(EventRow.event_key).limit(CHUNK)
        last, count = self.since.event_key, CHUNK
        while count == CHUNK and (rows := self.connection.execute(query.where(EventRow.event_key > last)).all()):
            yield rows
            last, count = rows[-1].event_key, len(rows)

    def _known(self, name: str, identities: Sequence[_Named]) -> dict[tuple[str, bytes], tuple[Any, Any]]:
        """The events that these ids stand for, by provider and identity."""
        wanted: dict[str, list[bytes]] = defaultdict(list)
        for row, _, identity in identities:
            wanted[row.provider].append(identity)
        query = select(IdentityRow.identity, IdentityRow.event_key, IdentityRow.completed_at)
        known = {}
        for provider, values in wanted.items():
            of_provider = query.where(IdentityRow.account == name, IdentityRow.provider == provider)
            found = bulk.probed(self.connection, of_provider, IdentityRow.identity, values)
            for identity, event_key, completed_at in self.connection.execute(found):
                known[provider, identity] = (event_key, completed_at)
        return known


_Named = tuple[Row[Any], str, bytes]  # an event, and of which kind one of its identities is
_NAMED_BY = ("event_key", "completed_at", "provider", "event_id", "response_id", "supersedes", "supersedes_at")


def _identities(row: Row[Any]) -> Iterator[tuple[str, bytes]]:
    """Every identity that recording an event gave it."""
    yield "event", identity_key("event", row.event_id)
    if row.response_id is not None:
        yield "response", identity_key("response", row.response_id)
    if row.supersedes is not None:
        yield "measured", identity_key("measured", row.supersedes.hex())
