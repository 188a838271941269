"""The canonical rendition of a cell, and what a cell says: every format is made from these texts.

An empty cell is None. Money has all its digits and at least two decimals; instants are RFC 3339 in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from costmeter.core.money import DECIMALS, format_amount
from costmeter.core.periods import format_instant, parse_instant
from costmeter.exports.export import Column, Kind


def _quantity(value: Decimal) -> str:
    return format(value, "f")


def units_of(text: str) -> int:
    """The units of a canonical amount; a sum may pass 64 bits, as no amount that somebody enters may."""
    whole, _, decimals = text.partition(".")
    return int(whole + decimals.ljust(DECIMALS, "0"))


_TEXT: dict[Kind, Callable[[Any], str]] = {
    Kind.TEXT: str,
    Kind.INTEGER: str,
    Kind.MONEY: format_amount,
    Kind.QUANTITY: _quantity,
    Kind.INSTANT: format_instant,
    Kind.DAY: date.isoformat,
}
_VALUE: dict[Kind, Callable[[str], Any]] = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.MONEY: units_of,
    Kind.QUANTITY: Decimal,
    Kind.INSTANT: parse_instant,
    Kind.DAY: date.fromisoformat,
}


def texts_of(columns: Sequence[Column]) -> Callable[[Sequence[Any]], list[str]]:
    """Makes the cells of a row of values."""
    made = [_TEXT[column.kind] for column in columns]
    return lambda row: ["" if value is None else make(value) for make, value in zip(made, row, strict=True)]


def values_of(columns: Sequence[Column]) -> Callable[[Sequence[str]], tuple[Any, ...]]:
    """Makes the values of a row of cells."""
    read = [_VALUE[column.kind] for column in columns]
    return lambda row: tuple(None if text == "" else of(text) for of, text in zip(read, row, strict=True))
