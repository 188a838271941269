"""The charges export: one row a measured call and billing month, for spreadsheets and auditors."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Select, String, case, cast, select

from costmeter.core.money import format_amount
from costmeter.exports.cells import units_of, values_of
from costmeter.exports.export import Column, Direct, Export, Kind
from costmeter.store.charges import bytewise
from costmeter.store.events import of_one_event
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow, EventRow
from costmeter.store.texts import Block, cells, csv_blocks, lines
from costmeter.store.types import ExactMoney, join_halves, sum_halves

# The contract's columns, in its order, then what is in doubt about the price; and where each comes from.
_COLUMNS = {
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
_KINDS = {name: Kind.INTEGER for name in _COLUMNS if name.endswith("_tokens")} | {"completed_at": Kind.INSTANT}
_KINDS |= {name: Kind.MONEY for name, column in _COLUMNS.items() if isinstance(column.type, ExactMoney)}
_MONEY = tuple(name for name, kind in _KINDS.items() if kind is Kind.MONEY)
_TOKENS = tuple(name for name, kind in _KINDS.items() if kind is Kind.INTEGER)
_PLACE = {name: place for place, name in enumerate(_COLUMNS)}
_of_call = itemgetter(*(_PLACE[name] for name in ("completed_at", "event_id", "account")))


def _blocks(connection: Connection, scope: Scope) -> Generator[Block, None, None]:
    """The charges as CSV: exact amounts, UTC instants, an unknown cost empty and never 0.

    A call's rows of one billing month are netted: an adjustment has no tokens where only money moved. A scope that
    cannot be is refused at once, before the first row is asked for.
    """
    scope.accounts(connection)  # refuses a scope of two currencies
    return _netted(csv_blocks(connection, charges_query(connection, scope)))


def charges_query(connection: Connection, scope: Scope) -> Select[*tuple[Any, ...]]:
    """The charges, a call's newest first in each billing month, and last whether and when it was charged again."""
    # By bytes and not by the database's locale, so that both databases write the same file.
    order = (ChargeRow.completed_at, bytewise(connection, EventRow.event_id), ChargeRow.account)
    # Empty for the first charge of a call: most calls have no other, and are written as they come.
    again = case((ChargeRow.revision > 1, ChargeRow.billing_month + " " + cast(ChargeRow.sign, String(2))))
    return (
        select(*_COLUMNS.values(), again.label("again"))
        .join(EventRow, of_one_event(ChargeRow, EventRow))
        .where(*scope.charges())
        .order_by(*order, ChargeRow.billing_month, ChargeRow.revision.desc())
    )


def _netted(blocks: Iterator[Block]) -> Generator[Block, None, None]:
    """The blocks without their last cell, and with one row for those of a call in a billing month."""
    waiting: list[list[str]] = []  # rows of one call and month, of which more may come
    for text, rows in blocks:
        if not waiting and text.count(b"\r\n") == text.count(b",\r\n") == rows:  # nothing was charged again
            yield Block(text.replace(b",\r\n", b"\r\n"), rows)
            continue
        done = []
        for row in cells(text):
            if waiting and not _are_together(waiting[0], row):
                done.append(_net(waiting))
                waiting = []
            if waiting or row[-1]:
                waiting.append(row)
            else:
                done.append(row[:-1])
        if done:
            yield Block(lines(done), len(done))
    if waiting:
        yield Block(lines([_net(waiting)]), 1)


def _are_together(newest: Sequence[str], row: Sequence[str]) -> bool:
    """Whether a row is of the same call and month as a newer one. A call's first charge is in its earliest month."""
    return _of_call(newest) == _of_call(row) and row[-1][:7] in ("", newest[-1][:7])


def _net(rows: Sequence[list[str]]) -> list[str]:
    """What a call's rows of one billing month come to, described as its newest one is, which is the first."""
    net = rows[0][:-1]
    for place in map(_PLACE.__getitem__, _MONEY):
        amounts = [units_of(row[place]) for row in rows if row[place]]
        net[place] = format_amount(sum(amounts)) if amounts else ""
    signs = sum(-1 if row[-1].endswith("-1") else 1 for row in rows)
    for place in map(_PLACE.__getitem__, _TOKENS):
        net[place] = str(int(net[place]) * signs)
    return net


def _sums(connection: Connection, scope: Scope) -> Mapping[str, int]:
    """What the money of the charges comes to, summed by the database."""
    query = select(*(half for name in _MONEY for half in sum_halves(_COLUMNS[name]))).where(*scope.charges())
    if scope.where:
        query = query.join(EventRow, of_one_event(ChargeRow, EventRow))
    row = connection.execute(query).one()
    return {name: join_halves(*row[2 * place : 2 * place + 2]) for place, name in enumerate(_MONEY)}


def _rows(connection: Connection, scope: Scope) -> Iterator[tuple[Any, ...]]:
    blocks = _blocks(connection, scope)
    values = values_of(CHARGES.columns)
    return (values(row) for block in blocks for row in cells(block.text))


CHARGES = Export(
    name="charges",
    columns=tuple(Column(name, _KINDS.get(name, Kind.TEXT)) for name in _COLUMNS),
    rows=_rows,
    guarded=True,
    direct=Direct(_blocks, _sums),
    what="One row a measured call and billing month, ordered by completion and event id.",
)
