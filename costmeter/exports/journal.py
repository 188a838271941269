"""The journal export: balanced double entry by day, project and model, a line a leg, for accounting systems.

Charges are an entry for each day, project and model, taken from the charges themselves; what else moved the balance is
an entry as the ledger's own journal has it. All entries of a billing month together are that month's journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from heapq import merge
from typing import Any, NamedTuple

from sqlalchemy import Connection, case

from costmeter.core.errors import InputError
from costmeter.core.ledger import (
    FUNDING,
    GRANTED,
    JOURNAL_ACCOUNTS,
    OVERDRAFT,
    TOPPED_UP,
    UNTRACKED,
    USAGE_COST,
)
from costmeter.exports.day_sums import Day, day_sums
from costmeter.exports.export import Column, Export, Kind
from costmeter.exports.movements import Movement, movements
from costmeter.store.accounts import Account
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow, EventRow

# Where granted balance comes from: not from the money that the ledger's `funding` stands for.
GRANTED_INCOME = "granted_income"
ACCOUNTS = (*JOURNAL_ACCOUNTS, GRANTED_INCOME)
PAID_FROM = (GRANTED, TOPPED_UP, OVERDRAFT, UNTRACKED)
_MEMOS = {
    "credit": "{} added",
    "void": "{} voided",
    "repayment": "overdraft repaid from {}",
    "expiry": "{} expired",
}
# An adjustment of a closed month stands on the day of booking, since only that lies in a month that is open.
_AT = case((ChargeRow.adjusts.is_not(None), ChargeRow.booked_at), else_=ChargeRow.completed_at)
_KEYS = (EventRow.project, EventRow.model, ChargeRow.adjusts)
_AMOUNTS = (ChargeRow.granted, ChargeRow.topped_up, ChargeRow.overdraft, ChargeRow.untracked)


class JournalEntry(NamedTuple):
    """One balanced entry; `lines` are amounts by name of account, positive where the account is debited."""

    account: Account
    day: date
    entry_id: str
    project: str | None
    model: str | None
    memo: str
    adjusts: str | None
    lines: Mapping[str, int]


def journal_entries(connection: Connection, scope: Scope) -> Iterator[JournalEntry]:
    """The entries of a billing month: by account, by day, the charges of a day before what else moved the balance.

    The number of an entry of charges counts those of its day, that of any other is the ledger's own: neither changes
    once the month is closed. A scope that cannot be is refused at once.
    """
    if scope.month is None:
        raise InputError("month", None, "a journal is of one billing month; give it")
    if scope.where:
        given = ", ".join(f"{key}={value}" for key, value in scope.where.items())
        raise InputError("where", given, "a part of an account does not balance; leave it out")
    moved = sorted(movements(connection, scope), key=lambda one: (one.account.account, one.day, one.seq))
    days = day_sums(connection, scope, _KEYS, _AMOUNTS, at=_AT)
    charged = (entry for day in days for entry in _of_charges(day))
    return merge(charged, map(_of_movement, moved), key=lambda entry: (entry.account.account, entry.day))


def _of_charges(day: Day) -> Iterator[JournalEntry]:
    """The day's charges by project, model and the month that they adjust; what comes to nothing has no entry."""
    number = 0
    for (project, model, adjusts), sums in day.sums.items():
        lines = {name: -amount for name, amount in zip(PAID_FROM, sums, strict=True)}
        lines = {name: amount for name, amount in {USAGE_COST: sum(sums), **lines}.items() if amount}
        if lines:
            number += 1
            entry_id = f"{day.day}/{number}/{day.account.account}"
            memo = f"usage of {model}" if adjusts is None else f"usage of {model}, adjusts {adjusts}"
            yield JournalEntry(day.account, day.day, entry_id, project, model, memo, adjusts, lines)


def _of_movement(movement: Movement) -> JournalEntry:
    lines = dict(movement.lines)
    if GRANTED in lines and FUNDING in lines:
        lines[GRANTED_INCOME] = lines.pop(FUNDING)
    memo = _MEMOS.get(movement.kind, movement.kind).format(movement.credit)
    if movement.kind in ("repayment", "expiry") and max(lines.get(GRANTED, 0), lines.get(TOPPED_UP, 0)) > 0:
        memo += ", taken back"
    entry_id = f"{movement.seq}/{movement.account.account}"
    return JournalEntry(movement.account, movement.day, entry_id, None, None, memo, movement.adjusts, lines)


def _rows(connection: Connection, scope: Scope) -> Iterator[tuple[Any, ...]]:
    return (
        (
            entry.day, entry.entry_id, entry.account.account, name, entry.project, entry.model,
            entry.lines[name] if entry.lines[name] > 0 else None, -entry.lines[name] if entry.lines[name] < 0 else None,
            entry.account.currency, entry.memo, entry.adjusts,
        )
        for entry in journal_entries(connection, scope)
        for name in ACCOUNTS
        if name in entry.lines
    )  # fmt: skip


JOURNAL = Export(
    "journal",
    (
        Column("date", Kind.DAY),
        Column("entry", Kind.TEXT),
        Column("account", Kind.TEXT),
        Column("journal_account", Kind.TEXT),
        Column("project", Kind.TEXT),
        Column("model", Kind.TEXT),
        Column("debit", Kind.MONEY),
        Column("credit", Kind.MONEY),
        Column("currency", Kind.TEXT),
        Column("memo", Kind.TEXT),
        Column("adjusts", Kind.TEXT),
    ),
    _rows,
    guarded=True,
    what="The balanced double entry of a billing month, a row a leg, by day, project and model.",
)
