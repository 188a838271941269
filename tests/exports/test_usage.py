"""The usage export: whatever it is read from, its totals are the report's, to the digit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine, update

from costmeter.exports.charges import CHARGES
from costmeter.exports.content import Content
from costmeter.exports.usage import USAGE
from costmeter.reports.spend import spend_report
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from costmeter.store.tables import AccountRow
from tests.exports.books import FEBRUARY, MARCH, keep
from tests.make import MILLION, NOW, an_event, at, record_and_post, set_up_account, usd

SUMS = ("cost", "granted", "topped_up", "overdraft", "untracked")
COUNTS = ("calls", "cache_hit_tokens", "cache_miss_tokens", "output_tokens", "reasoning_tokens")
PART = Scope.checked(start=at("2025-02-28T18:00:00Z"), end=at("2025-03-04T12:00:06Z"))  # cuts a day and a quarter hour
DAYS = Scope.checked(start=at("2025-02-01T00:00:00Z"), end=at("2025-04-01T00:00:00Z"), account="default")


def usage(engine: Engine, scope: Scope = MARCH) -> list[dict[str, Any]]:
    names = [column.name for column in USAGE.columns]
    with reading(engine) as connection:
        return [dict(zip(names, row, strict=True)) for row in USAGE.rows(connection, scope)]


def total(rows: list[dict[str, Any]], names: tuple[str, ...] = (*SUMS, *COUNTS)) -> dict[str, int]:
    return {name: sum(row[name] or 0 for row in rows) for name in names}


def reported(engine: Engine, scope: Scope) -> dict[str, int]:
    with reading(engine) as connection:
        found = spend_report(connection, scope, by=())
    return {name: found.totals[name] for name in (*SUMS, *COUNTS)}


@pytest.mark.parametrize(
    "scope",
    [MARCH, FEBRUARY, PART, DAYS, Scope.checked(month="2025-03", where=["project=search"])],
    ids=["march", "february", "part", "days", "where"],
)
def test_totals_are_those_of_the_report_and_of_the_charges(engine: Engine, scope: Scope) -> None:
    keep(engine)
    rows = usage(engine, scope)
    assert total(rows) == reported(engine, scope)
    with reading(engine) as connection:
        content = Content(connection, CHARGES, scope)
        for _ in content.blocks():
            pass
        assert {name: content.sums[name] for name in SUMS} == total(rows, SUMS)
    # From the charges themselves it is the same.
    with engine.begin() as connection:
        connection.execute(update(AccountRow).values(rolled_up=0))
    assert usage(engine, scope) == rows


def test_days_are_those_of_the_accounts_zone_in_order(engine: Engine) -> None:
    for name, zone in (("a", "UTC"), ("k", "Asia/Kolkata"), ("n", "America/New_York")):
        set_up_account(engine, name, timezone=zone)
        events = [an_event(f"{name}{n}", when, account=name) for n, when in enumerate(
            ("2025-03-05T03:00:00Z", "2025-03-05T20:00:00Z", "2025-03-06T03:00:00Z")
        )]  # fmt: skip
        record_and_post(engine, *events)
    calls: Counter[tuple[str, str]] = Counter()
    for row in usage(engine):
        calls[str(row["day"])[8:], row["account"]] += row["calls"]
    assert [(*key, count) for key, count in calls.items()] == [
        ("04", "n", 1), ("05", "a", 2), ("05", "k", 1), ("05", "n", 2), ("06", "a", 1), ("06", "k", 2),
    ]  # fmt: skip


def test_an_adjustment_is_a_row_of_its_own(engine: Engine) -> None:
    keep(engine)
    first, *rest = usage(engine)
    assert (str(first["day"]), first["billing_month"], first["adjusts"]) == ("2025-02-03", "2025-03", "2025-02")
    assert (first["calls"], first["granted"], first["topped_up"]) == (0, usd("0.28"), usd("-0.28"))
    assert {row["adjusts"] for row in rest} == {None}


def test_a_cost_that_is_not_known_is_empty(engine: Engine) -> None:
    keep(engine)
    (row,) = [row for row in usage(engine) if row["model"] == "no-such-model"]
    assert (row["calls"], row["unpriced"], row["cost"], row["output_tokens"]) == (1, 1, None, 5)


def test_sums_pass_64_bits(engine: Engine) -> None:
    events = [an_event(f"call-{n}", output=10**6 * MILLION) for n in range(10)]
    record_and_post(engine, *events, now=NOW)
    (row,) = usage(engine)
    assert row["cost"] == usd("1100000.00") * 10 > 2**63
    assert total([row]) == reported(engine, MARCH)
    with reading(engine) as connection:
        content = Content(connection, CHARGES, MARCH)
        assert b"".join(content.blocks()).count(b"1100000.00,") == 30
        assert content.sums["cost"] == row["cost"]
