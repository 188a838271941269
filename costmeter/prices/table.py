"""One TOML table of a price book, read key by key; every refusal names table, key and value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from costmeter.core.errors import InputError, PriceBookError
from costmeter.core.periods import Period

T = TypeVar("T")


class Table:
    """One TOML table with its name, so that every refusal can say where it is; a key left over is refused."""

    def __init__(self, name: str, content: object) -> None:
        if not isinstance(content, dict):
            raise PriceBookError(name, content, "must be a table")
        self.name = name
        self._rest = dict(content)

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        value = self._rest.pop(key, default)
        if value is ...:
            raise PriceBookError(self._of(key), None, "is missing")
        # A TOML datetime is also a date to Python, and a boolean an integer: the exact type is meant.
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if value is not default and type(value) not in kinds:
            raise PriceBookError(self._of(key), value, f"must be a {' or '.join(k.__name__ for k in kinds)}")
        return value

    def text(self, key: str, allowed: Sequence[str] = (), default: Any = ...) -> Any:
        value = self.take(key, str, default)
        if value is not default and (value not in allowed if allowed else not value.strip()):
            raise PriceBookError(self._of(key), value, f"use one of {', '.join(allowed)}" if allowed else "is empty")
        return value

    def parsed(self, key: str, parse: Callable[[str], T], default: Any = ...) -> T:
        text = self.text(key, default=default)
        try:
            return parse(text)
        except InputError as error:
            raise PriceBookError(self._of(key), text, error.remedy) from error
        except ValueError as error:
            raise PriceBookError(self._of(key), text, str(error)) from error

    def instant(self, key: str) -> datetime | None:
        value = self.take(key, datetime, None)
        if value is not None and value.utcoffset() is None:
            raise PriceBookError(self._of(key), value.isoformat(), "has no time zone; add Z")
        return None if value is None else value.astimezone(UTC)

    def period(self) -> Period:
        period = Period(self.instant("from"), self.instant("to"))
        if period.start and period.end and period.start >= period.end:
            raise PriceBookError(self._of("to"), period.end.isoformat(), "must be after from")
        return period

    def tables(self, key: str) -> Iterator[Table]:
        for position, content in enumerate(self.take(key, list, []), start=1):
            yield Table(f"{self._of(key)}[{position}]", content)

    def named_tables(self, key: str) -> Iterator[tuple[str, Table]]:
        for name, content in self.take(key, dict, {}).items():
            yield name, Table(f"{self._of(key)}.{name}", content)

    def rest(self) -> dict[str, Any]:
        rest, self._rest = self._rest, {}
        return rest

    def end(self) -> None:
        for key, value in self._rest.items():
            raise PriceBookError(self._of(key), value, "is an unknown key")

    def _of(self, key: str) -> str:
        return f"{self.name}.{key}".lstrip(".")
