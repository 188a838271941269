"""An even pace, the day on which a budget is used up, and the periods before."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.budgets import TOKENS, Budget
from costmeter.core.burn import even_pace, periods_before, used_up_on
from costmeter.core.forecast import Pace, Part
from costmeter.core.periods import Period
from tests.make import at, usd

NOVEMBER = Period(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"))
FROM = at("2026-01-01T00:00:00Z")


def budget(amount: int = usd("30.00"), **more: Any) -> Budget:
    said = Budget(1, "b", {}, "month", "UTC", "USD", amount, (), False, FROM, None, None)
    return said._replace(**more)


def pace(level: float) -> Pace:
    return Pace(date(2026, 11, 18), level, 0.0, (1.0,) * 7, 0.0, 20)


@pytest.mark.parametrize(
    ("amount", "unit", "instant", "even"),
    [
        (usd("30.00"), "USD", "2026-11-02T00:00:00Z", usd("1.00")),
        (usd("10.00"), "USD", "2026-11-02T00:00:00Z", usd("0.33")),
        (usd("0.10"), "USD", "2026-11-02T00:00:00Z", usd("0.003333")),
        (1000, TOKENS, "2026-11-02T00:00:00Z", 33),
        (usd("10.000000000001"), "USD", "2026-12-01T00:00:00Z", usd("10.000000000001")),
        (usd("10.00"), "USD", "2026-11-01T00:00:00Z", 0),
    ],
)
def test_an_even_pace(amount: int, unit: str, instant: str, even: int) -> None:
    assert even_pace(budget(amount, unit=unit), NOVEMBER, at(instant)) == even


def test_a_period_without_an_end_has_no_even_pace() -> None:
    assert even_pace(budget(), Period(FROM, None), at("2026-11-02T00:00:00Z")) is None


def test_the_day_on_which_it_is_used_up() -> None:
    rest = [Part(date(2026, 11, 18), 0.5), *(Part(date(2026, 11, day), 1.0) for day in range(19, 31))]
    assert used_up_on(50, rest, pace(100.0)) == date(2026, 11, 18)
    assert used_up_on(51, rest, pace(100.0)) == date(2026, 11, 19)
    assert used_up_on(1250, rest, pace(100.0)) == date(2026, 11, 30)
    assert used_up_on(1251, rest, pace(100.0)) is None


@given(
    st.sampled_from(("day", "week", "month", "quarter", "year", "5h", "14d")),
    st.sampled_from(("UTC", "Asia/Shanghai", "America/New_York")),
    st.integers(0, 3000),
)
def test_the_periods_before_follow_each_other_back_to_the_start(per: str, zone: str, hours: int) -> None:
    now = FROM + timedelta(hours=hours)
    said = budget(per=per, timezone=zone)
    found = [*islice(periods_before(said, now), 5_000)]
    present = said.period_of(now)
    assert present is not None
    assert all(later.start == earlier.end for later, earlier in pairwise([present, *found]))
    assert (found[-1] if found else present).start == FROM


def test_a_budget_that_is_over_has_had_its_last_period() -> None:
    said = budget(ends_at=at("2026-03-10T00:00:00Z"))
    found = [*periods_before(said, at("2026-11-18T00:00:00Z"))]
    assert found[0] == Period(at("2026-03-01T00:00:00Z"), at("2026-03-10T00:00:00Z"))
    assert len(found) == 3
    assert [*periods_before(said, FROM - timedelta(days=1))] == []
    whole = budget(per="all", ends_at=at("2026-03-10T00:00:00Z"))
    assert [*periods_before(whole, at("2026-11-18T00:00:00Z"))] == [Period(FROM, at("2026-03-10T00:00:00Z"))]
    assert [*periods_before(whole, at("2026-02-18T00:00:00Z"))] == []
