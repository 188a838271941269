"""Column types that lose nothing: money as integers, instants as UTC microseconds, sums past 64 bits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Dialect, LargeBinary, Numeric, Text, cast, extract, func, type_coerce
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import as_utc, from_micros, to_micros

_HALF = 10**9  # sums are taken of quotients and remainders: neither SQLite's nor PostgreSQL's can pass 64 bits

Key = LargeBinary(16)
Json = JSON().with_variant(postgresql.JSONB(), "postgresql")


class ExactMoney(TypeDecorator[int]):
    """One amount in units of 10^-12 as a 64-bit integer; anything but a Python int is refused."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002  the base class's signature
        if value is not None and (type(value) is not int or abs(value) > MAX_AMOUNT):
            raise TypeError(f"an amount is an int of 10^-12 within 64 bits, not {value!r}")
        return value


class ExactTotal(TypeDecorator[int]):
    """A sum in units of 10^-12 that may pass 64 bits; read and written whole, never added up in SQL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Numeric(38, 0) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        if type(value) is not int:
            raise TypeError(f"a total is an int of 10^-12, not {value!r}")
        return value if dialect.name == "postgresql" else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002  likewise
        return None if value is None else int(value)


class UtcInstant(TypeDecorator[datetime]):
    """An aware UTC instant with microseconds: TIMESTAMPTZ on PostgreSQL, integer microseconds on SQLite."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(
            postgresql.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else BigInteger()
        )

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        instant = as_utc(value)
        return instant if dialect.name == "postgresql" else to_micros(instant)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name == "postgresql" else from_micros(value)


def as_micros(connection: Connection, column: Any) -> ColumnElement[int]:
    """The microseconds since 1970 of an instant's column, for reading so many that making each a datetime is slow."""
    if connection.dialect.name == "postgresql":
        return cast(extract("epoch", column) * 1_000_000, BigInteger)
    return type_coerce(column, BigInteger)


_BINDS = 9  # tighter than + and *, so that of a sum of columns the sum is divided, and not its last one


def sum_halves(column: Any) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Two columns whose sums `join_halves` makes one exact integer, however large, on both databases."""
    plain = type_coerce(column, BigInteger)
    high = func.sum(plain.op("/", _BINDS)(_HALF), type_=BigInteger)
    return high, func.sum(plain.op("%", _BINDS)(_HALF), type_=BigInteger)


def split_halves(amount: int) -> tuple[int, int]:
    """An amount as the two integers that `join_halves` makes it of again; those of many can be summed."""
    return divmod(amount, _HALF)


def join_halves(high: Any, low: Any) -> int:
    """The exact sum of what `sum_halves` selected or `split_halves` made; of no rows it is 0."""
    return int(high or 0) * _HALF + int(low or 0)
