"""A look of the watch is answered by indexes: it reads through no events, charges, rollups or quarantine."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Engine, event

from costmeter.core.watch import Thresholds
from costmeter.services.watch import watch
from costmeter.store.engine import open_engine
from tests.books import RATES, a_book, a_name, a_tariff
from tests.make import an_event, an_unmetered, at, record, record_and_post, top_up
from tests.services.watching import days, observe, refuse_one

LARGE = "usage_event|charge|deduction|identity|rollup_month|rollup_day|rollup_quarter|journal_line|journal_entry|alert"
PARTIAL = "quarantine USING INDEX quarantine_open"  # of all accounts, but only what is open


def statements_of_a_look(engine: Engine) -> list[tuple[str, Any]]:
    """What a look asks where each of its questions has an answer."""
    march = "2025-03-14T00:00:00Z"
    dearer = a_tariff("demo/2", start=march, bands={"flat": RATES | {"output": "4"}})
    by = a_book(a_tariff(end=march), dearer, a_name())
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    days(engine, 3, 9)
    refuse_one(engine)
    record_and_post(engine, an_event("demo", "2025-03-09T12:00:00Z", model="demo"))
    record(engine, an_unmetered("u", "2025-03-09T13:00:00Z"), an_event("waits", "2025-03-09T12:00:00Z"))
    observe(engine, "1.00", "2025-03-09T14:00:00Z")
    asked: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    raised = watch(engine, book=by, thresholds=Thresholds(unmetered_percent=0), now=at("2025-03-10T00:00:00Z")).raised
    assert {alert.rule.split()[0] for alert in raised} >= {"low_balance", "quarantine", "price_change", "unpriced"}
    return asked


def test_no_statement_reads_through_a_large_table(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    asked = statements_of_a_look(engine)
    assert len(asked) > 20
    plans = set()
    with engine.connect() as connection:
        for statement, parameters in asked:
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans |= {row[3] for row in found}
    engine.dispose()
    assert [plan for plan in plans if re.match(rf"SCAN ({LARGE}|quarantine)\b", plan) and PARTIAL not in plan] == []
    for index in ("rollup_day_unpriced", "quarantine_open", "alert_standing", "usage_event_without_usage"):
        assert any(index in plan for plan in plans), index
