"""The journal: balanced entries, numbered without a gap, each sealed by the digest of the one before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from costmeter.core.events import digest
from costmeter.core.ledger import is_balanced
from costmeter.core.money import MAX_AMOUNT
from costmeter.core.periods import format_instant
from costmeter.store.accounts import Account
from costmeter.store.bulk import Batch, among
from costmeter.store.tables import AccountRow, EntryRow, LineRow, PeriodRow


class Entry(NamedTuple):
    """One journal entry: what it books, and its lines by journal account."""

    kind: str
    first_seq: int
    seq: int
    billing_month: str
    booked_at: datetime
    facts: bytes
    lines: Mapping[str, int]


def append(batch: Batch, account: Account, entries: Sequence[Entry]) -> Account:
    """Book entries and return the account as it stands after them; an unbalanced entry is a defect and raises."""
    rows, lines = [], []
    chain = account.chain
    for entry in entries:
        if not is_balanced(entry.lines) or any(abs(amount) > MAX_AMOUNT for amount in entry.lines.values()):
            raise AssertionError(
                f"entry {entry.seq} of {account.account} does not balance within 64 bits: {entry.lines}"
            )
        chain = link(chain, account.account, entry)
        row = {**entry._asdict(), "account": account.account, "currency": account.currency, "chain": chain}
        del row["lines"]
        rows.append(row)
        for name, amount in entry.lines.items():
            lines.append({"account": account.account, "seq": entry.seq, "journal_account": name, "amount": amount})
    batch.add(EntryRow, rows)
    batch.add(LineRow, lines)
    return account._replace(chain=chain, version=entries[-1].seq if entries else account.version)


class BookedEntry(NamedTuple):
    """An entry as it was booked, with the digest that seals it and all before it."""

    kind: str
    first_seq: int
    seq: int
    billing_month: str
    booked_at: datetime
    facts: bytes
    currency: str
    chain: bytes
    lines: Mapping[str, int]


def listed(connection: Connection, account: str, *, after: int, limit: int) -> list[BookedEntry]:
    """Entries of an account with their lines, in order, those after a number."""
    columns = [getattr(EntryRow, name) for name in BookedEntry._fields[:-1]]
    query = select(*columns).where(EntryRow.account == account, EntryRow.seq > after).order_by(EntryRow.seq)
    rows = connection.execute(query.limit(limit)).all()
    lines: dict[int, dict[str, int]] = {row.seq: {} for row in rows}
    if rows:
        where = (LineRow.account == account, LineRow.seq.between(rows[0].seq, rows[-1].seq))
        for seq, name, amount in connection.execute(
            select(LineRow.seq, LineRow.journal_account, LineRow.amount).where(*where).order_by(LineRow.journal_account)
        ):
            lines[seq][name] = amount
    return [BookedEntry(**row._asdict(), lines=lines[row.seq]) for row in rows]


def last_booked(connection: Connection, names: Collection[str] | None = None) -> datetime | None:
    """When something was booked last in the journals of these accounts, or of all; None where nothing ever was."""
    own = EntryRow.account == AccountRow.account
    last = select(EntryRow.booked_at).where(own).order_by(EntryRow.seq.desc()).limit(1).scalar_subquery()
    query = select(last)
    if names is not None:
        query = query.where(among(connection, AccountRow.account, names))
    return max((at for at in connection.scalars(query.select_from(AccountRow)) if at is not None), default=None)


def link(chain: bytes, account: str, entry: Entry) -> bytes:
    """The digest that seals an entry and, with it, every entry before."""
    at = format_instant(entry.booked_at)
    head: list[Any] = [chain.hex(), account, entry.kind, entry.first_seq, entry.seq, entry.billing_month, at]
    return digest([*head, entry.facts.hex(), sorted(entry.lines.items())])


def accounts_in(connection: Connection, month: str) -> list[str]:
    """The accounts whose books had begun in a billing month, by name."""
    query = select(EntryRow.account).where(EntryRow.billing_month <= month).distinct()
    return list(connection.scalars(query.order_by(EntryRow.account)))


def first_month(connection: Connection, account: str) -> str | None:
    """The billing month that an account's books begin with; None while nothing is booked."""
    return connection.scalar(select(func.min(EntryRow.billing_month)).where(EntryRow.account == account))


def closed_months(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """The last closed month of each of these accounts that has one; those before it are closed with it."""
    where = (among(connection, PeriodRow.account, names), PeriodRow.state == "closed")
    query = select(PeriodRow.account, func.max(PeriodRow.month)).where(*where).group_by(PeriodRow.account)
    return {row[0]: row[1] for row in connection.execute(query)}
