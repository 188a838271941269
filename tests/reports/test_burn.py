"""How a budget burns: its steps are its spend, what is to come is the forecast's, and nothing is told beyond that."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import NotFoundError
from costmeter.core.forecast import Forecast
from costmeter.core.money import format_amount, parse_total
from costmeter.core.periods import Period, format_instant
from costmeter.reports.budget_list import BY_CALLS, budget_list
from costmeter.reports.burn import MOST_STEPS, PERIODS, budget_report
from costmeter.reports.forecast import period_forecast
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.store import accounts
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from tests.make import MILLION, an_event, at, record_and_post

TODAY = "2025-03-18T12:00:00Z"
START = "2025-03-01T00:00:00Z"


def calls(days: Iterable[int]) -> list[dict[str, Any]]:
    """A call of 1.10 USD for each project at noon of days of March 2025."""
    return [
        an_event(f"{project}-{day}", f"2025-03-{day:02d}T11:00:00Z", output=MILLION, project=project, user="u-1")
        for day in days
        for project in ("search", "support")
    ]


def add(engine: Engine, name: str = "all", **more: Any) -> None:
    said: dict[str, Any] = {"per": "month", "amount": "100.00", "starts_at": at(START)} | more
    if "tokens" in said:
        del said["amount"]
    add_budget(engine, NewBudget("default", name, **said), by="root", home=Home(), now=at(TODAY))


def report(engine: Engine, name: str = "all", now: str = TODAY, **more: Any) -> dict[str, Any]:
    with reading(engine) as connection:
        return budget_report(connection, "default", name, at(now), **more)


@pytest.mark.parametrize("more", [{}, {"where": ["project=search"]}, {"where": ["user=u-1"]}, {"tokens": 10**9}])
def test_the_steps_add_up_to_what_is_spent(engine: Engine, more: dict[str, Any]) -> None:
    record_and_post(engine, *calls(range(1, 19)), now=TODAY)
    add(engine, **more)
    found = report(engine)
    rows = found["steps"]["rows"]
    assert [row["step"] for row in rows] == [f"2025-03-{day:02d}" for day in range(1, 19)]
    read = int if found["unit"] == "tokens" else parse_total
    so_far = 0
    for row in rows:
        so_far += read(row["spent"])
        assert read(row["so_far"]) == so_far
    assert rows[-1]["so_far"] == found["spent"] != "0.00"
    mostly = found["mostly"]
    assert sum(read(row["spent"]) for row in mostly["rows"]) == so_far
    assert mostly["by"] == ("model" if more.get("where") == ["project=search"] else "project")


def test_what_is_to_come_is_the_forecasts(engine: Engine) -> None:
    record_and_post(engine, *calls(range(1, 19)), now=TODAY)
    add(engine)
    told = report(engine)["outlook"]
    with reading(engine) as connection:
        period = Period(at(START), at("2025-04-01T00:00:00Z"))
        own = accounts.get(connection, "default")
        found = period_forecast(connection, own, {}, period, "USD", timezone="UTC", now=at(TODAY))
    assert isinstance(found, Forecast)
    assert told["forecast"]["amount"] == format_amount(found.amount)
    assert told["forecast"]["basis"] == {"days": 16, "since": "2025-03-02"}
    assert (told["used_up_on"], told["looked_ahead_to"]) == (None, "2025-03-31")


def test_the_day_on_which_it_is_used_up(engine: Engine) -> None:
    """2.20 USD a day: 39.60 by today, of which today's are spent; half of today and two days more make 45.10."""
    record_and_post(engine, *calls(range(1, 19)), now=TODAY)
    add(engine, amount="45.00")
    add(engine, "over", amount="39.60")
    add(engine, "ever", amount="100.00", per="all")
    assert report(engine)["outlook"]["used_up_on"] == "2025-03-20"
    over = report(engine, "over")
    assert (over["left"], over["outlook"]["is_used_up"], over["outlook"]["used_up_on"]) == ("0.00", True, None)
    ever = report(engine, "ever")["outlook"]
    assert (ever["forecast"], ever["reason"], ever["used_up_on"]) == (None, "the period has no end", "2025-04-14")
    assert ever["looked_ahead_to"] > "2026-03-01"


def test_where_nothing_tells(engine: Engine) -> None:
    add(engine)
    add(engine, "coming", starts_at=at("2025-06-01T00:00:00Z"))
    record_and_post(engine, *calls([17, 18]), now=TODAY)
    told = report(engine)["outlook"]
    assert told == {
        "forecast": None,
        "reason": "0 whole days since the first spend are too few; it takes 7",
        "is_used_up": False,
        "used_up_on": None,
        "looked_ahead_to": None,
    }
    coming = report(engine, "coming")
    assert coming["outlook"]["reason"] == "now is not within the budget's start and end"
    assert (coming["steps"], coming["mostly"], coming["periods"]) == (None, None, [])


def test_a_short_period_is_told_by_hour(engine: Engine) -> None:
    record_and_post(engine, *calls([17, 18]), now=TODAY)
    add(engine, per="5h", starts_at=at("2025-03-18T09:00:00Z"), amount="5.00")
    told = report(engine)["steps"]
    assert told["per"] == "hour"
    assert [(row["label"], row["spent"], row["even"]) for row in told["rows"]] == [
        ("03-18 09:00", "0.00", "1.00"),
        ("03-18 10:00", "0.00", "2.00"),
        ("03-18 11:00", "2.20", "3.00"),
        ("03-18 12:00", "0.00", "3.50"),
    ]


def test_past_periods_go_back_to_the_start_page_by_page(engine: Engine) -> None:
    record_and_post(engine, *calls([1, 2, 17]), now=TODAY)
    add(engine, per="day")
    first = report(engine)
    assert len(first["periods"]) == PERIODS
    assert first["periods"][0] == {
        "from": "2025-03-17T00:00:00Z", "to": "2025-03-18T00:00:00Z", "spent": "2.20", "used_percent": "2.2"
    }  # fmt: skip
    second = report(engine, before=at(first["periods_before"]))
    assert [one["from"][8:10] for one in second["periods"]] == ["05", "04", "03", "02", "01"]
    assert [one["spent"] for one in second["periods"]] == ["0.00"] * 3 + ["2.20"] * 2
    assert second["periods_before"] is None


def test_of_many_days_the_last_are_told(engine: Engine) -> None:
    record_and_post(engine, *calls([1]), now=TODAY)
    add(engine, per="all")
    later = at(START) + timedelta(days=MOST_STEPS + 9)
    told = report(engine, now=format_instant(later))["steps"]
    assert (len(told["rows"]), told["left_out"]) == (MOST_STEPS, 10)
    assert {row["so_far"] for row in told["rows"]} == {"2.20"}
    assert {row["even"] for row in told["rows"]} == {None}


def test_a_list_of_budgets_tells_what_is_quick(engine: Engine) -> None:
    record_and_post(engine, *calls(range(1, 19)), now=TODAY)
    for name, more in (("a", {}), ("b", {"amount": "39.60"}), ("c", {"amount": "45.00"}), ("d", {"where": ["user=x"]})):
        add(engine, name, **more)
    with reading(engine) as connection:
        found = budget_list(connection, None, at(TODAY), first=0, limit=3)
        rest = budget_list(connection, ["default"], at(TODAY), first=3, limit=3)
    assert {name: found[name] for name in ("count", "used_up", "crossed", "has_more")} == {
        "count": 4, "used_up": 1, "crossed": 1, "has_more": True
    }  # fmt: skip
    assert [one["outlook"] for one in found["budgets"]] == [report(engine, name)["outlook"] for name in "abc"]
    assert not rest["has_more"]
    assert [one["outlook"]["reason"] for one in rest["budgets"]] == [BY_CALLS]


def test_one_that_is_not_there(engine: Engine) -> None:
    record_and_post(engine, *calls([1]), now=TODAY)
    with pytest.raises(NotFoundError, match="no budget 'all'"):
        report(engine)
