"""What an export is: a name, typed columns, and rows; every format writes the same rows in its own way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection

from costmeter.store.scope import Scope
from costmeter.store.texts import Block


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


class Direct(NamedTuple):
    """What the database says of an export by itself, where there are too many rows to make each of them in Python."""

    blocks: Callable[[Connection, Scope], Generator[Block, None, None]]  # the same rows, in their canonical rendition
    sums: Callable[[Connection, Scope], Mapping[str, int]]  # of each column of money, over all rows


class Export(NamedTuple):
    """One kind of export. `rows` gives tuples in the order of `columns`, and refuses a wrong scope at once.

    `guarded` says that its CSV is for spreadsheets: a text cell that one would run as a formula is written with an
    apostrophe before it. `direct` is another way to the same rows; `what` says in a
    sentence what they are.
    """

    name: str
    columns: tuple[Column, ...]
    rows: Callable[[Connection, Scope], Iterator[tuple[Any, ...]]]
    guarded: bool
    direct: Direct | None = None
    what: str = ""
