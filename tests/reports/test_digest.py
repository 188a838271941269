"""Digests of real books, worked out by hand, and against the spend report."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import InputError
from costmeter.core.money import format_amount, parse_total
from costmeter.reports.digest import digest_report
from costmeter.reports.spend import spend_report
from costmeter.services.detach_months import detach_months
from costmeter.services.make_partitions import make_partitions
from costmeter.services.verify import verify
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.scope import Scope
from tests.make import MILLION, an_event, an_unmetered, at, record, record_and_post, top_up

NOW = "2025-04-15T06:00:00Z"  # a Tuesday


def told(engine: Engine, kind: str = "daily", now: str = NOW, **asked: Any) -> dict[str, Any]:
    with reading(engine) as connection:
        return digest_report(connection, kind, at(now), **asked)


@pytest.fixture
def april(engine: Engine) -> Engine:
    """Monday: search by day and by night, chat, a call without a price and one without usage. Sunday: chat alone."""
    record_and_post(
        engine,
        an_event("sunday", "2025-04-13T12:00:00Z", project="chat"),
        an_event("a", "2025-04-14T12:00:00Z", hit=MILLION, project="search"),
        an_event("b", "2025-04-14T17:00:00Z", project="search"),
        an_event("c", "2025-04-14T12:00:00Z", model="deepseek-reasoner", project="chat"),
        an_event("d", "2025-04-14T12:00:00Z", model="deepseek-9"),
        an_unmetered("e", "2025-04-14T12:00:00Z"),
        an_event("today", "2025-04-15T05:00:00Z", project="chat"),
        now=NOW,
    )
    return engine


def test_a_day_by_hand(april: Engine) -> None:
    shape = told(april)
    assert {name: shape[name] for name in ("digest", "name", "account", "accounts", "currency", "from", "to")} == {
        "digest": "daily", "name": "2025-04-14", "account": "default", "accounts": 1, "currency": "USD",
        "from": "2025-04-14T00:00:00Z", "to": "2025-04-15T00:00:00Z",
    }  # fmt: skip
    # 1.17 and half of 1.10, 2.19 for the reasoner; 1.10 on Sunday.
    assert shape["spend"] == {
        "calls": 4,
        "cost": "3.91",
        "cache_hit_tokens": MILLION,
        "cache_miss_tokens": 0,
        "output_tokens": 4 * MILLION,
        "reasoning_tokens": 0,
        "cache_savings": "0.20",
        "off_peak_savings": "0.55",
        "before": "1.10",
        "change": "2.81",
        "change_percent": "255.45",
    }
    assert [(one["name"], one["cost"], one["percent"], one["before"]) for one in shape["by_project"]["top"]] == [
        ("chat", "2.19", "56.01", "1.10"), ("search", "1.72", "43.99", "0.00"), (None, "0.00", "0.00", "0.00"),
    ]  # fmt: skip
    assert [(one["name"], one["cost"]) for one in shape["by_band"]["top"]] == [
        ("standard", "3.36"), ("off_peak", "0.55"), (None, "0.00"),
    ]  # fmt: skip
    assert shape["doubts"] == {
        "failed": 0, "unmetered": 1, "unpriced": 1, "provisional": 0, "quarantined": 0, "unposted": 0,
    }  # fmt: skip
    assert shape["forecast"]["month"] == "2025-04"
    assert shape["forecast"]["spent"] == "6.11"
    assert shape["forecast"]["reason"] == "1 whole days since the first spend are too few; it takes 7"
    assert shape["runway"]["total"]["balance"] == "0.00"


def test_the_chart_has_thirty_days_by_model(april: Engine) -> None:
    days = told(april)["days"]
    assert (days["from"], days["to"]) == ("2025-03-16", "2025-04-15")
    assert days["models"] == ["deepseek-chat", "deepseek-reasoner", "deepseek-9"]
    assert days["rows"] == [
        {"day": "2025-04-13", "model": "deepseek-chat", "cost": "1.10"},
        {"day": "2025-04-14", "model": "deepseek-9", "cost": "0.00"},
        {"day": "2025-04-14", "model": "deepseek-chat", "cost": "1.72"},
        {"day": "2025-04-14", "model": "deepseek-reasoner", "cost": "2.19"},
    ]


def test_a_week_and_a_month(april: Engine) -> None:
    week = told(april, "weekly")
    assert (week["name"], week["spend"]["cost"], week["spend"]["before"]) == ("2025-W15", "1.10", "0.00")
    assert week["spend"]["change_percent"] is None
    month = told(april, "monthly", "2025-05-02T00:00:00Z")
    assert (month["name"], month["spend"]["cost"], month["forecast"]["month"]) == ("2025-04", "6.11", "2025-05")


def test_a_month_is_the_billing_month(april: Engine) -> None:
    """What it sums is what the report of the month sums, by whatever it is divided."""
    shape = told(april, "monthly", "2025-05-02T00:00:00Z")
    with reading(april) as connection:
        report = spend_report(connection, Scope.checked(month="2025-04"), by=["project"])
    assert shape["spend"]["cost"] == format_amount(report.totals["cost"])
    for name in ("by_project", "by_model", "by_band"):
        shares = shape[name]
        total = sum(parse_total(one["cost"]) for one in shares["top"]) + parse_total(shares["others"]["cost"])
        assert total == report.totals["cost"]


def test_beyond_five_the_others_are_one(engine: Engine) -> None:
    calls = [an_event(f"p{n}", "2025-04-14T12:00:00Z", project=f"p{n}", output=(n + 1) * MILLION) for n in range(8)]
    record_and_post(engine, *calls, now=NOW)
    shares = told(engine)["by_project"]
    assert [one["name"] for one in shares["top"]] == ["p7", "p6", "p5", "p4", "p3"]
    assert shares["others"] == {"count": 3, "cost": "6.60"}


def test_several_accounts_are_summed_within_a_currency_only(engine: Engine) -> None:
    for name, currency, zone in (("a", "USD", "UTC"), ("b", "USD", "Asia/Shanghai"), ("c", "CNY", "UTC")):
        record_and_post(
            engine, an_event(name, "2025-04-14T12:00:00Z", account=name), now=NOW, home=Home(currency, zone)
        )
    with pytest.raises(InputError, match="never summed"):
        told(engine)
    shape = told(engine, currency="USD")
    assert (shape["account"], shape["accounts"], shape["timezone"]) == (None, 2, "UTC")
    assert (shape["spend"]["cost"], shape["runway"]) == ("2.20", None)
    assert told(engine, account="c")["currency"] == "CNY"


def test_without_accounts_it_is_empty(engine: Engine) -> None:
    shape = told(engine, currency="USD")
    assert (shape["accounts"], shape["spend"]["cost"], shape["forecast"]) == (0, "0.00", None)


def test_the_forecast_and_the_balance_are_those_of_now(engine: Engine) -> None:
    top_up(engine, "100.00", "2025-03-01T00:00:00Z", now=NOW)
    calls = [an_event(f"c{day}", f"2025-04-{day:02d}T03:00:00Z") for day in range(1, 16)]
    record_and_post(engine, *calls, now=NOW)
    shape = told(engine)
    assert shape["forecast"]["spent"] == "16.50"
    assert shape["forecast"]["forecast"]["amount"] == "33.82"  # 16.50 and 1.10 x 15.75 to come, half to even
    assert shape["runway"]["topped_up"]["balance"] == "83.50"


def test_what_waits_to_be_posted_is_said(april: Engine) -> None:
    record(april, an_event("late", "2025-04-14T13:00:00Z"), now=NOW)
    assert told(april)["doubts"]["unposted"] == 1


def test_what_is_detached_is_not_compared_with(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    make_partitions(engine, now=at("2025-03-01T00:00:00Z"), ahead=2)
    calls = [an_event("m", "2025-03-31T12:00:00Z"), an_event("a", "2025-04-01T12:00:00Z")]
    record_and_post(engine, *calls, now=NOW)
    assert verify(engine, now=at(NOW)) == []
    detach_months(engine, before="2025-04", now=at(NOW))
    shape = told(engine, now="2025-04-02T06:00:00Z")
    assert (shape["spend"]["cost"], shape["spend"]["before"], shape["days"]) == ("1.10", None, None)
    engine.dispose()
