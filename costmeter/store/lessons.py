"""What a month teaches, read from the rollups; charges only of days whose tariffs the rollups cannot tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, select

from costmeter.core.errors import DetachedError, InputError
from costmeter.core.lessons import COUNTS, MONEY, Group, Lessons, Tokens, excess_between, missed
from costmeter.core.periods import Period, month_before, zone
from costmeter.core.price_book import PriceBook
from costmeter.store import editions
from costmeter.store.accounts import Account
from costmeter.store.events import CHUNK, of_one_event
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums
from costmeter.store.tables import ChargeRow, EventRow

_SUMMED = ("cost", "cache_savings", "off_peak_savings")  # what a rollup has of MONEY
_TOKENS = ("cache_hit_tokens", "cache_miss_tokens", "output_tokens")
Reader = Callable[[str], PriceBook]  # reads the book of an edition's text


def read_lessons(connection: Connection, scope: Scope, read_edition: Reader) -> Lessons:
    """What a billing month of one account teaches, of all its projects or of one that the scope filters by.

    Amounts are exact: sums of charges, and for what was missed the rates of the editions that charged them. Raises
    DetachedError where calls of the month are detached; without those of the month before nothing is compared.
    """
    account = _account(connection, scope)
    missed_by = _Missed(connection, account, read_edition)
    in_all = missed_by.learn(scope)
    rows: dict[Group, dict[str, int]] = {}
    for record in read_sums(connection, scope, [account], ("project", "model", "band"), account.timezone):
        row = rows.setdefault(Group(record["project"], record["model"]), dict.fromkeys((*COUNTS, *MONEY), 0))
        for name in (*COUNTS, *_SUMMED):
            row[name] += record[name]
        each = in_all.get((record["model"], record["band"]))
        row["off_peak_missed"] += _times(each, record) if each else 0
    for group, amount in missed_by.of_days(scope, in_all):
        rows[group]["off_peak_missed"] += amount
    for group, amount in missed_by.single_calls(scope):
        rows[group]["off_peak_missed"] += amount
    return Lessons(account.account, scope.month or "", account.currency, rows, _before(connection, scope))


def read_missed(connection: Connection, scope: Scope, read_edition: Reader) -> int:
    """What the lessons of a month of one account have as `off_peak_missed` in their totals."""
    missed_by = _Missed(connection, _account(connection, scope), read_edition)
    missed_by.learn(scope)
    return missed_by.by_days + sum(amount for _, amount in missed_by.single_calls(scope))


def _account(connection: Connection, scope: Scope) -> Account:
    if scope.month is None or scope.account is None:
        raise InputError("month", scope.month, "the lessons are those of one month of one account; give both")
    (account,) = scope.accounts(connection)
    return account


class _Missed:
    """What calls cost more than in the cheapest bands of their tariffs: by their sums where those can tell.

    What a token missed depends on name, band and day, and is nearly always the same on all days of a month: then the
    sums of the month tell, and only else those of its days.
    """

    def __init__(self, connection: Connection, account: Account, read_edition: Reader) -> None:
        self._connection, self._account = connection, account
        self._books = [read_edition(text) for text in editions.texts(connection)]
        self._each: dict[tuple[str, str, str], Tokens | None] = {}
        self.by_days = 0  # what was missed in all, but for days whose sums cannot tell

    def learn(self, scope: Scope) -> dict[tuple[str, str], Tokens]:
        """What each token missed of the names and bands in scope, where it is the same on all days."""
        of_days: dict[tuple[str, str], set[Tokens | None]] = {}
        for record in self._sums(scope, ("model", "band", "day")):
            model, band, day = (record[name] for name in ("model", "band", "day"))
            each = excess_between(self._books, model, self._account.currency, band, self._period(day))
            self._each[model, band, day] = each
            self.by_days += _times(each, record) if each else 0
            of_days.setdefault((model, band), set()).add(each)
        return {key: each for key, (each, *more) in of_days.items() if each is not None and not more}

    def of_days(self, scope: Scope, in_all: Mapping[tuple[str, str], Tokens]) -> Iterator[tuple[Group, int]]:
        """What was missed day by day by the names whose bands are not in `in_all`."""
        changed = {model for model, band, _ in self._each if (model, band) not in in_all}
        for model in sorted(changed):
            where = {**scope.where, "model": model}
            for record in self._sums(replace(scope, where=where), ("project", "model", "band", "day")):
                band, day = record["band"], record["day"]
                each = None if (model, band) in in_all else self._each[model, band, day]
                if each:
                    yield Group(record["project"], model), _times(each, record)

    def _sums(self, scope: Scope, by: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """The sums of what has a price: what has none has no band."""
        found = read_sums(self._connection, scope, [self._account], by, self._account.timezone)
        return (record for record in found if record["band"] is not None)

    def single_calls(self, scope: Scope) -> Iterator[tuple[Group, int]]:
        """What calls missed whose sums could not tell; a reversal takes back what its charge missed."""
        rates = {
            (book.edition, tariff.tariff_id): tariff.rates[self._account.currency]
            for book in self._books
            for tariff in book.tariffs
            if self._account.currency in tariff.rates
        }
        for model, band, day in [key for key, each in self._each.items() if each is None]:
            start, end = self._period(day)
            completed = (ChargeRow.completed_at >= start, ChargeRow.completed_at < end)
            query = (
                select(EventRow.project, ChargeRow.sign, ChargeRow.edition, ChargeRow.tariff)
                .add_columns(*(getattr(EventRow, name) for name in _TOKENS))
                .join(ChargeRow, of_one_event(EventRow, ChargeRow))
                .where(*scope.charges(), *completed, EventRow.model == model, ChargeRow.band == band)
            )
            for row in self._connection.execute(query, execution_options={"yield_per": CHUNK}):
                amount = missed(rates[row.edition, row.tariff], band, tuple(row[4:]))
                yield Group(row.project, model), row.sign * amount

    def _period(self, day: str) -> Period:
        """The instants of a day of the account's time zone."""
        first = date.fromisoformat(day)
        start, end = (
            datetime.combine(one, time(), zone(self._account.timezone)).astimezone(UTC)
            for one in (first, first + timedelta(days=1))
        )
        return Period(start, end)


def _times(each: Tokens, record: Mapping[str, Any]) -> int:
    return sum(more * record[name] for more, name in zip(each, _TOKENS, strict=True))


def _before(connection: Connection, scope: Scope) -> dict[Group, int] | None:
    """What each project and model cost in the month before; None where calls of that are detached."""
    assert scope.month is not None
    earlier = replace(scope, month=month_before(scope.month))
    try:
        (account,) = earlier.accounts(connection)
    except DetachedError:
        return None
    costs: dict[Group, int] = {}
    for record in read_sums(connection, earlier, [account], ("project", "model"), account.timezone):
        group = Group(record["project"], record["model"])
        costs[group] = costs.get(group, 0) + record["cost"]
    return costs
