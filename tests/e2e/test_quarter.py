"""A quarter of 100,000 calls on both databases: exports, statements and journal agree, closed months never move, and
the balance is the vendor's at each quiet moment."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import date, datetime
from typing import Any

from sqlalchemy import Engine, select

from benchmarks.quarter import ACCOUNT, IN_DOUBT, LAST_CLOSE, MONTHS, QUIET, Quarter
from costmeter.core.money import format_amount, parse_amount
from costmeter.exports.charges import CHARGES
from costmeter.exports.content import Content
from costmeter.exports.statement_csv import write_statement_csv
from costmeter.reports.spend import spend_report
from costmeter.reports.statements import statement_shape
from costmeter.services.verify import verify
from costmeter.simulator.credits import Balance
from costmeter.store import accounts, balances
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from costmeter.store.tables import EntryRow, LineRow
from tests.late_prices import with_new_model
from tests.make import book

CALLS = 100_000
Files = dict[str, str]
_of_databases: dict[str, Files] = {}  # of each database, the digest of each file: they must be the same


def files_of(engine: Engine, month: str) -> Files:
    """The texts that finance gets of a month."""
    with reading(engine) as connection:
        table = io.StringIO()
        content = Content(connection, CHARGES, Scope.checked(month=month, account=ACCOUNT))
        charges = b"".join([content.header, *content.blocks()]).decode()
        shape = statement_shape(connection, ACCOUNT, month, LAST_CLOSE)
        write_statement_csv({**shape, "closing": None, "as_of": ""}, table)
    closed = {name: shape[name] for name in shape if name != "closing"}
    return {
        f"{month} charges": charges,
        f"{month} statement": json.dumps(closed),
        f"{month} csv": table.getvalue(),
    }


def total(amounts: list[str]) -> int:
    return sum(parse_amount(amount) for amount in amounts if amount)


def test_a_quarter(engine: Engine) -> None:
    kept: Files = {}
    seen: list[date] = []
    quarter = Quarter(engine, CALLS, books=(book(), with_new_model()))

    def on_close(month: str) -> None:
        kept.update(files_of(engine, month))

    def on_quiet(day: date, now: datetime, vendor: Balance) -> None:
        seen.append(day)
        with reading(engine) as connection:
            found = balances.balance_at(connection, accounts.get(connection, ACCOUNT), now)
        assert (day in IN_DOUBT) == ((found.granted, found.topped_up) != (vendor.granted, vendor.topped_up)), day

    told = quarter.run(on_close=on_close, on_quiet=on_quiet)
    assert seen == list(QUIET)
    assert told["sent"] > CALLS
    assert told["sent"] - told["duplicates"] == CALLS
    for month in MONTHS:
        assert files_of(engine, month) == {name: text for name, text in kept.items() if name.startswith(month)}
        sums_agree(engine, month, kept)
    everything_was_charged_as_the_vendor_did(engine, quarter)
    assert verify(engine, full=True) == []
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in kept.items()}
    for other in _of_databases.values():
        assert digests == other, "both databases write the same bytes"
    _of_databases[engine.dialect.name] = digests


def sums_agree(engine: Engine, month: str, kept: Files) -> None:
    """Charges file = statement = report = journal, to the digit."""
    rows = [line.split(",") for line in kept[f"{month} charges"].splitlines()]
    place = {name: rows[0].index(name) for name in ("cost", "granted", "topped_up", "overdraft", "untracked")}
    exported = {name: total([row[number] for row in rows[1:]]) for name, number in place.items()}
    shape: dict[str, Any] = json.loads(kept[f"{month} statement"])
    parts = [shape["deductions"], *shape["adjustments"]]
    assert {name: total([part[name] for part in parts]) for name in place} == exported
    with reading(engine) as connection:
        report = spend_report(connection, Scope.checked(month=month, account=ACCOUNT)).totals
        lines = select(LineRow.amount).join(
            EntryRow, (LineRow.account == EntryRow.account) & (LineRow.seq == EntryRow.seq)
        )
        lines = lines.where(EntryRow.billing_month == month, LineRow.journal_account == "usage_cost")
        journal = sum(connection.scalars(lines))
    assert {name: report[name] for name in place} == exported
    assert journal == exported["cost"]
    assert (shape["adjustments"] != []) == (month != MONTHS[0])
    assert shape["usage"][0]["calls"] > CALLS // 100


def everything_was_charged_as_the_vendor_did(engine: Engine, quarter: Quarter) -> None:
    charged = sum(paid.bill.cost for paid in quarter.vendor.calls)
    with reading(engine) as connection:
        account = accounts.get(connection, ACCOUNT)
        months = (*MONTHS, "2025-06")  # in Berlin the last evening is in June
        costs = [spend_report(connection, Scope.checked(month=m, account=ACCOUNT)).totals["cost"] for m in months]
        statement = statement_shape(connection, ACCOUNT, months[-1], LAST_CLOSE)
        found = balances.balance_at(connection, account, LAST_CLOSE)
    assert sum(costs) == charged
    assert statement["closing_balance"]["total"] == format_amount(found.total)
