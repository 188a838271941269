"""A table of a page: texts, counts and exact amounts, each amount's point below the one above it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from typing import Literal, NamedTuple

from costmeter.core.periods import format_instant, parse_instant

_UPRIGHT = 125  # characters of a row that an upright page takes; a wider table needs one that lies
_BETWEEN = 3  # characters that the space between two columns takes
_PIECE = re.compile(r".*?\S{20}|.+", re.DOTALL)
_EXACT = Context(prec=1100, rounding=ROUND_HALF_EVEN)  # no digit of an amount is lost, however large a sum is


class Kind(StrEnum):
    """What a column shows."""

    TEXT = "text"
    COUNT = "count"
    AMOUNT = "amount"  # an exact decimal string
    ROUNDED = "rounded"  # the same, rounded for reading


Role = Literal["", "group", "part"]
Value = str | int | None
UNKNOWN = "unpriced"  # an amount that is not known, which is not 0


class Row(NamedTuple):
    """The values of a row, amounts exact; a group's own row comes before those of its parts."""

    values: Sequence[Value]
    role: Role = ""


class PageTable(NamedTuple):
    """A table, and what is to be said below it."""

    caption: str
    columns: Sequence[tuple[str, Kind]]
    rows: Sequence[Row]
    total: Row | None = None
    notes: Sequence[str] = ()


class Cell(NamedTuple):
    """What stands in a cell; `pad` is how many digits its fraction has less than the longest of the column."""

    text: str
    kind: Kind
    pad: int
    negative: bool


class Laid(NamedTuple):
    """A table as a template writes it."""

    caption: str
    columns: Sequence[tuple[str, Kind]]
    rows: Sequence[tuple[Role, Sequence[Cell]]]
    total: Sequence[Cell] | None
    notes: Sequence[str]
    is_wide: bool


def lay_out(table: PageTable, decimals: int) -> Laid:
    """The table's cells as texts, with what brings their points into line."""
    kinds = [kind for _, kind in table.columns]
    every = [*table.rows, *([table.total] if table.total else [])]
    texts = [[_text(value, kind, decimals) for value, kind in zip(row.values, kinds, strict=True)] for row in every]
    longest = [max((_digits(row[place]) for row in texts), default=0) for place in range(len(kinds))]
    cells = [[_cell(text, kind, most) for text, kind, most in zip(row, kinds, longest, strict=True)] for row in texts]
    rows = [(row.role, laid) for row, laid in zip(table.rows, cells, strict=False)]
    is_wide = _width(kinds, [[heading for heading, _ in table.columns], *texts]) > _UPRIGHT
    return Laid(table.caption, table.columns, rows, cells[-1] if table.total else None, table.notes, is_wide)


def rounded(amount: str, decimals: int) -> str:
    """An amount for people's eyes: so many decimals, half to even, thousands set apart by commas."""
    short = Decimal(amount).quantize(Decimal(1).scaleb(-decimals), context=_EXACT)
    return f"{short or abs(short):,f}"  # what rounds to nothing has no sign


def added(amounts: Sequence[str]) -> str:
    """The exact sum of amounts, written as they are."""
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, Decimal(amount))
    whole, _, fraction = f"{total:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def clock(text: str | None) -> str:
    """An instant as people read it, in UTC."""
    return "" if text is None else format_instant(parse_instant(text)).replace("T", " ").removesuffix("Z")


def isolated(text: str | None) -> str | None:
    """A text inside another, so that the direction it is written in ends with it (Unicode's UAX 9)."""
    return text and f"\u2068{text}\u2069"


def pieces(text: str) -> list[str]:
    """A text in parts between which a line may be broken: one long word else makes its column as wide as itself."""
    return _PIECE.findall(text)


def _text(value: Value, kind: Kind, decimals: int) -> str:
    if value is None or value == "":
        return ""
    if kind is Kind.ROUNDED and value != UNKNOWN:
        return rounded(str(value), decimals)
    return f"{value:,}" if isinstance(value, int) and kind is Kind.COUNT else str(value)


def _cell(text: str, kind: Kind, most: int) -> Cell:
    is_amount = kind in (Kind.AMOUNT, Kind.ROUNDED)
    pad = most - _digits(text) if kind is Kind.AMOUNT and text[-1:].isdigit() else 0
    return Cell(text, kind, pad, is_amount and text.startswith("-") and any(digit in text for digit in "123456789"))


def _digits(text: str) -> int:
    """How many digits an amount has behind its point; of a text that is no amount it does not matter."""
    return len(text.partition(".")[2]) if text[-1:].isdigit() else 0


def _width(kinds: Sequence[Kind], texts: Sequence[Sequence[str]]) -> int:
    """About how many characters a row needs: a text can be broken over lines, an amount cannot."""
    columns = [max(len(row[place]) for row in texts) for place in range(len(kinds))]
    needed = [min(most, 18) if kind is Kind.TEXT else most for most, kind in zip(columns, kinds, strict=True)]
    return sum(needed) + _BETWEEN * len(needed)
