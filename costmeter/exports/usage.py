"""The usage export: what each day's calls came to, by project, model and band; read from the rollups where they answer.

A day is one of the account's billing time zone. What is booked later than its month stands in a row of its own, whose
`billing_month` is the month of booking and whose `adjusts` names the month of the calls.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from costmeter.exports.export import Column, Export, Kind
from costmeter.store.accounts import Account
from costmeter.store.rollups import TOKENS
from costmeter.store.scope import Scope
from costmeter.store.sums import read_sums

_BY = ("day", "account", "project", "model", "band", "billing_month")
_MONEY = ("cost", "granted", "topped_up", "overdraft", "untracked")
_COUNTS = ("calls", "unpriced", "provisional", *TOKENS)
_SUMS = (*_COUNTS, *_MONEY)
_COLUMNS = (
    "day", "account", "project", "model", "band", "calls", *TOKENS, *_MONEY, "currency", "billing_month", "adjusts",
    "unpriced", "provisional",
)  # fmt: skip
_KINDS = dict.fromkeys(_COUNTS, Kind.INTEGER) | dict.fromkeys(_MONEY, Kind.MONEY) | {"day": Kind.DAY}
_row = itemgetter(*_COLUMNS)


def _rows(connection: Connection, scope: Scope) -> Iterator[tuple[Any, ...]]:
    """By day, then by the bytes of account, project, model, band and billing month. One day is held at a time."""
    in_scope = scope.accounts(connection)
    zones = sorted({account.timezone for account in in_scope})
    by_zone = [_of_zone(connection, scope, [one for one in in_scope if one.timezone == zone]) for zone in zones]
    return map(_row, heapq.merge(*by_zone, key=_place))


def _of_zone(connection: Connection, scope: Scope, accounts: list[Account]) -> Iterator[dict[str, Any]]:
    """The records of accounts that share a time zone, in order."""
    currency = {account.account: account.currency for account in accounts}
    parts = read_sums(connection, scope, accounts, _BY, accounts[0].timezone)
    for _, of_day in groupby((part for part in parts if part["account"] in currency), key=itemgetter("day")):
        summed: dict[tuple[Any, ...], dict[str, Any]] = {}
        for part in of_day:
            record = summed.setdefault(tuple(part[name] for name in _BY), part)
            if record is not part:
                record |= {name: record[name] + part[name] for name in _SUMS}
        for record in sorted(summed.values(), key=_place):
            yield record | _told(record) | {"currency": currency[record["account"]]}


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """What a row says besides its sums: a cost that is not known is empty, and never 0."""
    is_unknown = record["calls"] == record["unpriced"] > 0 and record["cost"] == 0
    month = record["day"][:7]
    return {
        "day": date.fromisoformat(record["day"]),
        "cost": None if is_unknown else record["cost"],
        "adjusts": None if month == record["billing_month"] else month,
    }


def _place(record: dict[str, Any]) -> tuple[str, ...]:
    return (str(record["day"]), *(record[name] or "" for name in _BY[1:]))


USAGE = Export(
    name="usage",
    columns=tuple(Column(name, _KINDS.get(name, Kind.TEXT)) for name in _COLUMNS),
    rows=_rows,
    guarded=True,
    what="One row a day, account, project, model and band, with its calls, tokens and money.",
)
