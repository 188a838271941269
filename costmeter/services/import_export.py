"""Import an export of DeepSeek's console: history from before costmeter, each row once, as what it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Engine

from costmeter.core.console_export import ConsoleExport, CostRow, Interval, Refused, UsageRow, overlapping
from costmeter.core.events import check_account
from costmeter.core.money import format_amount
from costmeter.core.periods import Period
from costmeter.core.secrets import without_secrets
from costmeter.core.texts import check_said
from costmeter.services.read_console import ReadFile
from costmeter.store import accounts, audit, detached, imported
from costmeter.store.accounts import Account, Home
from costmeter.store.engine import in_transaction
from costmeter.store.imported import Imported, ImportedFile
from costmeter.store.keys import new_key
from costmeter.store.tables import ImportedCostRow, ImportedUsageRow

Row = TypeVar("Row", UsageRow, CostRow)


@dataclass
class ImportTally:
    """What became of the rows of an export: each is accepted, a duplicate, a conflict or refused."""

    accepted: int = 0
    duplicates: int = 0
    conflicts: list[Refused] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        both = {"conflicts": len(self.conflicts), "refused": len(self.refused)}
        return {"accepted": self.accepted, "duplicates": self.duplicates, **both}


def import_export(engine: Engine, account: str, read: ReadFile, *, by: str, home: Home, now: datetime) -> ImportTally:
    """Store what is new of an export, in one transaction; an account that is not there is made in its currency.

    A row that was imported before is a duplicate, with another amount a conflict, which is listed and not stored. Rows
    are refused, by interval, where the account has recorded calls or holds rows of other intervals at that time, since
    they would count twice; and costs in another currency than the account's. Nothing is taken from the balance: the
    vendor has done that. DetachedError where calls at that time are detached.
    """
    name, by = check_account(account), check_said(by, "by")
    return in_transaction(engine, lambda connection: _import(connection, name, read, by=by, home=home, now=now))


def _import(connection: Connection, name: str, read: ReadFile, *, by: str, home: Home, now: datetime) -> ImportTally:
    export, tally = read.export, ImportTally(refused=list(read.export.refused))
    currency = export.currencies[0] if len(export.currencies) == 1 else home.currency
    accounts.make_missing(connection, [name], Home(currency, home.timezone), now)
    account = accounts.lock(connection, name)
    barred = _barred(connection, name, export)
    usage = [*_admitted(export.usage, barred, tally)]
    costs = [*_admitted(_in_currency(export.costs, account, tally), barred, tally)]
    new_usage = [*_new(connection, name, usage, ImportedUsageRow, tally)]
    new_costs = [*_new(connection, name, costs, ImportedCostRow, tally)]
    if tally.accepted:
        file = ImportedFile(new_key(), without_secrets(read.name)[:256], read.sha256, now, by)
        imported.add_file(connection, name, file)
        imported.add_usage(connection, name, file.import_id, new_usage)
        imported.add_costs(connection, name, file.import_id, new_costs)
        change = {**tally.counts(), "sha256": read.sha256}
        audit.add(connection, "import.export", file.name, change, by=by, at=now, account=name)
    return tally


def _barred(connection: Connection, account: str, export: ConsoleExport) -> dict[Interval, str]:
    """The intervals whose rows would count twice, and why."""
    asked = export.intervals
    if asked:
        whole = Period(asked[0].start, max(interval.end for interval in asked))
        detached.refuse_period(connection, [account], whole)
    others = overlapping(asked, imported.intervals(connection, account))
    barred = {one: f"overlaps the interval {other}; import one of the two" for one, other in others.items()}
    recorded = "has calls that were recorded, which count already; export the time before them"
    return barred | dict.fromkeys(imported.with_calls(connection, account, asked), recorded)


def _in_currency(rows: Iterable[CostRow], account: Account, tally: ImportTally) -> Iterator[CostRow]:
    for row in rows:
        if row.currency == account.currency:
            yield row
        else:
            remedy = f"account {account.account!r} is kept in {account.currency}; import it into one of its own"
            tally.refused.append(Refused(row.place, f"currency '{row.currency}': {remedy}"))


def _admitted(rows: Iterable[Row], barred: dict[Interval, str], tally: ImportTally) -> Iterator[Row]:
    for row in rows:
        if row.interval in barred:
            tally.refused.append(Refused(row.place, f"interval {row.interval}: {barred[row.interval]}"))
        else:
            yield row


def _new(connection: Connection, account: str, rows: list[Row], table: Imported, tally: ImportTally) -> Iterator[Row]:
    """The rows whose slots are not filled yet, by the database or by an earlier row."""
    filled = imported.amounts(connection, account, {row.slot for row in rows}, table)
    for row in rows:
        amount = row.amount if isinstance(row, UsageRow) else row.cost
        first = filled.get(row.slot)
        if first is None:
            filled[row.slot] = amount
            tally.accepted += 1
            yield row
        elif first == amount:
            tally.duplicates += 1
        else:
            was, says = (str(n) if isinstance(row, UsageRow) else format_amount(n) for n in (first, amount))
            tally.conflicts.append(Refused(row.place, f"says {says} where {was} is kept; what is kept stands"))
