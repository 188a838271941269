"""How long a balance lasts: worked out by hand, day by day, and by a second way where nothing expires."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.forecast import Pace
from costmeter.core.ledger import GRANTED, TOPPED_UP, Credit, Purse
from costmeter.core.runway import HORIZON, Lasting, Runway, find_runway
from tests.make import at, usd

TODAY = date(2025, 3, 10)  # a Monday
NOW = at("2025-03-10T00:00:00Z")
FLAT = (1.0,) * 7
BEYOND = Lasting(HORIZON, None)


def a_pace(daily: str, weekdays: tuple[float, ...] = FLAT) -> Pace:
    return Pace(TODAY, float(usd(daily)), 0.0, weekdays, 0.0, 28)


def a_credit(kind: str, number: int = 1, effective_at: str = "2025-03-01T00:00:00Z", ends: str | None = None) -> Credit:
    return Credit(number, kind, usd("1000.00"), at(effective_at), None if ends is None else at(ends))


def runway(left: dict[Credit, int], overdraft: int, pace: Pace, now: datetime = NOW) -> Runway:
    purse = Purse([*left], {credit.credit_id: amount for credit, amount in left.items()}, overdraft)
    before = dict(purse.remaining)
    found = find_runway(purse, pace, now, "UTC")
    assert (purse.remaining, purse.overdraft) == (before, overdraft)
    return found


def lasting(day: str) -> Lasting:
    ends = date.fromisoformat(day)
    return Lasting((ends - TODAY).days, ends)


def test_grants_go_first_and_topped_up_credits_last_until_the_balance_does() -> None:
    left = {a_credit(TOPPED_UP, 1): usd("10.00"), a_credit(GRANTED, 2): usd("5.00")}
    found = runway(left, 0, a_pace("2.00"))
    # 2 a day: 4 by the end of March 11, the fifth is gone on March 12, the fifteenth on March 17.
    assert found == Runway(lasting("2025-03-12"), lasting("2025-03-17"), lasting("2025-03-17"), 0)


def test_a_day_that_the_balance_covers_to_the_cent_is_covered() -> None:
    found = runway({a_credit(TOPPED_UP): usd("4.00")}, 0, a_pace("2.00"))
    assert (found.topped_up, found.total) == (lasting("2025-03-11"), lasting("2025-03-12"))


def test_of_today_only_what_is_left_of_it_is_spent() -> None:
    found = runway({a_credit(TOPPED_UP): usd("2.50")}, 0, a_pace("2.00"), at("2025-03-10T18:00:00Z"))
    assert found.total == lasting("2025-03-12")  # 0.50 today, 2.00 tomorrow


def test_a_grant_that_expires_leaves_what_it_had() -> None:
    """2 a day from 100 until noon of March 12: 5 are spent, 95 expire, and the 3 that were topped up last two days."""
    left = {a_credit(GRANTED, 1, ends="2025-03-12T12:00:00Z"): usd("100.00"), a_credit(TOPPED_UP, 2): usd("3.50")}
    found = runway(left, 0, a_pace("2.00"))
    assert found == Runway(lasting("2025-03-12"), lasting("2025-03-14"), lasting("2025-03-14"), usd("95.00"))


def test_the_grant_that_expires_first_is_spent_first() -> None:
    left = {
        a_credit(GRANTED, 1, ends="2025-06-01T00:00:00Z"): usd("4.00"),
        a_credit(GRANTED, 2, ends="2025-03-12T00:00:00Z"): usd("4.00"),
    }
    found = runway(left, 0, a_pace("2.00"))
    assert (found.granted, found.expires) == (lasting("2025-03-13"), 0)


def test_a_credit_to_come_counts_from_its_start() -> None:
    """Nothing is left on March 11; from March 12 on a grant pays again, and lasts until March 16."""
    left = {a_credit(TOPPED_UP, 1): usd("2.00"), a_credit(GRANTED, 2, "2025-03-12T00:00:00Z"): usd("9.00")}
    found = runway(left, 0, a_pace("2.00"))
    assert found == Runway(lasting("2025-03-16"), lasting("2025-03-10"), lasting("2025-03-11"), 0)


def test_an_overdraft_is_paid_by_what_is_topped_up_and_never_by_a_grant() -> None:
    left = {a_credit(GRANTED, 1): usd("4.00"), a_credit(TOPPED_UP, 2, "2025-03-11T00:00:00Z"): usd("9.00")}
    found = runway(left, usd("5.00"), a_pace("2.00"))
    assert found == Runway(lasting("2025-03-11"), lasting("2025-03-13"), lasting("2025-03-14"), 0)


def test_weekends_that_spend_nothing_take_nothing() -> None:
    weekdays = (1.4, 1.4, 1.4, 1.4, 1.4, 0.0, 0.0)
    found = runway({a_credit(TOPPED_UP): usd("7.00")}, 0, a_pace("1.00", weekdays))
    assert (found.topped_up, found.total) == (lasting("2025-03-14"), lasting("2025-03-17"))


def test_beyond_a_year_it_is_only_said_that_it_lasts() -> None:
    found = runway({a_credit(TOPPED_UP): usd("1000.00")}, 0, a_pace("0.10"))
    assert found == Runway(lasting("2025-03-10"), BEYOND, BEYOND, 0)


def test_where_nothing_is_spent_there_are_no_days_and_grants_expire_all_the_same() -> None:
    left = {a_credit(GRANTED, 1, ends="2025-04-01T00:00:00Z"): usd("5.00"), a_credit(TOPPED_UP, 2): usd("5.00")}
    nothing = Lasting(None, None)
    assert runway(left, 0, a_pace("0.00")) == Runway(nothing, nothing, nothing, usd("5.00"))


def test_what_has_expired_by_now_is_nothing() -> None:
    left = {a_credit(GRANTED, 1, ends="2025-03-10T00:00:00Z"): usd("5.00"), a_credit(TOPPED_UP, 2): usd("2.00")}
    found = runway(left, 0, a_pace("1.50"))
    assert found == Runway(lasting("2025-03-10"), lasting("2025-03-11"), lasting("2025-03-11"), 0)


@given(
    granted=st.integers(0, 10**15),
    topped_up=st.integers(1, 10**15),
    daily=st.integers(10**12, 10**13),
    week=st.lists(st.integers(0, 3), min_size=7, max_size=7).filter(any),
)
def test_without_expiry_the_days_are_those_of_a_running_sum(
    granted: int, topped_up: int, daily: int, week: list[int]
) -> None:
    pace = Pace(TODAY, float(daily), 0.0, tuple(map(float, week)), 0.0, 28)
    found = runway({a_credit(GRANTED, 1): granted, a_credit(TOPPED_UP, 2): topped_up}, 0, pace)

    sums, spent = [], 0
    for number in range(HORIZON):
        spent += daily * week[(TODAY + timedelta(days=number)).weekday()]
        sums.append(spent)
    assert found.granted.days == next((day for day, spent in enumerate(sums) if spent >= granted), HORIZON)
    assert found.topped_up.days == next((d for d, spent in enumerate(sums) if spent >= granted + topped_up), HORIZON)
    assert found.total.days == next((d for d, spent in enumerate(sums) if spent > granted + topped_up), HORIZON)
