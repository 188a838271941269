"""Price again what the present price book prices otherwise than it was charged.

A charge names the edition that it was priced by. Where the two books agree on a model nothing is looked at; elsewhere
each call is priced by the present book, and what differs is reversed, charged anew and folded again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.events import UsageEvent
from costmeter.core.periods import Period, from_micros, month_of, month_period
from costmeter.core.price_book import PriceBook, overlap
from costmeter.core.repricing import ALWAYS, changed_periods, covers, hull
from costmeter.services.fold import open_folds, price_and_marks, price_columns, write_folds
from costmeter.services.fold_again import Price, fold_again
from costmeter.store import accounts, audit, charges, detached, editions
from costmeter.store.accounts import Account
from costmeter.store.bulk import Batch
from costmeter.store.charges import PRICE, Paid, Priced
from costmeter.store.engine import in_transaction, reading
from costmeter.store.statistics import learn_new_tables

ReadBook = Callable[[str], PriceBook]  # the book that the text of an edition holds


class Group(NamedTuple):
    """What is summed up: the account, the month of completion in its zone, the new tariff and the project."""

    account: str
    currency: str
    month: str
    tariff: str | None
    project: str | None


@dataclass
class Repriced:
    """How many charges differ, how many of them had or have no price, and what they came to and come to."""

    charges: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0
    before: int = 0
    after: int = 0

    def add(self, old: int | None, new: int | None) -> None:
        self.charges += 1
        self.unpriced_before += old is None
        self.unpriced_after += new is None
        self.before += old or 0
        self.after += new or 0


class Difference(NamedTuple):
    """A call that the present book charges otherwise: as it is charged, and the values of PRICE as they would be."""

    call: Priced
    completed_at: datetime
    price: tuple[Any, ...]

    @property
    def tariff(self) -> str | None:
        tariff: str | None = self.price[PRICE.index("tariff")]
        return tariff

    @property
    def cost(self) -> int | None:
        cost: int | None = self.price[PRICE.index("cost")]
        return cost


def reprice(
    engine: Engine,
    names: Sequence[str] | None = None,
    *,
    book: PriceBook,
    read_book: ReadBook,
    by: str,
    now: datetime,
    month: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[Group, Repriced]:
    """What the present book charges otherwise, by group; unless it is a dry run, it is posted.

    Each month of completion of an account is one transaction, in order: where it ends half way, running it again does
    the rest. Once everything is posted it finds nothing. `progress` is told how many charges were priced.
    """
    found: dict[Group, Repriced] = {}
    learn_new_tables(engine)
    with reading(engine) as connection:
        for account in accounts.listed(connection, names):
            for new in _Comparison(connection, account, book, read_book, month).differences(progress):
                own = month_of(new.completed_at, account.timezone)
                group = Group(account.account, account.currency, own, new.tariff, new.call.project)
                found.setdefault(group, Repriced()).add(new.call.cost, new.cost)
    if not dry_run:
        for name, own in sorted({(group.account, group.month) for group in found}):
            month_again = partial(_reprice_month, name=name, month=own, book=book, read_book=read_book, by=by, now=now)
            in_transaction(engine, month_again)
    return found


def _reprice_month(
    connection: Connection, name: str, month: str, *, book: PriceBook, read_book: ReadBook, by: str, now: datetime
) -> None:
    """Post what differs in the calls that completed in a month; all later calls are folded again with them."""
    account = accounts.lock(connection, name)
    comparison = _Comparison(connection, account, book, read_book, month)
    with closing(comparison.differences()) as differences:
        first = next(differences, None)
    if first is None:
        return
    editions.keep(connection, book, now)
    batch = Batch(connection)
    (fold,) = open_folds(batch, [account], now)
    fold_again(fold, first.completed_at, comparison.prices)
    fold.repay()
    fold.expire()
    write_folds(batch, [fold], now)
    audit.add(connection, "reprice", month, {"edition": book.edition}, by=by, at=now, account=name)


@dataclass
class _Comparison:
    """The charges of an account, perhaps of one month, by the present book and by those that they were priced by."""

    connection: Connection
    account: Account
    book: PriceBook
    read_book: ReadBook
    month: str | None
    _books: dict[str, PriceBook] = field(default_factory=dict)
    _periods: dict[tuple[str, str], list[Period]] = field(default_factory=dict)

    def differences(self, progress: Callable[[int], None] = lambda _: None) -> Generator[Difference]:
        """Each call that the present book charges otherwise, by completion."""
        name, edition = self.account.account, self.book.edition
        detached.refuse_period(self.connection, [name], self._completions())
        models: dict[str, Period] = {}
        for old, model in charges.priced_by_others(self.connection, name, edition):
            for period in self._changed(old, model):
                models[model] = hull(models.get(model, period), period)
        if not models:
            return
        for calls in charges.prices_in_force(self.connection, name, edition, models=models):
            yield from self._compare(calls)
            progress(len(calls))

    def prices(self, calls: Sequence[Paid]) -> Mapping[bytes, Price]:
        """The new prices of those calls that the present book charges otherwise."""
        some = [call for call in calls if self._may_change(call.edition, call.model, call.completed_at)]
        if not some:
            return {}
        priced = charges.prices_of(self.connection, self.account.account, some)
        return {found.call.event_key: Price(found.cost, self._columns) for found in self._compare(priced)}

    def _compare(self, calls: Sequence[Priced]) -> Iterator[Difference]:
        """Those calls that the present book charges otherwise: another amount, tariff, band or certainty."""
        from costmeter.services.price_calls import Calls, price_calls  # no other command waits for NumPy

        columns = Calls.of(call[1:7] for call in calls)
        rows = (row for prices in price_calls(self.book, columns, self.account.currency) for row in prices.rows())
        for call, row in zip(calls, rows, strict=True):
            if row != call.price:
                found = Difference(call, from_micros(call.completed_at), row)
                if self._may_change(call.edition, call.model, found.completed_at):
                    yield found

    def _columns(self, event: UsageEvent) -> Mapping[str, Any]:
        """What the row of a call's charge says of its price by the present book."""
        return {**price_columns(*price_and_marks(self.book, event, self.account)), "edition": self.book.edition}

    def _may_change(self, edition: str, model: str, completed_at: datetime) -> bool:
        return edition != self.book.edition and covers(self._changed(edition, model), completed_at)

    def _completions(self) -> Period:
        return ALWAYS if self.month is None else month_period(self.month, self.account.timezone)

    def _changed(self, edition: str, model: str) -> list[Period]:
        """The periods, within the month, in which the present book may say otherwise of a model than another."""
        key = (edition, model)
        if key not in self._periods:
            if edition not in self._books:
                self._books[edition] = self.read_book(editions.text_of(self.connection, edition))
            found = changed_periods(self._books[edition], self.book, model, self.account.currency)
            month = self._completions()
            self._periods[key] = [shared for period in found if (shared := overlap(period, month))]
        return self._periods[key]
