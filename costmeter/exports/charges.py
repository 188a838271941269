"""The charges export: one row a measured call and billing month, for spreadsheets and auditors."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TextIO

from sqlalchemy import Connection, collate, select

from costmeter.core.money import format_amount
from costmeter.core.periods import format_instant
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

    A scope that cannot be is refused at once, before the first row is asked for.
    """
    names = [account.account for account in scope.accounts(connection)]
    # By bytes and not by the database's locale, so that both databases write the same file.
    by_id = collate(EventRow.event_id, "C" if connection.dialect.name == "postgresql" else "BINARY")
    query = select(*COLUMNS.values()).join(EventRow, of_one_event(ChargeRow, EventRow)).where(*scope.charges(names))
    query = query.order_by(ChargeRow.completed_at, by_id, ChargeRow.account, ChargeRow.revision)
    result = connection.execute(query, execution_options={"yield_per": CHUNK})
    return ([_cell(name, value) for name, value in zip(COLUMNS, row, strict=True)] for row in result)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in MONEY:
        return format_amount(value)
    if isinstance(value, datetime):
        return format_instant(value)
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
