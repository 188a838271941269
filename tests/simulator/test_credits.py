"""Which credit pays for what, as properties of the books alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from costmeter.simulator.credits import Credits

START = datetime(2025, 3, 1, tzinfo=UTC)
AMOUNTS = st.integers(1, 10**15)
OFFSETS = st.integers(1, 10)
GRANTS = st.lists(st.tuples(AMOUNTS, st.none() | OFFSETS), max_size=5)
CHARGES = st.lists(st.tuples(AMOUNTS, st.integers(0, 12)), max_size=8).map(
    lambda pairs: sorted(pairs, key=lambda p: p[1])
)


def opened(grants: list[tuple[int, int | None]], top_ups: list[int]) -> Credits:
    credits = Credits()
    for amount, offset in grants:
        credits.grant(amount, None if offset is None else START + timedelta(hours=offset))
    for amount in top_ups:
        credits.top_up(amount)
    return credits


@given(GRANTS, st.lists(AMOUNTS, max_size=4), CHARGES)
def test_no_money_appears_or_disappears_and_grants_go_first(
    grants: list[tuple[int, int | None]], top_ups: list[int], charges: list[tuple[int, int]]
) -> None:
    credits = opened(grants, top_ups)
    for amount, hour in charges:
        at = START + timedelta(hours=hour)
        before = credits.balance(at)
        split = credits.spend(amount, at)
        after = credits.balance(at)

        assert split.granted + split.topped_up + split.overdraft == amount
        assert split.granted == min(amount, before.granted)
        assert split.topped_up == min(amount - split.granted, max(before.topped_up, 0))
        assert after.granted == before.granted - split.granted
        assert after.total == before.total - amount


@given(GRANTS, st.lists(AMOUNTS, max_size=4), AMOUNTS, AMOUNTS)
def test_a_top_up_repays_first_and_a_grant_never_does(
    grants: list[tuple[int, int | None]], top_ups: list[int], amount: int, incoming: int
) -> None:
    credits = opened(grants, top_ups)
    credits.spend(amount, START)
    before = credits.balance(START)

    credits.grant(incoming, None)
    assert credits.balance(START).topped_up == before.topped_up
    credits.top_up(incoming)
    assert credits.balance(START).topped_up == before.topped_up + incoming


def test_the_grant_that_expires_first_pays_first_whatever_came_first() -> None:
    credits = opened([(5, None), (5, 3), (5, 1)], [])

    assert credits.spend(7, START).granted == 7

    assert credits.balance(START + timedelta(hours=1)).granted == 8  # What was left of the second, and the third.
    assert credits.balance(START + timedelta(hours=3)).granted == 5


def test_a_grant_is_gone_at_the_instant_of_its_expiry() -> None:
    credits = opened([(5, 1)], [])
    expiry = START + timedelta(hours=1)

    assert credits.balance(expiry - timedelta(microseconds=1)).granted == 5
    assert credits.spend(5, expiry).overdraft == 5
