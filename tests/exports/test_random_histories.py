"""Whatever happens to a ledger, its exports add up to it: the ledger's state machine, ended by looking at its files."""

from __future__ import annotations

import io
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

from beancount import loader
from beancount.core.data import Balance
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, select

from costmeter.core.money import UNITS
from costmeter.core.periods import format_instant, zone
from costmeter.exports.beancount import write_beancount
from costmeter.exports.focus import count_unpriced, focus_export
from costmeter.exports.focus_format import Mode, Version
from costmeter.exports.journal import GRANTED_INCOME, JOURNAL
from costmeter.reports.spend import spend_report
from costmeter.store import accounts
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from costmeter.store.statements import read_statement
from costmeter.store.tables import EntryRow, LineRow
from tests.exports.writing import as_csv, balances_at, exported
from tests.services.ledger_machine import LedgerMachine
from tests.services.ledger_model import MARCH

MONTHS = (MARCH, "2025-04")
NEVER = 1_000  # hours: further on than the machine's time goes
CATEGORIES = ("Usage", "Credit", "Purchase", "Adjustment")
Rows = list[dict[str, Any]]


class ExportedLedger(LedgerMachine):
    """The ledger's machine; its files are part of a closed month, and at the end they are held against the books."""

    def booked_in_march(self) -> list[Rows]:
        exports = (*(focus_export(version, mode) for version in Version for mode in Mode), JOURNAL)
        files = [as_csv(self.engine, export, self.scope(MARCH)) for export in exports]
        return [*super().booked_in_march(), [{"text": text} for text in (*files, self.beancount(MARCH))]]

    def end(self) -> None:
        self.post_later(NEVER)
        super().end()
        for month in MONTHS:
            usage = self.focus_is_what_the_report_says(month)
            self.journal_is_that_of_the_ledger(month, usage)
        self.beancount_ends_at_the_balance()

    def scope(self, month: str) -> Scope:
        return Scope.checked(month=month, account=self.account)

    def focus_is_what_the_report_says(self, month: str) -> Rows:
        scope = self.scope(month)
        with reading(self.engine) as connection:
            report = spend_report(connection, scope, by=("day",))
            unpriced = count_unpriced(connection, scope)
        accrual, prepaid = (
            {category: [row for row in rows if row["ChargeCategory"] == category] for category in CATEGORIES}
            for rows in (exported(self.engine, focus_export(mode=mode), scope) for mode in Mode)
        )
        usage, totals = accrual["Usage"], report.totals
        assert unpriced == totals["unpriced"]
        assert summed(usage, "BilledCost") == summed(prepaid["Usage"], "EffectiveCost") == totals["cost"]
        assert (
            summed(accrual["Credit"], "BilledCost") == summed(prepaid["Credit"], "x_GrantedCost") == -totals["granted"]
        )
        assert not any(row["BilledCost"] for row in (*prepaid["Usage"], *prepaid["Credit"]))
        assert not any(row["EffectiveCost"] for row in (*prepaid["Credit"], *prepaid["Purchase"]))
        assert accrual["Purchase"] == []
        assert all(row["ListCost"] == at_list_price(row) for row in usage)
        by_day = {row["day"]: row["cost"] for row in report.rows.to_dict("records") if row["cost"]}
        assert self.by_day(usage) == by_day
        funded = [
            row for row in self.lines(month, "credit", "void") if row["journal_account"] in ("funding", "granted")
        ]
        assert summed(prepaid["Purchase"], "BilledCost") == -summed(funded, "amount"), "grants fund themselves"
        corrected = [row for row in self.lines(month) if row["journal_account"] == "adjustment"]
        for rows in (accrual, prepaid):
            assert summed(rows["Adjustment"], "EffectiveCost") == summed(corrected, "amount")
        return usage

    def by_day(self, usage: Rows) -> dict[str, int]:
        days: Counter[str] = Counter()
        for row in usage:
            days[str(row["ChargePeriodStart"].astimezone(zone(self.timezone)).date())] += row["EffectiveCost"]
        return {day: cost for day, cost in days.items() if cost}

    def journal_is_that_of_the_ledger(self, month: str, usage: Rows) -> None:
        """Each entry and each day balances, and each account comes to what the ledger's own journal has."""
        entries: Counter[str] = Counter()
        by_account: Counter[str] = Counter()
        days: Counter[str] = Counter()
        for row in exported(self.engine, JOURNAL, self.scope(month)):
            assert str(row["date"]).startswith(month)
            amount = (row["debit"] or 0) - (row["credit"] or 0)
            entries[row["entry"]] += amount
            by_account["funding" if row["journal_account"] == GRANTED_INCOME else row["journal_account"]] += amount
            if row["journal_account"] == "usage_cost" and row["adjusts"] is None:
                days[str(row["date"])] += amount
        assert not any(entries.values())
        ledger: Counter[str] = Counter()
        for line in self.lines(month):
            ledger[line["journal_account"]] += line["amount"]
        assert without_nothing(by_account) == without_nothing(ledger)
        assert without_nothing(days) == self.by_day([row for row in usage if row["x_Adjusts"] is None])

    def lines(self, month: str, *kinds: str) -> Rows:
        """The lines of the ledger's own journal in a billing month, of entries of these kinds or of all."""
        query = select(EntryRow.kind, LineRow.journal_account, LineRow.amount)
        query = query.join(LineRow, (LineRow.account == EntryRow.account) & (LineRow.seq == EntryRow.seq))
        query = query.where(EntryRow.account == self.account, EntryRow.billing_month == month)
        with reading(self.engine) as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
        return [row for row in found if not kinds or row["kind"] in kinds]

    def beancount(self, month: str) -> str:
        out = io.StringIO()
        with reading(self.engine) as connection:
            write_beancount(connection, self.scope(month), out)
        return out.getvalue()

    def beancount_ends_at_the_balance(self) -> None:
        for month in MONTHS:
            directives, errors, _ = loader.load_string(self.beancount(month))
            assert errors == []
        ends = {
            one.account.split(":")[-1]: int(Decimal(str(one.amount.number)).scaleb(12))
            for one in directives
            if isinstance(one, Balance)
        }
        owed = ends["Overdraft"]
        found = (ends["Granted"], ends["ToppedUp"] + owed)
        with reading(self.engine) as connection:
            account = accounts.get(connection, self.account)
            assert found == read_statement(connection, account, MONTHS[-1], self.now).closing
        assert found == balances_at(self.engine, self.account, format_instant(self.now))


def at_list_price(row: dict[str, Any]) -> Fraction:
    return Fraction(row["ListUnitPrice"]) * Fraction(row["PricingQuantity"]) * UNITS


def summed(rows: Rows, column: str) -> int:
    return sum(row[column] for row in rows)


def without_nothing(sums: Counter[str]) -> dict[str, int]:
    return {name: amount for name, amount in sums.items() if amount}


def test_every_file_adds_up_to_the_books_whatever_was_done_to_them(engine: Engine) -> None:
    examples = 25 if engine.dialect.name == "sqlite" else 12
    run_state_machine_as_test(
        lambda: ExportedLedger(engine),  # type: ignore[arg-type]  # anything that makes a machine
        settings=settings(max_examples=examples, stateful_step_count=20, deadline=None),
    )
