"""The journal as a beancount file: one billing month that stands for itself, from opening to closing balances.

The transactions are the entries of the journal export, which come from the charges. The balances before and after them
are those of the ledger's own journal, asserted without tolerance: `bean-check` proves that the two agree to the digit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import TextIO

from sqlalchemy import ColumnElement, Connection, select

from costmeter.core.ledger import (
    ADJUSTMENT,
    EXPIRED,
    FUNDING,
    GRANTED,
    OVERDRAFT,
    TOPPED_UP,
    UNTRACKED,
    USAGE_COST,
)
from costmeter.core.money import format_amount
from costmeter.core.periods import month_after
from costmeter.exports.journal import ACCOUNTS, GRANTED_INCOME, JournalEntry, journal_entries
from costmeter.store.accounts import Account
from costmeter.store.known import by_then
from costmeter.store.scope import Scope
from costmeter.store.tables import EntryRow, LineRow
from costmeter.store.types import join_halves, sum_halves

OPENING = "opening"
# What beancount calls the journal's accounts, `{}` being one of ours. What was paid for and is not used yet is an
# asset, what was used and is not paid for yet a liability.
NAMES = {
    GRANTED: "Assets:DeepSeek:{}:Granted",
    TOPPED_UP: "Assets:DeepSeek:{}:ToppedUp",
    OVERDRAFT: "Liabilities:DeepSeek:{}:Overdraft",
    UNTRACKED: "Liabilities:DeepSeek:{}:Untracked",
    USAGE_COST: "Expenses:DeepSeek:{}:Usage",
    EXPIRED: "Expenses:DeepSeek:{}:Expired",
    FUNDING: "Equity:DeepSeek:{}:Funding",
    ADJUSTMENT: "Expenses:DeepSeek:{}:Adjustment",
    GRANTED_INCOME: "Income:DeepSeek:{}:Granted",
    OPENING: "Equity:DeepSeek:{}:Opening",
}
CARRIED = (GRANTED, TOPPED_UP, OVERDRAFT, UNTRACKED)  # whose balance goes on into the next month

# Without it beancount lets a transaction be off by half of the last digit of its shortest amount.
EXACTLY = 'option "tolerance_multiplier" "0"\n'

Balances = Mapping[str, Mapping[str, int]]  # by account, by journal account

_ODD = re.compile("[^A-Za-z0-9]")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def write_beancount(connection: Connection, scope: Scope, out: TextIO) -> int:
    """Write a billing month as a beancount file; returns how many transactions of the month it has.

    Amounts have all their digits. A scope that is no whole month of whole accounts is an InputError, before anything
    is written.
    """
    entries = journal_entries(connection, scope)
    assert scope.month is not None
    first = date.fromisoformat(f"{scope.month}-01")
    next_month = date.fromisoformat(f"{month_after(scope.month)}-01")
    opening = _balances(connection, scope, EntryRow.billing_month < scope.month)
    closing = _balances(connection, scope, EntryRow.billing_month <= scope.month)
    in_scope = sorted(scope.accounts(connection), key=lambda account: account.account)
    out.write(f'option "title" "DeepSeek usage of {scope.month}"\n{EXACTLY}')
    out.writelines(_currency(currency, first) for currency in sorted({account.currency for account in in_scope}))
    out.writelines(_opening(account, first, opening.get(account.account, {})) for account in in_scope)
    count = 0
    for entry in entries:
        out.write(_transaction(entry))
        count += 1
    out.writelines(_closing(account, next_month, closing.get(account.account, {})) for account in in_scope)
    return count


def _currency(currency: str, first: date) -> str:
    return f'option "operating_currency" "{currency}"\n{first} commodity {currency}\n'


def _balances(connection: Connection, scope: Scope, months: ColumnElement[bool]) -> Balances:
    """What the ledger's journal says that each account carries at the end of these billing months."""
    query = select(LineRow.account, LineRow.journal_account, *sum_halves(LineRow.amount))
    query = query.join(EntryRow, (LineRow.account == EntryRow.account) & (LineRow.seq == EntryRow.seq))
    mine = [*scope.owners(EntryRow.account), *by_then(EntryRow.booked_at, scope.known_at)]
    query = query.where(months, LineRow.journal_account.in_(CARRIED), *mine)
    found: dict[str, dict[str, int]] = {}
    for account, name, high, low in connection.execute(query.group_by(LineRow.account, LineRow.journal_account)):
        found.setdefault(account, {})[name] = join_halves(high, low)
    return found


def _opening(account: Account, first: date, balances: Mapping[str, int]) -> str:
    """The directives that open the account, and what it carries into the month."""
    names = (_named(name, account) for name in (*ACCOUNTS, OPENING))
    text = "\n" + "".join(f"{first} open {name} {account.currency}\n" for name in names)
    lines = {name: balances[name] for name in CARRIED if balances.get(name)}
    if not lines:
        return text
    lines[OPENING] = -sum(lines.values())
    return f'{text}\n{first} * "opening balances"\n  account: {_quoted(account.account)}\n{_legs(account, lines)}'


def _transaction(entry: JournalEntry) -> str:
    said = {"entry": entry.entry_id, "account": entry.account.account, "project": entry.project, "model": entry.model}
    said |= {"adjusts": entry.adjusts}
    metadata = "".join(f"  {key}: {_quoted(text)}\n" for key, text in said.items() if text is not None)
    return f"\n{entry.day} * {_quoted(entry.memo)}\n{metadata}{_legs(entry.account, entry.lines)}"


def _legs(account: Account, lines: Mapping[str, int]) -> str:
    names = (name for name in (*ACCOUNTS, OPENING) if name in lines)
    return "".join(f"  {_named(name, account)}  {format_amount(lines[name])} {account.currency}\n" for name in names)


def _closing(account: Account, next_month: date, balances: Mapping[str, int]) -> str:
    """What beancount must find, at the beginning of the next month, in the accounts that are carried over."""
    amounts = ((_named(name, account), format_amount(balances.get(name, 0))) for name in CARRIED)
    lines = (f"{next_month} balance {name}  {amount} ~ 0 {account.currency}\n" for name, amount in amounts)
    return "\n" + "".join(lines)


def _named(name: str, account: Account) -> str:
    """A part of a name in beancount has letters, digits and dashes only; what else ours has is written as -code-."""
    return NAMES[name].format("Account-" + _ODD.sub(lambda odd: f"-{ord(odd.group()):x}-", account.account))


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
