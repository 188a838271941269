"""What the state machine of the ledger compares: a real database with the model, after each step and at the end."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant
from sqlalchemy import Connection, Engine

from costmeter.core.money import format_amount
from costmeter.core.periods import zone
from costmeter.reports.spend import spend_report
from costmeter.services.check_budgets import budget_findings
from costmeter.services.check_rollups import rollup_findings
from costmeter.store import accounts, balances, closings
from costmeter.store.accounts import Account
from costmeter.store.balance_days import balance_days
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from costmeter.store.statements import read_movements, read_statement
from costmeter.store.tables import (
    AccountRow,
    ChargeRow,
    CreditBalanceRow,
    EntryRow,
    QuarantineRow,
    Table,
)
from costmeter.store.usage import usage_of_charges
from tests.make import by_key, rows, splits
from tests.services.ledger_model import EDGES, MARCH, START, Call, Model, in_canonical_order


class LedgerChecks(RuleBasedStateMachine):
    """An account on a real database, and what the model says of it."""

    engine: Engine
    account: str
    now: datetime
    model: Model
    calls: list[Call]
    conflicts: set[Call]
    closed: list[list[dict[str, Any]]] | None

    @invariant()
    def rollups_and_budgets_are_the_sums_of_their_charges(self) -> None:
        with reading(self.engine) as connection:
            for account in accounts.listed(connection, [self.account]):
                assert account.rolled_up == account.version
                assert [*rollup_findings(connection, account, full=True)] == []
                assert [*budget_findings(connection, account)] == []

    @invariant()
    def balances_are_what_the_model_says(self) -> None:
        with reading(self.engine) as connection:
            if not (account := accounts.listed(connection, [self.account])):
                return
            found = balances.balance_at(connection, account[0], self.now)
            assert balances.balance_now(connection, account[0], self.now) == found
        assert (found.granted, found.topped_up) == self.model.balance(self.now)

    def is_what_the_model_says(self) -> None:
        expected = {p.call.event_id: tuple(map(format_amount, self.model.parts(p))) for p in self.model.posted}
        assert splits(self.engine, self.account) == expected
        left = rows(self.engine, CreditBalanceRow, where=CreditBalanceRow.account == self.account)
        assert {row["credit_id"]: row["remaining"] for row in left} == self.model.left
        assert self.closed in (None, self.booked_in_march()), "a closed month never changes"
        over = {credit["id"] for credit in self.model.credits if credit["ends"] and credit["ends"] <= self.now}
        assert all(row["expired"] == (row["remaining"] if row["credit_id"] in over else 0) for row in left)
        (account,) = rows(self.engine, AccountRow, where=AccountRow.account == self.account)
        assert account["overdraft"] == self.model.owed()
        with reading(self.engine) as connection:
            known = accounts.get(connection, self.account)
            for instant in EDGES:
                found = balances.balance_at(connection, known, instant)
                assert (found.granted, found.topped_up) == self.model.balance(instant), instant
                assert balances.balance_now(connection, known, instant) == found, instant
            self.days_end_with_their_balances(connection, known)
            scope = Scope.checked(
                start=START - timedelta(days=9), end=self.now + timedelta(days=9), account=self.account
            )
            totals = spend_report(connection, scope).totals
        parts = [self.model.parts(posted) for posted in self.model.posted]
        for position, name in enumerate(("granted", "topped_up", "overdraft", "untracked")):
            assert totals[name] == sum(part[position] for part in parts)
        costs = [posted.call.cost(posted.book) for posted in self.model.posted]
        assert totals["cost"] == sum(cost or 0 for cost in costs)
        assert totals["unpriced"] == costs.count(None)
        self.statements_follow_each_other()
        assert (totals["calls"], totals["unposted"]) == (len(self.calls), 0)
        items = rows(self.engine, QuarantineRow, where=QuarantineRow.account == self.account)
        assert {item["kind"] for item in items} <= {"conflict"}
        assert sorted(item["event_id"] for item in items) == sorted(call.event_id for call in self.conflicts)

    def days_end_with_their_balances(self, connection: Connection, account: Account) -> None:
        """Told back from now, of any days and in any time zone, each is what its last instant had."""
        for timezone in (account.timezone, "Asia/Kathmandu"):
            today = self.now.astimezone(zone(timezone)).date()
            begins = START.astimezone(zone(timezone)).date() - timedelta(days=1)
            days = [begins + timedelta(days=number) for number in range((today - begins).days + 1)]
            for told in (days, days[:-2]):
                for one in balance_days(connection, account, told, timezone, self.now):
                    assert one.balance == balances.balance_at(connection, account, one.at), one

    def statements_follow_each_other(self) -> None:
        """Each opens with what the one before closed with, and the last closes with what the model has left."""
        with reading(self.engine) as connection:
            account = accounts.get(connection, self.account)
            found = [read_statement(connection, account, month, self.now) for month in (MARCH, "2025-04", "2025-05")]
            for one in found:
                charged = usage_of_charges(connection, self.account, one.month)
                assert by_key(one.usage) == by_key(charged), one.month
            moved = [read_movements(connection, account, one.month) for one in found]
            closing = closings.get(connection, self.account, MARCH)
        assert moved == [(one.opening, one.movements) for one in found]
        assert found[0].opening == (0, 0)
        assert [one.closing for one in found[:-1]] == [one.opening for one in found[1:]]
        assert found[-1].closing == self.model.left_at(self.now)
        if closing is not None:
            kept = json.loads(closing.statement)
            # What is not money may come later, and is of the month all the same.
            counts = {"failed", "unmetered", "unposted", "quarantined"}
            now = json.loads(json.dumps(found[0].as_dict()))
            for shape in (kept, now):
                shape["counts"] = {name: count for name, count in shape["counts"].items() if name not in counts}
                shape["credits"] = [{**row, "voided": None, "by": None, "reason": None} for row in shape["credits"]]
            assert {**now, "state": "closed", "as_of": kept["as_of"]} == kept

    def is_as_if_all_had_been_known_from_the_beginning(self) -> None:
        """Where no call came late, or those that did were folded again: one fold in canonical order says the same."""
        afresh = Model()
        afresh.credits = self.model.credits
        afresh.left = dict.fromkeys(self.model.left, 0) | {c["id"]: c["amount"] for c in afresh.credits}
        afresh.corrections, afresh.to_owe = self.model.corrections, [*self.model.corrections]
        by = {posted.call: posted.book for posted in self.model.posted}
        for call in in_canonical_order([*by]):
            afresh.charge(call, by[call])
        afresh.to_owe = []
        afresh.repay(self.now)
        assert {p.call: p for p in afresh.posted} == {p.call: p for p in self.model.posted}
        assert (afresh.left, afresh.owed()) == (self.model.left, self.model.owed())

    def booked_in_march(self) -> list[list[dict[str, Any]]]:
        return [
            rows(self.engine, table, table.seq, where=(table.account == self.account) & (table.billing_month == MARCH))
            for table in (ChargeRow, EntryRow)
        ]

    def stored(self, *tables: type[Table]) -> list[list[dict[str, Any]]]:
        """All rows that these tables have of the account."""
        found = (rows(self.engine, table, where=table.__table__.c.account == self.account) for table in tables)
        return [sorted(of_table, key=repr) for of_table in found]
