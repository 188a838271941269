"""Verify the promises on the database at hand, and name what breaks them.

What is recorded is compared row by row, and each account's ledger is replayed from its facts (`replay`).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Integer, Row, Select, case, func, literal_column, select

from costmeter.core.errors import NotFoundError
from costmeter.core.price_book import PriceBook
from costmeter.prices.read import read_edition
from costmeter.services.replay import Replay
from costmeter.store import accounts, editions
from costmeter.store.accounts import Account
from costmeter.store.engine import reading
from costmeter.store.events import of_one_event
from costmeter.store.keys import identity_key
from costmeter.store.tables import ChargeRow, DeductionRow, EventRow, IdentityRow, PendingRow, Table
from costmeter.store.types import ExactMoney, UtcInstant

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
        self._books: dict[str, PriceBook | None] = {}

    def account(self, account: Account) -> None:
        name = account.account
        self._every_event_is_known_by_its_ids(name)
        for promise, checks in ((1, _ONCE), (4, _PAID)):
            for what, query in checks.items():
                self._names_what_breaks(promise, name, what, query)
        if self._numbers_are_integers(name):
            Replay(
                self.connection,
                account,
                book=self._book,
                found=lambda promise, what: self._found(promise, name, what),
                progress=self.progress,
            ).run()

    def _found(self, promise: int, account: str, what: str) -> None:
        self._counts[promise, account] += 1
        if self._counts[promise, account] <= MOST_FINDINGS:
            self.findings.append(Finding(promise, account, what))

    def _book(self, edition: str) -> PriceBook | None:
        """The book of an edition; None where its text is gone or is another one."""
        if edition not in self._books:
            try:
                text = editions.text_of(self.connection, edition)
            except NotFoundError:
                text = ""
            is_whole = hashlib.sha256(text.encode()).hexdigest() == edition
            self._books[edition] = read_edition(text) if is_whole else None
        return self._books[edition]

    def _names_what_breaks(self, promise: int, name: str, what: str, query: Select[Any]) -> None:
        owner = query.selected_columns[0].table.c.account
        for (key,) in self.connection.execute(query.where(owner == name).limit(MOST_FINDINGS)):
            self._found(promise, name, f"{what}: {key.hex() if isinstance(key, bytes) else key}")

    def _every_event_is_known_by_its_ids(self, name: str) -> None:
        """Promise 1: each id of an event stands for it, or for the unmetered one it replaces: it cannot come again."""
        for rows in self._events(name):
            known = self._known(name, rows)
            for row in rows:
                own = {(row.event_key, row.completed_at)}
                for kind, identity in _identities(row):
                    allowed = own | {(row.supersedes, row.supersedes_at)} if kind == "event" else own
                    stands_for = known.get((row.provider, identity))
                    if stands_for is None or (kind != "response" and stands_for not in allowed):
                        self._found(1, name, f"the {kind} id of an event does not stand for it: {row.event_id}")

    def _events(self, name: str) -> Iterator[Sequence[Row[Any]]]:
        query = select(*(getattr(EventRow, column) for column in _NAMED_BY))
        query = query.where(EventRow.account == name).order_by(EventRow.event_key).limit(CHUNK)
        last = b""
        while rows := self.connection.execute(query.where(EventRow.event_key > last)).all():
            yield rows
            last = rows[-1].event_key

    def _known(self, name: str, rows: Sequence[Row[Any]]) -> dict[tuple[str, bytes], tuple[Any, Any]]:
        """The events that the ids of these events stand for, by provider and identity."""
        wanted: dict[str, list[bytes]] = defaultdict(list)
        for row in rows:
            wanted[row.provider] += [identity for _, identity in _identities(row)]
        query = select(IdentityRow.provider, IdentityRow.identity, IdentityRow.event_key, IdentityRow.completed_at)
        known = {}
        for provider, identities in wanted.items():
            where = (IdentityRow.account == name, IdentityRow.provider == provider)
            for found in self.connection.execute(query.where(*where, IdentityRow.identity.in_(identities))):
                known[found.provider, found.identity] = (found.event_key, found.completed_at)
        return known

    def _numbers_are_integers(self, name: str) -> bool:
        """Promise 2: SQLite keeps any type in any column; every amount, count and instant must be an integer."""
        if self.connection.dialect.name != "sqlite":
            return True
        are_integers = True
        for table in Table.metadata.sorted_tables:
            if "account" not in table.columns:
                continue
            columns = [c for c in table.columns if isinstance(c.type, ExactMoney | UtcInstant | Integer)]
            others = [
                func.sum(case((func.typeof(literal_column(c.name)).not_in(("integer", "null")), 1), else_=0))
                for c in columns
            ]
            counts = self.connection.execute(select(*others).select_from(table).where(table.c.account == name)).one()
            for column, count in zip(columns, counts, strict=True):
                if count:
                    are_integers = False
                    what = f"{count} values of {table.name}.{column.name} are no integers; the ledger was not replayed"
                    self._found(2, name, what)
        return are_integers


def _identities(row: Row[Any]) -> Iterator[tuple[str, bytes]]:
    """Every identity that recording an event gave it."""
    yield "event", identity_key("event", row.event_id)
    if row.response_id is not None:
        yield "response", identity_key("response", row.response_id)
    if row.supersedes is not None:
        yield "measured", identity_key("measured", row.supersedes.hex())


def _same_call(left: Any, right: Any) -> Any:
    return select(right.account).where(of_one_event(left, right))


_NAMED_BY = ("event_key", "completed_at", "provider", "event_id", "response_id", "supersedes", "supersedes_at")
_MEASURED = EventRow.cache_hit_tokens.is_not(None)
# Promise 1: each identity has its event, each measured call its one charge.
_ONCE: dict[str, Select[Any]] = {
    "an identity has no event": select(IdentityRow.event_key).where(~_same_call(IdentityRow, EventRow).exists()),
    "a measured call is neither charged nor waiting": select(EventRow.event_id).where(
        _MEASURED, ~_same_call(EventRow, ChargeRow).exists(), ~_same_call(EventRow, PendingRow).exists()
    ),
    "a call waits that is charged already": select(PendingRow.event_key).where(
        _same_call(PendingRow, ChargeRow).exists()
    ),
    "what waits is no measured call": select(PendingRow.event_key).where(
        ~_same_call(PendingRow, EventRow).where(_MEASURED).exists()
    ),
    "a charge has no measured call": select(ChargeRow.event_key).where(
        ~_same_call(ChargeRow, EventRow).where(_MEASURED).exists()
    ),
    "a call counts other than once": select(EventRow.event_id)
    .join(ChargeRow, of_one_event(EventRow, ChargeRow))
    .group_by(EventRow.event_id, EventRow.event_key)
    .having(func.sum(ChargeRow.sign) != 1),
}
# Promise 4: what credits gave, they gave for a charge.
_PAID: dict[str, Select[Any]] = {
    "a deduction pays for no charge": select(DeductionRow.event_key).where(
        ~_same_call(DeductionRow, ChargeRow).where(DeductionRow.revision == ChargeRow.revision).exists()
    )
}
