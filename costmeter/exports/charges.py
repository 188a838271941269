"""The charges export: one row a measured call and billing month, for spreadsheets and auditors."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, TextIO

from sqlalchemy import Connection, select

from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
from costmeter.store.charges import bytewise
from costmeter.store.events import of_one_event
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow, EventRow

# The contract's columns, in its order, then what is in doubt about the price; and where each comes from.
COLUMNS = {
    "event_id": EventRow.event_id,
    "account": ChargeRow.account,
    "project": EventRow.project,
    "user": EventRow.user_name,
    "api_key": EventRow.api_key,
    "model": EventRow.model,
    "completed_at": ChargeRow.completed_at,
    "band": ChargeRow.band,
    "cache_hit_tokens": EventRow.cache_hit_tokens,
    "cache_miss_tokens": EventRow.cache_miss_tokens,
    "output_tokens": EventRow.output_tokens,
    "reasoning_tokens": EventRow.reasoning_tokens,
    "cost_cache_hit": ChargeRow.cost_cache_hit,
    "cost_cache_miss": ChargeRow.cost_cache_miss,
    "cost_output": ChargeRow.cost_output,
    "cost": ChargeRow.cost,
    "granted": ChargeRow.granted,
    "topped_up": ChargeRow.topped_up,
    "overdraft": ChargeRow.overdraft,
    "untracked": ChargeRow.untracked,
    "currency": ChargeRow.currency,
    "tariff": ChargeRow.tariff,
    "status": ChargeRow.status,
    "adjusts": ChargeRow.adjusts,
    "flags": ChargeRow.flags,
}
MONEY = frozenset(
    ("cost_cache_hit", "cost_cache_miss", "cost_output", "cost", "granted", "topped_up", "overdraft", "untracked")
)
TOKENS = ("cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens")
CHUNK = 5_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a text cell that begins so


def write_charges_csv(connection: Connection, scope: Scope, out: TextIO) -> int:
    """Write the charges in scope as RFC 4180 CSV, ordered by completion and event id; returns how many."""
    rows = charge_rows(connection, scope)
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    count = 0
    for row in rows:
        writer.writerow(row)
        count += 1
    return count


def charge_rows(connection: Connection, scope: Scope) -> Iterator[list[str]]:
    """The charges as text cells: exact amounts, UTC instants, an unknown cost empty and never 0.

    A call's rows of one billing month are netted: an adjustment has no tokens where only money moved.
    A scope that cannot be is refused at once, before the first row is asked for.
    """
    scope.accounts(connection)  # refuses a scope of two currencies
    # By bytes and not by the database's locale, so that both databases write the same file.
    order = (ChargeRow.completed_at, bytewise(connection, EventRow.event_id), ChargeRow.account)
    query = (
        select(*COLUMNS.values(), ChargeRow.billing_month, ChargeRow.sign)
        .join(EventRow, of_one_event(ChargeRow, EventRow))
        .where(*scope.charges())
        .order_by(*order, ChargeRow.billing_month, ChargeRow.revision)
    )
    result = connection.execute(query, execution_options={"yield_per": CHUNK})
    of_one_call = groupby(result, key=lambda row: (row.completed_at, row.event_id, row.account, row.billing_month))
    return ([_cell(name, value) for name, value in _net([*rows]).items()] for _, rows in of_one_call)


def _net(rows: Sequence[Any]) -> dict[str, Any]:
    """What a call's rows of one billing month come to, described as its newest revision is."""
    net = dict(zip(COLUMNS, rows[-1], strict=False))
    if len(rows) == 1:
        return net
    for name in MONEY:
        amounts = [getattr(row, name) for row in rows if getattr(row, name) is not None]
        net[name] = sum(amounts) if amounts else None
    signs = sum(row.sign for row in rows)
    return net | {name: net[name] * signs for name in TOKENS}


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in MONEY:
        return format_amount(value)
    if isinstance(value, datetime):
        return format_instant(value)
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
