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
    if scope.month is None or scope.account is None:
        raise InputError("month", scope.month, "the lessons are those of one month of one account; give both")
    (account,) = scope.accounts(connection)
    rows: dict[Group, dict[str, int]] = {}
    missed_by = _Missed(connection, account, read_edition)
    for record in read_sums(connection, scope, [account], ("project", "model", "band", "day"), account.timezone):
        row = rows.setdefault(Group(record["project"], record["model"]), dict.fromkeys((*COUNTS, *MONEY), 0))
        for name in (*COUNTS, *_SUMMED):
            row[name] += record[name]
        if record["band"] is not None:  # what has no price has no band
            row["off_peak_missed"] += missed_by.sums(record)
    for group, amount in missed_by.single_calls(scope):
        rows[group]["off_peak_missed"] += amount
    return Lessons(account.account, scope.month, account.currency, rows, _before(connection, scope))


class _Missed:
    """What calls cost more than in the cheapest bands of their tariffs: by their sums where those can tell."""

    def __init__(self, connection: Connection, account: Account, read_edition: Reader) -> None:
        self._connection, self._account = connection, account
        self._books = [read_edition(text) for text in editions.texts(connection)]
        self._each: dict[tuple[str, str, str], Tokens | None] = {}

    def sums(self, record: Mapping[str, Any]) -> int:
        """What the calls of a model and a band on one day missed; 0 where only they themselves can tell."""
        key = (record["model"], record["band"], record["day"])
        if key not in self._each:
            model, band, day = key
            self._each[key] = excess_between(self._books, model, self._account.currency, band, self._period(day))
        each = self._each[key]
        return sum(more * record[name] for more, name in zip(each, _TOKENS, strict=True)) if each else 0

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
