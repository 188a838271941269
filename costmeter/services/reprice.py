"""Price again what the present price book prices otherwise than it was charged.

A charge names the edition that it was priced by. Where the two books agree on a model nothing is looked at; elsewhere
each call is priced by the present book, and what differs is reversed, charged anew and folded again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.periods import Period, month_of, month_period
from costmeter.core.price_book import PriceBook
from costmeter.core.pricing import Charge, Unpriced, price_usage
from costmeter.core.repricing import ALWAYS, changed_periods, covers
from costmeter.core.usage import Usage
from costmeter.services.fold_again import fold_again
from costmeter.services.post_charges import Fold, price_and_marks, price_columns
from costmeter.store import accounts, charges, detached, editions
from costmeter.store.accounts import Account
from costmeter.store.charges import Paid, Priced
from costmeter.store.engine import in_transaction, reading

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


def reprice(
    engine: Engine,
    names: Sequence[str] | None = None,
    *,
    book: PriceBook,
    read_book: ReadBook,
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
    with reading(engine) as connection:
        for account in accounts.listed(connection, names):
            for call, priced in _Comparison(connection, account, book, read_book, month).differences(progress):
                tariff = None if isinstance(priced, Unpriced) else priced.tariff.tariff_id
                own = month_of(call.completed_at, account.timezone)
                group = Group(account.account, account.currency, own, tariff, call.project)
                found.setdefault(group, Repriced()).add(call.cost, _cost(priced))
    if not dry_run:
        for name, own in sorted({(group.account, group.month) for group in found}):
            month_again = partial(_reprice_month, name=name, month=own, book=book, read_book=read_book, now=now)
            in_transaction(engine, month_again)
    return found


def _reprice_month(
    connection: Connection, name: str, month: str, *, book: PriceBook, read_book: ReadBook, now: datetime
) -> None:
    """Post what differs in the calls that completed in a month; all later calls are folded again with them."""
    account = accounts.lock(connection, name)
    comparison = _Comparison(connection, account, book, read_book, month)
    with closing(comparison.differences()) as differences:
        first = next(differences, None)
    if first is None:
        return
    editions.keep(connection, book, now)
    fold = Fold(connection, account, now)
    fold_again(fold, first[0].completed_at, comparison.prices)
    fold.repay()
    fold.expire()
    fold.write()


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

    def differences(
        self, progress: Callable[[int], None] = lambda _: None
    ) -> Generator[tuple[Priced, Charge | Unpriced]]:
        """Each call that the present book charges otherwise, by completion, with its new price."""
        name, edition, period = self.account.account, self.book.edition, self._period()
        detached.refuse_period(self.connection, [name], period)
        groups = charges.priced_by_others(self.connection, name, edition)
        models = {(old, model) for old, model in groups if self._changed(old, model)}
        if not models:
            return
        of = {model for _, model in models}
        for calls in charges.prices_in_force(self.connection, name, edition, models=of, period=period):
            for call in calls:
                if self._may_change(call.edition, call.model, call.completed_at):
                    priced = self._price(call)
                    if _says_otherwise(priced, call):
                        yield call, priced
            progress(len(calls))

    def prices(self, calls: Sequence[Paid]) -> Mapping[bytes, Mapping[str, Any]]:
        """The new price columns of those calls that the present book charges otherwise."""
        some = [call for call in calls if self._may_change(call.edition, call.model, call.completed_at)]
        if not some:
            return {}
        found = {}
        for call in charges.prices_of(self.connection, self.account.account, some):
            if _says_otherwise(self._price(call), call):
                found[call.event_key] = call
        events = charges.whole(self.connection, self.account.account, [c for c in some if c.event_key in found])
        return {
            key: {
                **price_columns(*price_and_marks(self.book, stored.event, self.account)),
                "edition": self.book.edition,
            }
            for key, (_, stored) in events.items()
        }

    def _period(self) -> Period:
        return ALWAYS if self.month is None else month_period(self.month, self.account.timezone)

    def _may_change(self, edition: str, model: str, completed_at: datetime) -> bool:
        if edition == self.book.edition or completed_at not in self._period():
            return False
        return covers(self._changed(edition, model), completed_at)

    def _changed(self, edition: str, model: str) -> list[Period]:
        key = (edition, model)
        if key not in self._periods:
            if edition not in self._books:
                self._books[edition] = self.read_book(editions.text_of(self.connection, edition))
            self._periods[key] = changed_periods(self._books[edition], self.book, model, self.account.currency)
        return self._periods[key]

    def _price(self, call: Priced) -> Charge | Unpriced:
        usage = Usage(call.cache_hit_tokens, call.cache_miss_tokens, call.output_tokens, call.reasoning_tokens)
        return price_usage(
            self.book,
            model=call.model,
            usage=usage,
            completed_at=call.completed_at,
            started_at=call.started_at,
            currency=self.account.currency,
        )


def _says_otherwise(priced: Charge | Unpriced, call: Priced) -> bool:
    """Whether a price differs in any amount, in tariff or band, or in how certain it is."""
    columns = price_columns(priced, ())
    return any(getattr(call, name) != columns[name] for name in charges.PRICE)


def _cost(priced: Charge | Unpriced) -> int | None:
    return None if isinstance(priced, Unpriced) else priced.total
