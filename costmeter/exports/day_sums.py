"""Sums of charges by day of the account's time zone, read as a stream: one day of one account is held at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from costmeter.store.accounts import Account
from costmeter.store.charges import bytewise
from costmeter.store.events import of_one_event
from costmeter.store.rollups import day_of, quarter
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow, EventRow
from costmeter.store.types import join_halves, sum_halves

CHUNK = 5_000

Keys = tuple[str | None, ...]


class Day(NamedTuple):
    """What the charges of an account come to on a day: by keys, in the order of their texts, the sums asked for."""

    account: Account
    day: date
    sums: Mapping[Keys, Sequence[int]]


def day_sums(
    connection: Connection, scope: Scope, keys: Sequence[Any], amounts: Sequence[Any], *, at: Any
) -> Iterator[Day]:
    """The charges in scope, account by account and day by day, summed by keys; `at` is the instant that is of the day.

    Sums are exact, and accounts stand in the order of their bytes, so that both databases tell the same. A scope that
    cannot be is refused at once.
    """
    in_scope = {account.account: account for account in scope.accounts(connection)}
    query = _by_quarter(connection, scope, keys, amounts, at)
    rows = connection.execute(query, execution_options={"yield_per": CHUNK})
    return _days(rows, in_scope, len(keys))


def _by_quarter(
    connection: Connection, scope: Scope, keys: Sequence[Any], amounts: Sequence[Any], at: Any
) -> Select[Any]:
    """By quarter hours, since those are of one day in every time zone."""
    of_quarter = quarter(connection.dialect.name, at).label("quarter")
    named: list[ColumnElement[Any]] = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    halves = [half for amount in amounts for half in sum_halves(amount)]
    query = select(ChargeRow.account, of_quarter, *named, *halves).join(EventRow, of_one_event(ChargeRow, EventRow))
    query = query.where(*scope.charges()).group_by(ChargeRow.account, of_quarter, *named)
    return query.order_by(bytewise(connection, ChargeRow.account), of_quarter)


def _days(rows: Iterable[Row[Any]], in_scope: Mapping[str, Account], keys: int) -> Iterator[Day]:
    def account_and_day(row: Any) -> tuple[str, date]:
        return row[0], day_of(int(row[1]), in_scope[row[0]].timezone)

    for (name, day), of_day in groupby(rows, key=account_and_day):
        sums: dict[Keys, list[int]] = {}
        for row in of_day:
            key, halves = tuple(row[2 : 2 + keys]), row[2 + keys :]
            amounts = [join_halves(*halves[half : half + 2]) for half in range(0, len(halves), 2)]
            before = sums.get(key)
            sums[key] = amounts if before is None else [a + b for a, b in zip(before, amounts, strict=True)]
        yield Day(in_scope[name], day, {key: sums[key] for key in sorted(sums, key=in_order)})


def in_order(keys: Sequence[str | None]) -> list[tuple[bool, str]]:
    """The place of texts in an order that knows missing ones: they come first."""
    return [(key is not None, key or "") for key in keys]
