"""What an export is: a name, typed columns, and rows; every format writes the same rows in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection

from costmeter.store.scope import Scope


class Kind(StrEnum):
    """What a column holds, and as which Python type; None is an empty cell."""

    TEXT = "text"  # str
    INTEGER = "integer"  # int
    MONEY = "money"  # int of 10^-12 of the currency
    QUANTITY = "quantity"  # Decimal, such as tokens in millions
    INSTANT = "instant"  # aware datetime in UTC
    DAY = "day"  # date


class Column(NamedTuple):
    name: str
    kind: Kind


class Export(NamedTuple):
    """One kind of export. `rows` gives tuples in the order of `columns`, and refuses a wrong scope at once.

    `guarded` says that its CSV is for spreadsheets: a text cell that one would run as a formula is written with an
    apostrophe before it.
    """

    name: str
    columns: tuple[Column, ...]
    rows: Callable[[Connection, Scope], Iterator[tuple[Any, ...]]]
    guarded: bool
