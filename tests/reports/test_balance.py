"""The report of a balance is told from credits and rollups, and says so where it cannot be told."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import Engine, event

from costmeter.reports.balance import View, balance_report
from costmeter.store import accounts
from costmeter.store.engine import reading
from tests.make import an_event, at, balance, grant, record_and_post, top_up
from tests.services.test_detach_months import away, books

__all__ = ["away", "books"]
NOW = at("2025-03-10T00:00:00Z")


def told(engine: Engine, first: str, last: str = "2025-03-10", **more: Any) -> dict[str, Any]:
    days = {"first": date.fromisoformat(first), "last": date.fromisoformat(last)}
    with reading(engine) as connection:
        account = accounts.get(connection, "default")
        asked: dict[str, Any] = {"timezone": "UTC", "month": "2025-03"} | days | more
        return balance_report(connection, View(account, **asked), NOW)


def test_it_sums_no_calls(engine: Engine) -> None:
    grant(engine, "1.00", "2025-03-01T00:00:00Z", "2025-03-05T00:00:00Z")
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    record_and_post(engine, an_event("a"), an_event("b", "2025-03-06T12:00:00Z"))
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _k, sql, *_: asked.append(sql))
    found = told(engine, "2025-02-01", timezone="Asia/Kolkata")
    assert [row["total"] for row in found["days"]["rows"][-8:]] == [*["4.90"] * 3, *["3.80"] * 5]
    assert any("rollup_quarter" in sql for sql in asked)
    assert any("rollup_day" in sql for sql in asked)
    summed = [sql for sql in asked if "sum(" in sql.lower() and ("FROM charge" in sql or "FROM deduction" in sql)]
    assert summed == []


def test_what_detached_calls_took_is_not_guessed(away: Engine) -> None:
    found = told(away, "2025-02-20", month="2025-01")
    for row in found["days"]["rows"]:
        assert (row["granted"], row["topped_up"]) == balance(away, row["at"])
    assert "2025-01" in found["month"]["reason"]
    before = told(away, "2025-02-10")
    assert before["days"]["rows"] == []
    assert "detached" in before["days"]["reason"]
    assert before["month"]["reason"] is None


def test_a_day_is_never_after_now(engine: Engine) -> None:
    """Calls whose clock was ahead are in no balance yet."""
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    ahead = (NOW + timedelta(minutes=4)).isoformat()
    record_and_post(engine, an_event("a"), an_event("b", ahead))
    rows = told(engine, "2025-03-08")["days"]["rows"]
    assert [(row["at"], row["total"]) for row in rows] == [
        ("2025-03-08T23:59:59.999999Z", "3.90"),
        ("2025-03-09T23:59:59.999999Z", "3.90"),
        ("2025-03-10T00:00:00Z", "3.90"),
    ]
