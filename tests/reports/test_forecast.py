"""Forecasts of months and periods read from real books, and the runway of real credits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, update

from costmeter.core.errors import InputError, NotFoundError
from costmeter.core.forecast import Forecast, Unknown
from costmeter.core.periods import Period, format_instant
from costmeter.reports.forecast import forecast_report, period_forecast
from costmeter.services.detach_months import detach_months
from costmeter.services.make_partitions import make_partitions
from costmeter.services.verify import verify
from costmeter.store import accounts
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction, open_engine, reading
from costmeter.store.tables import AccountRow
from tests.make import MILLION, an_event, at, grant, record_and_post, top_up, usd

NOW = "2025-04-18T12:00:00Z"  # a Friday, at half of the day
A_CALL = usd("1.10")


def days_of(first: str, days: int, each: Any = MILLION, **more: Any) -> list[dict[str, Any]]:
    """A call a day at ten o'clock UTC; `each` is its output, or says the output of a day by its number."""
    start = at(first).replace(hour=10)
    return [
        an_event(
            f"{first}-{number}{more.get('project', '')}",
            format_instant(start + timedelta(days=number)),
            output=each(number) if callable(each) else each,
            **more,
        )
        for number in range(days)
    ]


def told(engine: Engine, account: str = "default", now: str = NOW, **asked: Any) -> dict[str, Any]:
    with reading(engine) as connection:
        return forecast_report(connection, account, now=at(now), **asked)


def of_period(
    engine: Engine, start: str, end: str | None, unit: str = "USD", *, timezone: str = "UTC", **where: str
) -> Forecast | Unknown:
    period = Period(at(start), None if end is None else at(end))
    with reading(engine) as connection:
        account = accounts.get(connection, "default")
        return period_forecast(connection, account, where, period, unit, timezone=timezone, now=at(NOW))


@pytest.fixture
def steady(engine: Engine) -> Engine:
    """1.10 a day from March 1 to April 18, the day that has come to its half."""
    record_and_post(engine, *days_of("2025-03-01T00:00:00Z", 49), now=NOW)
    return engine


class TestAMonth:
    def test_what_is_spent_is_exact_and_the_days_to_come_are_as_the_days_before(self, steady: Engine) -> None:
        shape = told(steady)
        runway = shape.pop("runway")
        # 18 calls until now; half of today and twelve days are to come: 18 + 12.5 calls.
        assert shape == {
            "account": "default",
            "month": "2025-04",
            "from": "2025-04-01T00:00:00Z",
            "to": "2025-05-01T00:00:00Z",
            "timezone": "UTC",
            "as_of": NOW,
            "unit": "USD",
            "where": {},
            "spent": "19.80",
            "unpriced": 0,
            "forecast": {
                "amount": "33.55",
                "low": "33.55",
                "high": "33.55",
                "coverage_percent": 80,
                "basis": {"days": 47, "since": "2025-03-02"},
            },
            "reason": None,
            "last_month": {"month": "2025-03", "spent": "34.10", "change": "-0.55", "change_percent": "-1.61"},
        }
        assert runway["reason"] == "no credit was ever added: the balance is not tracked"
        assert runway["total"] == {"balance": "0.00", "days": None, "runs_out_on": None}

    def test_a_month_that_is_over_comes_to_what_was_spent(self, steady: Engine) -> None:
        shape = told(steady, month="2025-03")
        assert (shape["spent"], shape["forecast"]["amount"], shape["forecast"]["low"]) == ("34.10",) * 3
        assert shape["forecast"]["basis"] == {"days": 0, "since": None}

    def test_at_its_last_instant_too(self, steady: Engine) -> None:
        shape = told(steady, now="2025-04-30T23:59:59.999999Z")
        assert shape["forecast"]["amount"] == shape["spent"] == "19.80"

    def test_a_month_that_has_not_begun_is_refused(self, steady: Engine) -> None:
        with pytest.raises(InputError, match="month '2025-05': has not begun"):
            told(steady, month="2025-05")

    def test_without_rollups_the_charges_tell_the_same(self, steady: Engine) -> None:
        shape = told(steady)
        in_transaction(steady, lambda connection: connection.execute(update(AccountRow).values(rolled_up=-1)))
        assert told(steady) == shape

    def test_filters_count_and_forecast_the_same_calls(self, steady: Engine) -> None:
        more = days_of("2025-04-01T00:00:00Z", 18, project="search", user="u", tags={"team": "a"})
        record_and_post(steady, *more, now=NOW)
        for where in ("project=search", "user=u", "tag:team=a"):
            shape = told(steady, where=[where])
            assert (shape["spent"], shape["forecast"]["amount"]) == ("19.80", "33.55")
            assert shape["forecast"]["basis"] == {"days": 16, "since": "2025-04-02"}
            assert shape["last_month"]["change_percent"] is None
            assert shape["runway"] is None

    def test_tokens_are_forecast_as_money_is(self, steady: Engine) -> None:
        shape = told(steady, unit="tokens")
        assert (shape["spent"], shape["forecast"]["amount"]) == (18 * MILLION, 30_500_000)
        assert shape["runway"] is None
        with pytest.raises(InputError, match="unit 'EUR': use USD, the currency of account 'default', or tokens"):
            told(steady, unit="EUR")

    def test_calls_without_a_price_are_counted_and_not_in_the_cost(self, steady: Engine) -> None:
        record_and_post(steady, an_event("x", "2025-04-17T10:00:00Z", model="deepseek-9"), now=NOW)
        assert (told(steady)["unpriced"], told(steady)["spent"]) == (1, "19.80")

    def test_an_account_too_new_has_no_forecast_and_is_told_why(self, engine: Engine) -> None:
        record_and_post(engine, *days_of("2025-04-12T00:00:00Z", 6), now=NOW)
        shape = told(engine)
        assert (shape["spent"], shape["forecast"]) == ("6.60", None)
        assert shape["reason"] == "5 whole days since the first spend are too few; it takes 7"
        assert shape["last_month"] == {"month": "2025-03", "spent": "0.00", "change": None, "change_percent": None}
        with pytest.raises(NotFoundError):
            told(engine, "nobody")

    def test_days_are_those_of_the_accounts_zone(self, engine: Engine) -> None:
        """In Shanghai it is 20:00 of April 18: a sixth of it is to come, and of the month twelve days."""
        calls = days_of("2025-03-01T00:00:00Z", 49)
        record_and_post(engine, *calls, now=NOW, home=Home("USD", "Asia/Shanghai"))
        shape = told(engine)
        assert (shape["from"], shape["to"]) == ("2025-03-31T16:00:00Z", "2025-04-30T16:00:00Z")
        assert shape["forecast"]["amount"] == "33.18"  # 19.80 + 1.10 x (12 + 4/24), of which four digits are told

    def test_what_weekdays_do_is_seen(self, engine: Engine) -> None:
        """A call a day from Monday to Friday: two days of a weekend add next to nothing."""
        weekdays = days_of("2025-02-10T00:00:00Z", 68, lambda number: 0 if number % 7 > 4 else MILLION)
        record_and_post(engine, *weekdays, now=NOW)
        saturday, monday = told(engine, now="2025-04-19T00:00:00Z"), told(engine, now="2025-04-21T00:00:00Z")
        spent = usd(saturday["spent"])
        first, second = (usd(shape["forecast"]["amount"]) - spent for shape in (saturday, monday))
        assert second <= first < second + usd("0.40")
        assert usd("8.20") < second < usd("9.40")  # eight workdays


class TestAPeriod:
    def test_a_period_of_a_budget_in_its_own_zone(self, steady: Engine) -> None:
        """From Monday to Monday of Berlin, where it is 14:00 of Friday: 5 calls, and 2 days and 10 hours to come."""
        found = of_period(steady, "2025-04-13T22:00:00Z", "2025-04-20T22:00:00Z", timezone="Europe/Berlin")
        assert isinstance(found, Forecast)
        assert (found.spent, found.amount) == (5 * A_CALL, usd("8.158"))  # 5.50 + 1.10 x (2 + 10/24)

    def test_a_period_of_hours(self, steady: Engine) -> None:
        found = of_period(steady, "2025-04-18T09:00:00Z", "2025-04-18T14:00:00Z")
        assert isinstance(found, Forecast)
        assert (found.spent, found.amount) == (A_CALL, usd("1.192"))  # two hours of 24 are to come

    def test_tokens_and_filters(self, steady: Engine) -> None:
        found = of_period(steady, "2025-04-17T00:00:00Z", "2025-04-19T00:00:00Z", "tokens", model="deepseek-chat")
        assert isinstance(found, Forecast)
        assert (found.spent, found.amount) == (2 * MILLION, 2_500_000)
        nothing = of_period(steady, "2025-04-17T00:00:00Z", "2025-04-19T00:00:00Z", model="deepseek-reasoner")
        assert nothing == Unknown("nothing was spent in the 57 days before today")

    def test_a_period_without_an_end_has_no_forecast(self, steady: Engine) -> None:
        assert of_period(steady, "2025-04-17T00:00:00Z", None) == Unknown("the period has no end")

    def test_a_period_that_is_over_has_come_to_what_was_spent(self, steady: Engine) -> None:
        found = of_period(steady, "2025-04-16T00:00:00Z", "2025-04-18T00:00:00Z")
        assert found == Forecast(2 * A_CALL, 2 * A_CALL, 2 * A_CALL, 2 * A_CALL, 0)


class TestTheRunway:
    def test_grants_and_topped_up_credits_last_apart(self, steady: Engine) -> None:
        """1.10 a day: 0.55 today. 5.00 granted are gone on April 23, what is left of 11.00 ten days later."""
        grant(steady, "5.00", "2025-04-18T11:00:00Z", now=NOW)
        top_up(steady, "11.00", "2025-04-18T11:00:00Z", now=NOW)
        grant(steady, "9.00", "2025-04-18T11:00:00Z", "2025-04-18T12:00:00Z", now=NOW)  # has expired
        runway = told(steady)["runway"]
        assert runway == {
            "currency": "USD",
            "horizon_days": 366,
            "reason": None,
            "granted": {"balance": "5.00", "days": 5, "runs_out_on": "2025-04-23"},
            "topped_up": {"balance": "11.00", "days": 15, "runs_out_on": "2025-05-03"},
            "total": {"balance": "16.00", "days": 15, "runs_out_on": "2025-05-03"},
            "expires_unspent": "0.00",
        }

    def test_what_would_expire_unspent_is_told(self, steady: Engine) -> None:
        grant(steady, "50.00", "2025-04-18T11:00:00Z", "2025-04-28T12:00:00Z", now=NOW)
        runway = told(steady)["runway"]
        assert runway["granted"] == {"balance": "50.00", "days": 10, "runs_out_on": "2025-04-28"}
        assert runway["expires_unspent"] == "39.00"  # ten days of 1.10

    def test_an_overdrawn_account_has_no_days(self, steady: Engine) -> None:
        top_up(steady, "1.00", "2025-04-18T11:00:00Z", now=NOW)
        record_and_post(steady, an_event("x", "2025-04-18T11:30:00Z", output=2 * MILLION), now=NOW)
        runway = told(steady)["runway"]
        assert runway["topped_up"] == {"balance": "-1.20", "days": 0, "runs_out_on": "2025-04-18"}
        assert runway["total"] == {"balance": "-1.20", "days": 0, "runs_out_on": "2025-04-18"}

    def test_without_a_pace_there_are_no_days(self, engine: Engine) -> None:
        top_up(engine, "1.00", "2025-04-18T11:00:00Z", now=NOW)
        runway = told(engine)["runway"]
        assert runway["total"] == {"balance": "1.00", "days": None, "runs_out_on": None}
        assert (runway["reason"], runway["expires_unspent"]) == ("nothing was spent in the 57 days before today", None)


def test_what_lies_in_detached_months_is_no_past(postgres_url: str) -> None:
    """March is away: the past begins in April, and nothing is compared with the month before."""
    engine = open_engine(postgres_url)
    make_partitions(engine, now=datetime(2025, 3, 1, tzinfo=UTC), ahead=2)
    record_and_post(engine, *days_of("2025-03-01T00:00:00Z", 49), now=NOW)
    verify(engine, now=at(NOW))
    detach_months(engine, before="2025-04", now=at(NOW))
    shape = told(engine)
    assert (shape["spent"], shape["forecast"]["amount"], shape["last_month"]) == ("19.80", "33.55", None)
    assert shape["forecast"]["basis"]["days"] == 15
    engine.dispose()
