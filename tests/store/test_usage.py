"""What a statement says was used is the same from the rollup by days and from the charges; a closing reads these."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from costmeter.reports.statements import statement_shape
from costmeter.services.close_month import close_month
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.verify import verify
from costmeter.store import accounts, schema
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction, reading
from costmeter.store.statements import read_statement
from costmeter.store.tables import DayRow
from costmeter.store.usage import usage_of_charges, usage_of_month
from tests.make import an_event, at, by_key, downgrade, give, record_and_post, rows, usd
from tests.services.invariants import close

MARCH, APRIL = "2025-03", "2025-04"
NOW = "2025-04-05T00:00:00Z"


@pytest.fixture
def spent(engine: Engine) -> Engine:
    """In Kolkata's days: two projects, keys and models, one without a price; March is closed, and then called late."""
    home = Home("USD", "Asia/Kolkata")
    give(engine, "granted", "2.00", "2025-02-28T00:00:00Z", home=home)
    give(engine, "topped_up", "9.00", "2025-02-28T00:00:00Z", home=home)
    record_and_post(engine, *calls("early", "2025-03-01T"), *calls("later", "2025-03-31T"), now=NOW, home=home)
    close(engine, MARCH)
    record_and_post(engine, *calls("late", "2025-03-20T"), *calls("new", "2025-04-01T"), now=NOW, home=home)
    return engine


def calls(name: str, day: str) -> list[dict[str, Any]]:
    """Before and after Kolkata's midnight, at both bands."""
    return [
        an_event(
            f"{name}-{number}",
            f"{day}{time}Z",
            hit=100 * number,
            miss=7,
            output=1_000 + number,
            project=None if number % 3 == 0 else f"p{number % 3}",
            api_key="backend" if number % 2 else None,
            model="deepseek-chat" if number != 4 else "no-such-model",
        )
        for number, time in enumerate(("00:10:00", "12:00:00", "16:30:00", "18:29:59", "18:30:00", "23:59:59"))
    ]


def of_month(engine: Engine, month: str) -> dict[tuple[Any, ...], Mapping[str, int]]:
    with reading(engine) as connection:
        return by_key(usage_of_month(connection, accounts.get(connection, "default"), month))


def of_charges(engine: Engine, month: str) -> dict[tuple[Any, ...], Mapping[str, int]]:
    with reading(engine) as connection:
        return by_key(usage_of_charges(connection, "default", month))


def told(engine: Engine) -> dict[str, Any]:
    with reading(engine) as connection:
        return statement_shape(connection, "default", MARCH, at(NOW))


def set_all_days(engine: Engine, **values: Any) -> None:
    in_transaction(engine, lambda connection: connection.execute(update(DayRow).values(values)))


@pytest.mark.parametrize("month", [MARCH, APRIL])
def test_days_and_charges_say_the_same(spent: Engine, month: str) -> None:
    found = of_month(spent, month)
    assert found == of_charges(spent, month)
    for sums in found.values():
        assert sums["cost_cache_hit"] + sums["cost_cache_miss"] + sums["cost_output"] == sums["cost"]
    assert {key[0] for key in found} == {None, *([MARCH] if month == APRIL else [])}
    assert sum(sums["unpriced"] for sums in found.values()) == (1 if month == MARCH else 3)


def test_one_call_worked_out_by_hand(spent: Engine) -> None:
    """Call 3 of April: 300 hits, 7 misses and 1,003 tokens of output at 0.07 / 0.27 / 1.10 USD halved: off-peak."""
    sums = of_month(spent, APRIL)[None, None, "backend", "deepseek-chat", "off_peak"]
    costs = (sums["cost_cache_hit"], sums["cost_cache_miss"], sums["cost_output"])
    assert costs == (usd("0.0000105"), usd("0.000000945"), usd("0.00055165"))
    assert sums["cost"] == sum(costs)


def test_an_open_months_statement_reads_no_charge(spent: Engine) -> None:
    asked: list[str] = []
    event.listen(spent, "before_cursor_execute", lambda *told: asked.append(told[2]))
    with reading(spent) as connection:
        account = accounts.get(connection, "default")
        assert read_statement(connection, account, APRIL, at(NOW)).counts["calls"] == 14
        assert asked
        assert [sql for sql in asked if "FROM charge" in sql] == []
        read_statement(connection, account, APRIL, at(NOW), is_closing=True)
        assert [sql for sql in asked if "FROM charge" in sql] != []


def test_a_wrong_rollup_is_not_what_a_month_is_closed_with(engine: Engine) -> None:
    record_and_post(engine, *calls("early", "2025-03-02T"), now=NOW)
    before = told(engine)
    set_all_days(engine, cost_output_low=DayRow.cost_output_low + 1)
    assert told(engine)["usage"] != before["usage"]
    close_month(engine, "default", MARCH, by="Ada", reason="a model has no price", grace=timedelta(), now=at(NOW))
    assert told(engine)["usage"] == before["usage"]
    assert told(engine)["state"] == "closed"


class TestBegunBeforeMetersWereKept:
    def test_the_migration_leaves_them_to_the_charges(self, spent: Engine) -> None:
        before = of_charges(spent, APRIL)
        downgrade(spent, "0012")
        schema.upgrade(spent)
        assert {row["cost_output_high"] for row in rows(spent, DayRow)} == {None}
        assert of_month(spent, APRIL) == before
        assert verify(spent, full=True) == []
        record_and_post(spent, *calls("newest", "2025-04-01T"), *calls("other", "2025-04-02T"), now=NOW)
        assert of_month(spent, APRIL) == of_charges(spent, APRIL) != before
        assert verify(spent, full=True) == []
        assert {row["cost_output_high"] is None for row in rows(spent, DayRow)} == {True, False}

    def test_until_they_are_rebuilt(self, spent: Engine) -> None:
        downgrade(spent, "0012")
        schema.upgrade(spent)
        rebuild_projections(spent)
        assert None not in {row["cost_output_high"] for row in rows(spent, DayRow)}
        assert of_month(spent, APRIL) == of_charges(spent, APRIL)

    def test_a_month_that_begins_after_it_is_read_from_its_days(self, spent: Engine) -> None:
        downgrade(spent, "0012")
        schema.upgrade(spent)
        record_and_post(spent, *calls("may", "2025-05-02T"), now="2025-05-05T00:00:00Z")
        set_all_days(spent, cost_output_low=DayRow.cost_output_low + 1)
        assert of_month(spent, "2025-05") != of_charges(spent, "2025-05")
        assert of_month(spent, APRIL) == of_charges(spent, APRIL)
