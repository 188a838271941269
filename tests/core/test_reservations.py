"""Of which budgets and periods a reservation is held back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.budgets import Budget
from costmeter.core.errors import InputError
from costmeter.core.events import read_attribution, read_event, read_event_id
from costmeter.core.periods import Period
from costmeter.core.reservations import LONGEST, Refusal, check_count, check_lifetime, check_state, holds
from tests.make import an_event, at

START = "2025-01-01T00:00:00Z"
NOW = "2025-03-31T23:40:00Z"


def a_budget(number: int = 1, per: str = "month", **more: Any) -> Budget:
    made = Budget(number, f"b{number}", {}, per, "UTC", "USD", 100, (), True, at(START), None, None)
    return made._replace(**more)


def during(now: str = NOW, minutes: int = 10) -> Period:
    return Period(at(now), at(now) + timedelta(minutes=minutes))


def held(*budgets: Budget, minutes: int = 10) -> list[tuple[int, str, int]]:
    found = [hold.part for hold in holds(budgets, 7, 30, during(minutes=minutes))]
    return [(part.number, part.starts_at.isoformat()[:10], part.amount) for part in found]


def test_money_and_tokens_are_held_back_of_their_own_budgets_in_the_order_of_their_numbers() -> None:
    assert held(a_budget(2), a_budget(1, unit="tokens")) == [(1, "2025-03-01", 30), (2, "2025-03-01", 7)]


def test_every_period_that_the_call_may_be_charged_to_is_held() -> None:
    assert held(a_budget(), minutes=20) == [(1, "2025-03-01", 7)]  # an end is no part of a period
    assert held(a_budget(), minutes=21) == [(1, "2025-03-01", 7), (1, "2025-04-01", 7)]
    assert held(a_budget(per="all"), minutes=21) == [(1, "2025-01-01", 7)]
    hours = holds([a_budget(per="1h")], 7, 30, during(minutes=24 * 60))
    assert len(hours) == 25


def test_a_budget_is_held_only_within_its_start_and_end() -> None:
    assert held(a_budget(ends_at=at("2025-03-31T23:30:00Z"))) == []
    assert held(a_budget(ends_at=at("2025-03-31T23:45:00Z")), minutes=60) == [(1, "2025-03-01", 7)]
    assert held(a_budget(starts_at=at("2025-03-31T23:45:00Z"))) == [(1, "2025-03-31", 7)]
    assert held(a_budget(starts_at=at("2025-04-01T00:00:00Z"))) == []


@given(
    per=st.sampled_from(["day", "week", "month", "quarter", "year", "all", "5h", "14d"]),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Apia", "Africa/Casablanca"]),
    now=st.datetimes(min_value=at(START).replace(tzinfo=None), max_value=at(NOW).replace(tzinfo=None)),
    seconds=st.integers(1, 86_400),
    share=st.floats(0, 1, exclude_max=True),
)
def test_whenever_the_call_completes_its_period_is_held(
    per: str, zone: str, now: Any, seconds: int, share: float
) -> None:
    budget, start = a_budget(per=per, timezone=zone), at(f"{now.isoformat()}Z")
    lasts = timedelta(seconds=seconds)
    periods = [hold.period for hold in holds([budget], 1, 1, Period(start, start + lasts))]
    assert budget.period_of(start + share * lasts) in periods
    assert len({period.start for period in periods}) == len(periods)


def test_what_is_left_may_be_less_than_nothing() -> None:
    period = Period(at(START), None)
    assert Refusal("a", a_budget(), period, spent=90, reserved=20, asked=5).left == -10


@pytest.mark.parametrize("value", [-1, 1.0, True, "1", None, 2**63])
def test_an_amount_is_a_whole_number_from_nothing_on(value: object) -> None:
    with pytest.raises(InputError, match="must be from 0 to"):
        check_count(value, "cost")


@pytest.mark.parametrize("lasts", [timedelta(), timedelta(seconds=-1), LONGEST + timedelta(seconds=1)])
def test_a_reservation_lasts_no_longer_than_a_day(lasts: timedelta) -> None:
    with pytest.raises(InputError, match="from a second to a day"):
        check_lifetime(lasts)
    assert check_lifetime(LONGEST) == LONGEST


def test_a_state_is_one_of_four() -> None:
    assert check_state("open") == "open"
    with pytest.raises(InputError, match="use one of open, settled, released, expired"):
        check_state("closed")


def test_a_scope_is_read_as_the_event_of_its_call_will_be() -> None:
    secret = "sk-" + "a1" * 16
    body = an_event("e1", project="search", user="", api_key=secret, tags={"team": "a", secret: "x", "none": ""})
    event, scope = read_event(body), read_attribution(body)
    assert {name: getattr(event, name) for name in ("project", "user", "api_key", "model")} == {
        name: text for name, text in scope.items() if not name.startswith("tag:")
    }
    assert {f"tag:{name}": text for name, text in event.tags.items()}.items() <= scope.items()
    assert secret not in str(scope)
    assert [read_event_id(one) for one in ("e1", "", "None", None, 7)] == ["e1", None, None, None, None]
