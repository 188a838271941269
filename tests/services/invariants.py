"""What must hold of every ledger, whatever was done to it: checked from the rows themselves, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Engine, insert

from costmeter.store.accounts import NO_CHAIN
from costmeter.store.engine import in_transaction
from costmeter.store.journal import Entry, link
from costmeter.store.tables import (
    AccountRow,
    ChargeRow,
    ClosingRow,
    CorrectionRow,
    CreditBalanceRow,
    CreditRow,
    CreditVoidRow,
    DeductionRow,
    EntryRow,
    EventRow,
    ExpiryRow,
    LineRow,
    PendingRow,
    PeriodRow,
    RepaymentRow,
)
from tests.make import NOW, at, rows

Rows = dict[str, list[dict[str, Any]]]
PARTS = ("granted", "topped_up", "overdraft", "untracked")
OTHER_MONEY = ("cost", "cost_cache_hit", "cost_cache_miss", "cost_output", "cache_savings", "off_peak_savings")
TABLES = {
    "charge": ChargeRow, "deduction": DeductionRow, "credit": CreditRow, "left": CreditBalanceRow,
    "repayment": RepaymentRow, "expiry": ExpiryRow, "entry": EntryRow, "line": LineRow, "event": EventRow,
    "pending": PendingRow, "void": CreditVoidRow, "correction": CorrectionRow, "closing": ClosingRow,
}  # fmt: skip


def check_books(engine: Engine, name: str | None = None) -> None:
    """Assert every invariant of an account, or of every account."""
    for account in rows(engine, AccountRow):
        if name in (None, account["account"]):
            mine = {
                key: rows(engine, table, where=table.__table__.c.account == account["account"])
                for key, table in TABLES.items()
            }
            _check_charges(mine)
            _check_credits(mine)
            _check_sequence(account, mine)
            _check_journal(account, mine)


def journal_balances(lines: list[dict[str, Any]]) -> dict[str, int]:
    """The sum of each journal account."""
    sums: dict[str, int] = defaultdict(int)
    for line in lines:
        sums[line["journal_account"]] += line["amount"]
    return sums


def close(engine: Engine, month: str, account: str = "default") -> None:
    """Set the state of a month, which is all that closing is to the ledger."""
    row = {"account": account, "month": month, "state": "closed", "last_seq": None, "changed_at": at(NOW)}
    in_transaction(engine, lambda connection: connection.execute(insert(PeriodRow), [row]))


def _check_charges(mine: Rows) -> None:
    """Conservation: the parts add up to the charge, and the deductions to the parts; each measured call is charged."""
    taken: dict[tuple[bytes, int, str], int] = defaultdict(int)
    signs = {(row["event_key"], row["revision"]): row["sign"] for row in mine["charge"]}
    for row in mine["deduction"]:
        assert row["amount"] * signs[row["event_key"], row["revision"]] > 0
        taken[row["event_key"], row["revision"], row["kind"]] += row["amount"]
    charged: dict[bytes, int] = defaultdict(int)
    for charge in mine["charge"]:
        assert sum(charge[part] for part in PARTS) == (charge["cost"] or 0)
        assert all(charge[part] * charge["sign"] >= 0 for part in PARTS)
        for kind in ("granted", "topped_up"):
            assert taken.pop((charge["event_key"], charge["revision"], kind), 0) == charge[kind]
        charged[charge["event_key"]] += charge["sign"]
    assert not taken, "deductions without a charge"
    _check_revisions(mine["charge"])
    measured = {row["event_key"] for row in mine["event"] if row["status"] == "ok"}
    waiting = [row["event_key"] for row in mine["pending"]]
    assert set(charged.values()) <= {1}
    assert sorted([*charged, *waiting]) == sorted(measured), "each measured call waits or is charged, once"


def _check_revisions(charges: list[dict[str, Any]]) -> None:
    """Each reversal takes back, to the digit, the charge before it, and a new charge follows in the same month."""
    revisions: dict[bytes, list[dict[str, Any]]] = defaultdict(list)
    for charge in sorted(charges, key=lambda row: row["revision"]):
        revisions[charge["event_key"]].append(charge)
    for of_one_call in revisions.values():
        assert [row["revision"] for row in of_one_call] == list(range(1, len(of_one_call) + 1))
        assert [row["sign"] for row in of_one_call] == [1, *[-1, 1] * (len(of_one_call) // 2)]
        for before, reversal, after in zip(of_one_call[::2], of_one_call[1::2], of_one_call[2::2], strict=False):
            assert all((before[name] or 0) + (reversal[name] or 0) == 0 for name in (*PARTS, *OTHER_MONEY))
            assert reversal["supersedes"] == after["supersedes"] == before["revision"]
            assert before["seq"] < reversal["seq"] < after["seq"]
            assert all(reversal[name] == before[name] for name in ("status", "edition", "tariff", "band", "flags"))
            assert all(reversal[name] == after[name] for name in ("billing_month", "adjusts", "booked_at"))


def _check_credits(mine: Rows) -> None:
    """Capacity: what a credit gave, repaid and still has is its amount, and it never has less than nothing."""
    gave: dict[int, int] = defaultdict(int)
    expired: dict[int, int] = defaultdict(int)
    at = {row["event_key"]: row["completed_at"] for row in mine["charge"]}
    credits = {row["credit_id"]: row for row in mine["credit"]}
    voided = {row["credit_id"] for row in mine["void"]}
    for row in mine["deduction"]:
        credit = credits[row["credit_id"]]
        assert row["kind"] == credit["kind"]
        assert credit["effective_at"] <= at[row["event_key"]]
        assert credit["expires_at"] is None or at[row["event_key"]] < credit["expires_at"]
    for row in mine["deduction"] + mine["repayment"]:
        gave[row["credit_id"]] += row["amount"]
    for row in mine["expiry"]:
        expired[row["credit_id"]] += row["amount"]
    for row in mine["left"]:
        amount = 0 if row["credit_id"] in voided else credits[row["credit_id"]]["amount"]
        assert row["remaining"] == amount - gave[row["credit_id"]] >= 0
        assert row["expired"] == expired[row["credit_id"]]
        assert 0 <= row["expired"] <= row["remaining"]
    assert all(credits[row["credit_id"]]["kind"] == "topped_up" for row in mine["repayment"])


def _check_sequence(account: dict[str, Any], mine: Rows) -> None:
    """The facts and the entries that book them are numbered 1 to `version` without a gap, each sealed by the last."""
    facts = [row["seq"] for name in ("charge", "void", "repayment", "expiry", "closing") for row in mine[name]]
    facts += [row["credit_id"] for row in mine["credit"]]
    facts += [row["seq"] for row in mine["correction"] if row["amount"] < 0]
    assert sorted(facts) == list(range(1, account["version"] + 1))
    lines: dict[int, dict[str, int]] = defaultdict(dict)
    for line in mine["line"]:
        lines[line["seq"]][line["journal_account"]] = line["amount"]
    last, chain = 0, NO_CHAIN
    for entry in sorted(mine["entry"], key=lambda row: row["seq"]):
        assert (entry["first_seq"], entry["currency"]) == (last + 1, account["currency"])
        last = entry["seq"]
        assert sum(lines[last].values()) == 0
        sealed = {name: entry[name] for name in Entry._fields if name != "lines"}
        chain = link(chain, account["account"], Entry(**sealed, lines=lines[last]))
        assert entry["chain"] == chain
    assert (last, account["chain"]) == (account["version"], chain)


def _check_journal(account: dict[str, Any], mine: Rows) -> None:
    """The journal says what the projections and the charges say."""
    sums = journal_balances(mine["line"])
    left = {row["credit_id"]: row["remaining"] - row["expired"] for row in mine["left"]}
    for kind in ("granted", "topped_up"):
        assert sums[kind] == sum(left[row["credit_id"]] for row in mine["credit"] if row["kind"] == kind)
    repaid = sum(row["amount"] for row in mine["repayment"])
    owed = sum(row["overdraft"] for row in mine["charge"])
    owed -= sum(row["amount"] for row in mine["correction"] if row["amount"] < 0)
    assert sums["overdraft"] == repaid - owed == -account["overdraft"]
    assert sums["untracked"] == -sum(row["untracked"] for row in mine["charge"])
    assert sums["usage_cost"] == sum(row["cost"] or 0 for row in mine["charge"])
    voided = {row["credit_id"] for row in mine["void"]}
    stand = [row for row in mine["credit"] if row["credit_id"] not in voided]
    assert sums["funding"] == -sum(row["amount"] for row in stand if row["origin"] != "correction")
    corrected = sum(row["amount"] for row in stand if row["origin"] == "correction")
    corrected += sum(row["amount"] for row in mine["correction"] if row["amount"] < 0)
    assert sums["adjustment"] == -corrected
    assert sums["expired"] == sum(row["amount"] for row in mine["expiry"])
