"""Sums past 2^63 units of 10^-12 (9.2 million of a currency) are exact wherever money is summed, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from costmeter.core.ledger import TOPPED_UP
from costmeter.core.money import MAX_AMOUNT, format_amount
from costmeter.reports.spend import spend_report
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.verify import verify
from costmeter.services.void_credit import void_credit
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from costmeter.store.tables import LineRow
from tests.make import an_event, at, balance, record_and_post, rows, splits, top_up

LARGEST = format_amount(MAX_AMOUNT)
TRILLION = 10**12  # output tokens: 1,100,000 USD
CALLS = 20


@pytest.fixture
def rich(engine: Engine) -> Engine:
    """Two credits of 64 bits each and a third that is small, and calls of 22 million USD that leave overdraft."""
    for number, amount in enumerate((LARGEST, LARGEST, "0.50"), 1):
        top_up(engine, amount, "2025-03-01T00:00:00Z", reference=f"r{number}")
    record_and_post(engine, *(an_event(f"call-{number}", output=TRILLION) for number in range(CALLS)))
    return engine


def total(engine: Engine, name: str) -> int:
    with reading(engine) as connection:
        return spend_report(connection, Scope(month="2025-03"), by=("project",)).totals[name]


def test_balance_overdraft_report_and_journal(rich: Engine) -> None:
    had, cost = 2 * MAX_AMOUNT + 5 * 10**11, CALLS * 1_100_000 * 10**12
    assert cost > had > 2**63
    assert balance(rich, "2025-03-02T00:00:00Z") == ("0.00", format_amount(had))
    assert balance(rich) == ("0.00", format_amount(had - cost))
    assert (total(rich, "cost"), total(rich, "topped_up"), total(rich, "overdraft")) == (cost, had, cost - had)
    assert sum(row["amount"] for row in rows(rich, LineRow) if row["journal_account"] == "usage_cost") == cost
    assert verify(rich, full=True) == []


def test_what_is_folded_again(rich: Engine) -> None:
    """A credit that comes late and one that is taken back move more than 64 bits in one go."""
    cost = CALLS * 1_100_000 * 10**12
    top_up(rich, LARGEST, "2025-03-02T00:00:00Z", reference="late")
    assert total(rich, "overdraft") == 0
    void_credit(rich, "default", "r1", reason="twice", by="Ada", now=at("2025-03-10T00:00:00Z"))
    void_credit(rich, "default", "r2", reason="twice", by="Ada", now=at("2025-03-10T00:00:00Z"))
    assert total(rich, "overdraft") == cost - MAX_AMOUNT - 5 * 10**11 > 2**63
    assert verify(rich, full=True) == []
    assert rebuild_projections(rich) == ["default"]
    assert balance(rich) == ("0.00", format_amount(MAX_AMOUNT + 5 * 10**11 - cost))
    assert sum(split[2] != "0.00" for split in splits(rich).values()) > 0
    assert verify(rich, full=True) == []


def test_overdraft_past_64_bits_is_repaid(engine: Engine) -> None:
    top_up(engine, "1.00", "2025-03-01T00:00:00Z")
    record_and_post(engine, *(an_event(f"call-{number}", output=TRILLION) for number in range(CALLS)))
    owed = CALLS * 1_100_000 * 10**12 - 10**12
    assert owed > 2**64
    for number in range(3):
        top_up(engine, LARGEST, f"2025-03-05T00:00:0{number}Z")
    assert balance(engine) == ("0.00", format_amount(3 * MAX_AMOUNT - owed))
    assert {row["journal_account"] for row in rows(engine, LineRow)} >= {TOPPED_UP, "overdraft"}
    assert verify(engine, full=True) == []
