"""The sums of a statement hold as it stands, and no longer once any one of its amounts is another."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.money import format_amount, parse_total
from costmeter.reports.statement_checks import check_sums
from costmeter.reports.statements import statement_shape
from costmeter.store.engine import reading
from tests.make import NOW, an_event, at, grant, record_and_post, top_up

# Where an amount stands, and the checks that it is part of.
AMOUNTS = [
    (("opening", "granted"), {"balance.granted"}),
    (("opening", "total"), {"balance.total"}),
    (("movements", 0, "topped_up"), {"balance.topped_up"}),
    (("closing_balance", "total"), {"balance.total"}),
    (("deductions", "overdraft"), {"paid"}),
    (("deductions", "cost"), {"paid", "usage", "project", "api_key"}),
    (("usage", 1, "cost"), {"usage"}),
    (("showback", "project", 0, "cost"), {"project"}),
    (("showback", "api_key", 0, "cost"), {"api_key"}),
]


@pytest.fixture
def statement(engine: Engine) -> dict[str, Any]:
    """Two credits, calls of two projects that overdraw them, and one without a price."""
    grant(engine, "0.50", "2025-03-01T00:00:00Z")
    top_up(engine, "1.00", "2025-03-01T00:00:00Z")
    calls = [an_event(name, project=name) for name in ("a", "b")]
    record_and_post(engine, *calls, an_event("x", model="deepseek-9"))
    with reading(engine) as connection:
        return statement_shape(connection, "default", "2025-03", at(NOW))


def test_they_hold(statement: dict[str, Any]) -> None:
    checks = check_sums(statement)
    assert all(check["holds"] for check in checks)
    total = next(check for check in checks if check["check"] == "balance.total")
    assert [(term["of"], term["amount"]) for term in total["terms"]] == [
        ("opening", "0.00"), ("credit", "1.50"), ("usage", "-2.20"),
    ]  # fmt: skip
    assert (total["sum"], total["told"]) == ("-0.70", "-0.70")


@pytest.mark.parametrize(
    ("place", "checks"), AMOUNTS, ids=lambda value: str(sorted(value) if isinstance(value, set) else value)
)
def test_each_amount_is_part_of_them(statement: dict[str, Any], place: tuple[Any, ...], checks: set[str]) -> None:
    changed = copy.deepcopy(statement)
    *way, name = place
    inside: Any = changed
    for step in way:
        inside = inside[step]
    inside[name] = format_amount(parse_total(inside[name]) + 1)  # by the last digit that there is
    assert {check["check"] for check in check_sums(changed) if not check["holds"]} == checks
