"""Thresholds of forecast spend: raised once in a period, recovered when the forecast has fallen well below."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from costmeter.core.periods import format_instant
from costmeter.jobs.forecasts import tell_forecasts
from costmeter.reports.digest import digest_report
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from costmeter.store.tables import NoticeRow
from tests.make import an_event, at, record_and_post

NOW = "2025-03-15T12:00:00Z"  # half of the 15th day of 31


@pytest.fixture
def steady(engine: Engine) -> Engine:
    """1.10 USD on each of 28 days, and half of it today."""
    days = [at("2025-03-14T12:00:00Z") - timedelta(days=back) for back in range(28)]
    calls = [an_event(f"{n}", format_instant(day), project="search") for n, day in enumerate(days)]
    record_and_post(
        engine, *calls, an_event("today", "2025-03-15T06:00:00Z", output=500_000, project="search"), now=NOW
    )
    return engine


def budget(engine: Engine, name: str = "all", amount: str = "30.00", **more: Any) -> None:
    new = NewBudget("default", name, "month", amount, thresholds=["500%"], **more)
    add_budget(engine, new, by="root", home=Home(), now=at(NOW))


def told(engine: Engine) -> list[tuple[str, str, dict[str, Any]]]:
    with reading(engine) as connection:
        query = select(NoticeRow.kind, NoticeRow.event, NoticeRow.facts).order_by(NoticeRow.notice_id)
        return [(kind, event, facts) for kind, event, facts in connection.execute(query)]


def test_a_steady_month_is_foreseen_and_told_once(steady: Engine) -> None:
    budget(steady, where=["project=search"], forecasts=["100%", "120%"])
    done = tell_forecasts(steady, at(NOW))
    assert done.said == "foresaw 1 of 1 budgets, and told 1 alerts"
    ((kind, event, facts),) = told(steady)
    assert (kind, event, facts["threshold"], facts["spent"]) == ("forecast", "raised", "forecast 100%", "15.95")
    # 14 days and a half are spent, 16 days and a half are to come, at 1.10 each: 34.10 of 30.00, not 36.00.
    assert facts["forecast"] == "34.10"
    assert (facts["amount"], facts["is_late"]) == ("30.00", False)
    assert tell_forecasts(steady, at(NOW)).said == "foresaw 1 of 1 budgets, and told 0 alerts"
    assert len(told(steady)) == 1


def test_a_forecast_that_has_fallen_well_below_has_recovered(steady: Engine) -> None:
    budget(steady, forecasts=["100%"], amount="34.00")
    tell_forecasts(steady, at(NOW))
    tell_forecasts(steady, at("2025-03-15T20:00:00Z"))  # nothing more was spent: 33.73
    assert [event for _, event, _ in told(steady)] == ["raised"]  # 95% of it is not undercut yet
    tell_forecasts(steady, at("2025-03-17T00:00:00Z"))
    assert [event for _, event, _ in told(steady)] == ["raised", "recovered"]


def test_what_cannot_be_foreseen_is_passed_over(engine: Engine) -> None:
    budget(engine, "young", forecasts=["100%"])
    budget(engine, "only actual")
    budget(engine, "later", forecasts=["100%"], starts_at=at("2025-05-01T00:00:00Z"))
    record_and_post(engine, an_event("a", "2025-03-14T12:00:00Z"), now=NOW)
    assert tell_forecasts(engine, at(NOW)).said == "foresaw 0 of 2 budgets, and told 0 alerts"
    assert told(engine) == []


def test_a_digest_has_the_budgets_that_are_used_most_first(steady: Engine) -> None:
    budget(steady, "tight", "20.00")
    budget(steady, "wide", "100.00")
    budget(steady, "later", starts_at=at("2025-05-01T00:00:00Z"))
    with reading(steady) as connection:
        shape = digest_report(connection, "daily", at(NOW))
    assert [(one["budget"], one["spent"], one["used_percent"]) for one in shape["budgets"]] == [
        ("tight", "15.95", "79.7"), ("wide", "15.95", "15.9"),
    ]  # fmt: skip
