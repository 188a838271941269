"""Price calls in bulk: what `core.pricing` says of each, for columns of millions of them.

What the table of steps cannot say is asked of the core, call by call: what holds beyond the time that the price book is
compiled for, and whether the amounts of a call so large still fit 64 bits. Nothing is ever a float.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from costmeter.core.errors import InputError
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import FIRST_INSTANT, LAST_INSTANT, from_micros, to_micros
from costmeter.core.price_book import PriceBook, Step
from costmeter.core.pricing import START_UNKNOWN, Charge, Unpriced, price_usage
from costmeter.core.usage import MAX_TOKENS, Usage
from costmeter.services.price_table import (
    BY_START,
    LACKS_RATE,
    NO_PRICE,
    UNKNOWN_NAME,
    Integers,
    Places,
    PriceTable,
    Terms,
    price_table,
    terms_of,
)

CHUNK = 65_536  # calls that are priced at a time: so many are no faster alone, and their columns are small
NOT_KNOWN = int(np.iinfo(np.int64).min)  # the start of a call that was not recorded

_FIRST, _LAST = to_micros(FIRST_INSTANT), to_micros(LAST_INSTANT)
_UNPRICED = ("unpriced", None, None, None, None, None, None, 0, 0)
_LOW = 2**32 - 1


class Calls(NamedTuple):
    """Measured calls, a column for each thing known of them; instants are microseconds since 1970."""

    names: Sequence[str]
    name: NDArray[np.integer[Any]]  # the place in `names`
    completed_at: Integers
    started_at: Integers  # or NOT_KNOWN
    cache_hit_tokens: Integers
    cache_miss_tokens: Integers
    output_tokens: Integers

    @classmethod
    def of(cls, calls: Iterable[tuple[str, int, int | None, int, int, int]]) -> Calls:
        """The columns of calls, each its name, completion, start if known, and its three counts."""
        names, completed, starts, *tokens = [*zip(*calls, strict=True)] or [()] * 6
        places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        started = [NOT_KNOWN if start is None else start for start in starts]
        columns = ([places[name] for name in names], completed, started, *tokens)
        return cls([*places], *(np.array(column, dtype=np.int64) for column in columns))

    @property
    def tokens(self) -> tuple[Integers, Integers, Integers]:
        return self.cache_hit_tokens, self.cache_miss_tokens, self.output_tokens

    def part(self, start: int, end: int) -> Calls:
        """The calls from one row up to another; shares their memory."""
        return Calls._make((self.names, *(column[start:end] for column in self[1:])))


class Prices(NamedTuple):
    """What each of some calls costs, in units of 10^-12; 0 where it is unpriced."""

    terms: Terms
    step: Places  # the place in `terms`; NO_PRICE where the call is unpriced
    tokens: tuple[Integers, ...]
    cost_cache_hit: Integers
    cost_cache_miss: Integers
    cost_output: Integers
    cost: Integers
    start_unknown: NDArray[np.bool_]  # priced by completion, as the start, which decides, is not known

    def cache_savings(self) -> Integers:
        """What the cache hits would have cost more as misses."""
        return self.terms.cache_discount.take(self.step) * self.tokens[0]

    def off_peak_savings(self) -> Integers:
        """The amount in the tariff's dearest band less the amount charged."""
        most = np.zeros(len(self.step), dtype=np.int64)
        for rates in self.terms.dearer:
            np.maximum(most, _sum(_costs(rates, self.step, self.tokens)), out=most)
        return most

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Call by call what a charge's row says of its price: the values of `store.charges.PRICE`."""
        heads = [None if step is None else _head(step) for step in self.terms.steps]
        columns = (*self[3:7], self.cache_savings(), self.off_peak_savings())
        amounts = (column.tolist() for column in columns)
        for place, *values in zip(self.step.tolist(), *amounts, strict=True):
            head = heads[place]
            yield _UNPRICED if head is None else (*head, *values)


def price_calls(book: PriceBook, calls: Calls, currency: str) -> Iterator[Prices]:
    """The prices of calls in a currency, chunk after chunk, so that memory does not grow with their number.

    Each is what `price_usage` gives. Raises InputError for a column that is not of 64-bit integers, a count that is not
    from 0 to MAX_TOKENS, an instant that is no date, and a name that is not in `names`.
    """
    _check_columns(calls)
    table = price_table(book, calls.names, currency)
    codes = np.array([table.codes.get(name, UNKNOWN_NAME) for name in calls.names], dtype=np.intp)
    for start in range(0, len(calls.name), CHUNK):
        part = calls.part(start, start + CHUNK)
        _check_values(part)
        yield _priced(table, codes.take(part.name), part)


def exact_sum(amounts: Integers) -> int:
    """The sum of 64-bit amounts, exact however large it is."""
    if not len(amounts):
        return 0
    largest = max(int(amounts.max()), -int(amounts.min()))
    if largest * len(amounts) <= MAX_AMOUNT:
        return int(amounts.sum())
    # Halves of 32 bits: of neither can 2^31 rows pass 64 bits.
    return (int((amounts >> 32).sum()) << 32) + int((amounts & _LOW).sum())


def _priced(table: PriceTable, code: Places, calls: Calls) -> Prices:
    step, tokens, terms = _step_at(table, code, calls.completed_at), calls.tokens, table.terms
    start_unknown = _settle(table, step, code, calls)
    doubtful = np.flatnonzero(_sum(tokens) > terms.safe_tokens.take(step)).tolist()
    if doubtful:
        terms = _ask_core(table, calls, doubtful, step, start_unknown)
    hits, misses, outputs = _costs(terms.rates, step, tokens)
    return Prices(terms, step, tokens, hits, misses, outputs, _sum((hits, misses, outputs)), start_unknown)


def _costs(rates: tuple[Integers, ...], step: Places, tokens: tuple[Integers, ...]) -> tuple[Integers, ...]:
    return tuple(rate.take(step) * count for rate, count in zip(rates, tokens, strict=True))


def _sum(columns: tuple[Integers, ...]) -> Integers:
    hits, misses, outputs = columns
    return hits + misses + outputs


def _step_at(table: PriceTable, code: Places, instant: Integers) -> Places:
    """What is in force at each instant for the name of each code."""
    passed = np.searchsorted(table.edges, instant, side="right")
    places: Places = table.places.ravel().take(code * table.places.shape[1] + passed).astype(np.intp)
    return places


def _settle(table: PriceTable, step: Places, code: Places, calls: Calls) -> NDArray[np.bool_]:
    """Put right the steps that do not follow from completion alone; tells for which calls a start is missed."""
    special = table.terms.special.take(step)
    if not special.any():
        return np.zeros(len(step), dtype=np.bool_)
    by_start = special & BY_START != 0
    is_missed: NDArray[np.bool_] = by_start & (calls.started_at == NOT_KNOWN)
    known = np.flatnonzero(by_start & ~is_missed)
    step[known] = _step_at(table, code[known], calls.started_at[known])
    special = table.terms.special.take(step)
    for bit, count in zip(LACKS_RATE, calls.tokens, strict=True):
        step[(special & bit != 0) & (count > 0)] = NO_PRICE
    is_missed &= step != NO_PRICE
    return is_missed


def _ask_core(
    table: PriceTable, calls: Calls, rows: list[int], step: Places, start_unknown: NDArray[np.bool_]
) -> Terms:
    """Put in the steps of some calls as the core says, which also tells whether their amounts fit; returns all terms.

    What fits 64 bits comes out right whatever wraps on the way.
    """
    steps = list(table.terms.steps)
    for row in rows:
        priced = _price(table, calls, row)
        step[row], start_unknown[row] = NO_PRICE, False
        if isinstance(priced, Charge):
            if priced.step not in steps:
                steps.append(priced.step)
            step[row], start_unknown[row] = steps.index(priced.step), START_UNKNOWN in priced.flags
    return terms_of([step for step in steps if step is not None])


def _price(table: PriceTable, calls: Calls, row: int) -> Charge | Unpriced:
    name, completed_at, started_at, hits, misses, outputs = (int(column[row]) for column in calls[1:])
    return price_usage(
        table.book,
        model=calls.names[name],
        usage=Usage(hits, misses, outputs),
        completed_at=from_micros(completed_at),
        started_at=None if started_at == NOT_KNOWN else from_micros(started_at),
        currency=table.currency,
    )


def _head(step: Step) -> tuple[str, str, str]:
    return "provisional" if step.provisional else "priced", step.tariff.tariff_id, step.band


def _check_columns(calls: Calls) -> None:
    """Refuse what is no column of integers, one for each call."""
    for field, column in zip(Calls._fields[1:], calls[1:], strict=True):
        if len(column) != len(calls.name):
            raise InputError(field, f"{len(column)} values", f"must have one for each of {len(calls.name)} calls")
        if column.dtype != np.int64 and (field != "name" or column.dtype.kind != "i"):
            raise InputError(field, str(column.dtype), "pass an array of 64-bit integers")


def _check_values(calls: Calls) -> None:
    _check_range("name", calls.name, 0, len(calls.names) - 1)
    _check_range("completed_at", calls.completed_at, _FIRST, _LAST - 1)
    _check_range("started_at", calls.started_at[calls.started_at != NOT_KNOWN], _FIRST, _LAST - 1)
    for field, counts in zip(Calls._fields[4:], calls.tokens, strict=True):
        _check_range(field, counts, 0, MAX_TOKENS)


def _check_range(field: str, column: NDArray[np.integer[Any]], least: int, most: int) -> None:
    if len(column) and not (least <= column.min() and column.max() <= most):
        wrong = next(value for value in column.tolist() if not least <= value <= most)
        raise InputError(field, wrong, f"must be a whole number from {least} to {most}")
