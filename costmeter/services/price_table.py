"""The price table: the compiled step functions of some names in one currency, as arrays that NumPy searches.

The edges of all names are one array, so that one search serves calls of any of them; at an edge of another name only,
a name's step stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import to_micros
from costmeter.core.price_book import TOKEN_METERS, PriceBook, Rate, Step, Timeline

Integers = NDArray[np.int64]
Places = NDArray[np.intp]
Numbers = tuple[int, ...]  # one for each of TOKEN_METERS, in units of 10^-12 for one token

UNKNOWN_NAME = 0  # the code of every name that the book does not know
NO_PRICE, BEYOND = 0, 1  # the first two steps of a table: none, and what only the rule itself can say
LACKS_RATE = (1, 2, 4)  # what is special about a step, as bits: which of TOKEN_METERS has no rate,
BY_START = 8  # and that the start of a call decides
_BEFORE_ALL = np.iinfo(np.int64).min
_NOTHING: Numbers = (0,) * len(TOKEN_METERS)


class Terms(NamedTuple):
    """Steps, and the numbers of each: an array for each number, in units of 10^-12 for one token.

    The first two are none: NO_PRICE, where nothing is known of what a call costs, and BEYOND, which is to be asked for.
    """

    steps: tuple[Step | None, ...]
    rates: tuple[Integers, ...]  # one for each of TOKEN_METERS; 0 where none is listed
    cache_discount: Integers  # by how much a cache miss is dearer than a hit
    dearer: tuple[tuple[Integers, ...], ...]  # by how much the rates are of each band that is so in any meter
    safe_tokens: Integers  # up to so many tokens in all no amount of a call can pass 64 bits
    special: NDArray[np.uint8]


class PriceTable(NamedTuple):
    """What is in force at any instant for some names.

    `places[code, n]` is the place in `terms` of what holds for the name of that code after `n` of the `edges`
    (microseconds since 1970).
    """

    book: PriceBook
    currency: str
    codes: Mapping[str, int]
    edges: Integers
    places: NDArray[np.int32]
    terms: Terms


def price_table(book: PriceBook, names: Iterable[str], currency: str) -> PriceTable:
    """The table of those names that the book knows; kept, since compiling takes up to 0.1 s a name."""
    return _price_table(book, tuple(sorted({*names} & book.names.keys())), currency)


@lru_cache(maxsize=32)
def _price_table(book: PriceBook, names: tuple[str, ...], currency: str) -> PriceTable:
    timelines = [book.timeline(name, currency) for name in names]
    edges = _micros(sorted({book.horizon, *(edge for timeline in timelines for edge in timeline.edges)}))
    steps = _distinct(timelines)
    places = np.full((1 + len(names), 1 + len(edges)), NO_PRICE, dtype=np.int32)
    for code, timeline in enumerate(timelines, UNKNOWN_NAME + 1):
        places[code] = _places(timeline, edges, steps)
        places[code, -1] = BEYOND
    codes = {name: code for code, name in enumerate(names, UNKNOWN_NAME + 1)}
    return PriceTable(book, currency, codes, edges, places, terms_of(steps))


def terms_of(steps: Sequence[Step]) -> Terms:
    """The numbers of these steps, which stand at the places from BEYOND + 1 on."""
    rates = _columns([_NOTHING, _NOTHING, *(_listed(step.rates) for step in steps)])
    return Terms(
        steps=(None, None, *steps),
        rates=rates,
        cache_discount=rates[1] - rates[0],
        dearer=_dearer_columns(steps),
        safe_tokens=np.array([MAX_AMOUNT, -1, *(step.safe_tokens for step in steps)], dtype=np.int64),
        special=np.array([0, 0, *(_special(step) for step in steps)], dtype=np.uint8),
    )


def _distinct(timelines: Sequence[Timeline]) -> list[Step]:
    return list({id(step): step for timeline in timelines for step in timeline.steps if step is not None}.values())


def _places(timeline: Timeline, edges: Integers, steps: Sequence[Step]) -> NDArray[np.int32]:
    """The place of what holds before all edges, and after each of them."""
    numbers = {id(step): place for place, step in enumerate(steps, BEYOND + 1)} | {id(None): NO_PRICE}
    own = np.array([numbers[id(step)] for step in timeline.steps], dtype=np.int32)
    places: NDArray[np.int32] = own[np.searchsorted(_micros(timeline.edges), np.insert(edges, 0, _BEFORE_ALL), "right")]
    return places


def _micros(instants: Sequence[datetime]) -> Integers:
    return np.array([to_micros(instant) for instant in instants], dtype=np.int64)


def _listed(rates: Mapping[str, Rate]) -> Numbers:
    return tuple(rates[meter].units if meter in rates else 0 for meter in TOKEN_METERS)


def _special(step: Step) -> int:
    lacking = sum(bit for bit, meter in zip(LACKS_RATE, TOKEN_METERS, strict=True) if meter not in step.rates)
    return lacking | BY_START * (step.tariff.basis == "start")


def _dearer_columns(steps: Sequence[Step]) -> tuple[tuple[Integers, ...], ...]:
    found = zip_longest([], [], *(_dearer(step) for step in steps), fillvalue=_NOTHING)
    return tuple(_columns(rows) for rows in found)


def _dearer(step: Step) -> list[Numbers]:
    """The differences of the rates of each other band that is dearer in any meter."""
    own = _listed(step.rates)
    bands = step.tariff.rates[step.currency].bands.values()
    others = [tuple(rate - mine for rate, mine in zip(_listed(band), own, strict=True)) for band in bands]
    return [differences for differences in others if max(differences) > 0]


def _columns(rows: Sequence[Numbers]) -> tuple[Integers, ...]:
    return tuple(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
