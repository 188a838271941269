"""How the values of columns go to the driver: as which type, and made so by what. What no model takes is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec.json import Encoder
from sqlalchemy import BigInteger, Integer, LargeBinary, SmallInteger
from sqlalchemy.types import JSON, TypeEngine

from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import EPOCH, as_utc, to_micros
from costmeter.store.types import ExactMoney, ExactTotal, UtcInstant

_encoded = Encoder().encode
BEFORE_2000 = to_micros(EPOCH.replace(year=2000))  # PostgreSQL counts its microseconds from then on


class Sent(NamedTuple):
    """How the values of a column go over the wire: as which type, and made so by what (None: as they are)."""

    kind: str
    make: Callable[[Sequence[Any]], Sequence[Any]] | None = None


def sent(kind: TypeEngine[Any], *, is_postgresql: bool) -> Sent:
    """How the values of a column go to SQLite, or to PostgreSQL in a binary COPY."""
    if isinstance(kind, UtcInstant):
        return Sent("int8", _micros_of_2000 if is_postgresql else _micros)
    if isinstance(kind, ExactMoney):
        return Sent("int8", _money)
    if isinstance(kind, ExactTotal):
        return Sent("numeric", _totals) if is_postgresql else Sent("text", _texts)
    if isinstance(kind, JSON):
        return Sent("bytea", _jsonb if is_postgresql else _json)
    for sql, name in ((SmallInteger, "int2"), (BigInteger, "int8"), (Integer, "int4"), (LargeBinary, "bytea")):
        if isinstance(kind, sql):
            return Sent(name)
    return Sent("text")


def sent_in_array(kind: TypeEngine[Any]) -> Sent:
    """How the values of a column go to PostgreSQL in an array, whose instants are of their own type."""
    return Sent("timestamptz", _instants) if isinstance(kind, UtcInstant) else sent(kind, is_postgresql=True)


def made(kinds: Sequence[Sent], rows: Iterable[tuple[Any, ...]]) -> list[Sequence[Any]]:
    """The columns of the rows as they are sent: most need nothing done."""
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for number, (_, make) in enumerate(kinds):
        if make is not None:
            columns[number] = make(columns[number])
    return columns


def _micros(column: Sequence[Any]) -> list[int | None]:
    """Each instant in its turn; one that is there again and again, such as that of receipt, once."""
    told: list[int | None] = []
    last, micros = None, None
    for value in column:
        if value is not last:
            last = value
            micros = None if value is None else to_micros(value if value.tzinfo is UTC else as_utc(value))
        told.append(micros)
    return told


def _micros_of_2000(column: Sequence[Any]) -> list[int | None]:
    """The binary form of TIMESTAMPTZ is an integer, which the driver's compiled code writes faster than a datetime."""
    return [None if micros is None else micros - BEFORE_2000 for micros in _micros(column)]


def _instants(column: Sequence[Any]) -> list[datetime | None]:
    return [value if value is None or value.tzinfo is UTC else as_utc(value) for value in column]


def _totals(column: Sequence[Any]) -> Sequence[Any]:
    for value in column:
        if value is not None and type(value) is not int:
            raise TypeError(f"a total is an int of 10^-12, not {value!r}")
    return column


def _money(column: Sequence[Any]) -> Sequence[Any]:
    for value in column:
        if value is not None and (type(value) is not int or abs(value) > MAX_AMOUNT):
            raise TypeError(f"an amount is an int of 10^-12 within 64 bits, not {value!r}")
    return column


def _texts(column: Sequence[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in _totals(column)]


def _json(column: Sequence[Any]) -> list[str | None]:
    """JSON with characters as they are, not escaped: SQLite looks names up as they are written."""
    return [None if value is None else _encoded(value).decode() for value in column]


def _jsonb(column: Sequence[Any]) -> list[bytes | None]:
    """The binary form of JSONB is its version, 1, and the text."""
    return [None if value is None else b"\x01" + _encoded(value) for value in column]
