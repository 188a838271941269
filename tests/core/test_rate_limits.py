"""Never more than the limit in any 60 seconds, nor at once; and no more is refused than that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.errors import InputError
from costmeter.core.rate_limits import MOST, NO_LIMITS, Excess, Limits, Traffic, check_limits

LIMITS = st.integers(1, 8)
STEPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 90)), min_size=1, max_size=120)


def begun(most: int, steps: list[float]) -> tuple[list[float], list[float]]:
    """The instants at which calls began and at which they were refused, one asked for after each pause."""
    traffic, now = Traffic(), 1000.0
    ours: list[float] = []
    refused: list[float] = []
    for step in steps:
        now += step
        excess = traffic.begin(Limits(most), now)
        (ours if excess is None else refused).append(now)
    return ours, refused


@given(LIMITS, STEPS)
def test_never_more_than_the_limit_in_any_minute(most: int, steps: list[float]) -> None:
    ours, _ = begun(most, steps)
    for at, later in zip(ours, ours[most:], strict=False):
        assert later - at >= 60


@given(LIMITS, STEPS)
def test_a_call_is_refused_only_where_the_minute_before_it_is_full(most: int, steps: list[float]) -> None:
    ours, refused = begun(most, steps)
    for at in refused:
        assert sum(1 for one in ours if one <= at and at - one < 60) == most


@given(LIMITS, STEPS, st.integers(1, 8))
def test_it_holds_however_the_limit_is_changed_meanwhile(most: int, steps: list[float], other: int) -> None:
    traffic, now, ours = Traffic(), 0.0, list[float]()
    for number, step in enumerate(steps):
        now += step
        limit = other if number % 7 > 3 else most
        if traffic.begin(Limits(limit), now) is None:
            ours.append(now)
            assert sum(1 for one in ours if now - one < 60) <= limit


@given(LIMITS, st.floats(0, 59))
def test_who_waits_as_long_as_he_is_told_is_let_in(most: int, later: float) -> None:
    traffic = Traffic()
    for _ in range(most):
        assert traffic.begin(Limits(most), 5.0) is None
    excess = traffic.begin(Limits(most), 5.0 + later)
    assert excess is not None
    assert 1 <= excess.seconds <= 60
    assert traffic.begin(Limits(most), 5.0 + later + excess.seconds) is None


def test_a_clock_that_stands_still_lets_no_more_in() -> None:
    traffic = Traffic()
    answers = [traffic.begin(Limits(3), 7.0) for _ in range(10)]
    assert answers == [None] * 3 + [Excess("3 a minute", 60)] * 7
    assert traffic.begin(Limits(3), 67.0) is None


@given(LIMITS, st.lists(st.booleans(), max_size=60))
def test_at_once_there_are_as_many_as_began_and_have_not_ended(most: int, steps: list[bool]) -> None:
    traffic, under_way = Traffic(), 0
    for begins in steps:
        if begins:
            excess = traffic.begin(Limits(None, most), 0.0)
            assert (excess is None) == (under_way < most)
            under_way += excess is None
        elif under_way:
            traffic.end()
            under_way -= 1
        assert traffic.under_way == under_way


def test_a_refused_call_counts_for_neither_limit() -> None:
    traffic, limits = Traffic(), Limits(2, 1)
    assert traffic.begin(limits, 0.0) is None
    for _ in range(5):
        assert traffic.begin(limits, 0.0) == Excess("1 at once", 1)
    traffic.end()
    assert traffic.begin(limits, 0.0) is None
    traffic.end()
    assert traffic.begin(limits, 1.5) == Excess("2 a minute", 59)
    assert traffic.under_way == 0


def test_without_limits_all_are_let_in() -> None:
    traffic = Traffic()
    assert {traffic.begin(NO_LIMITS, 0.0) for _ in range(1000)} == {None}


def test_own_limits_go_over_those_of_all() -> None:
    assert Limits(None, 3).over(Limits(60, 8)) == Limits(60, 3)
    assert NO_LIMITS.over(NO_LIMITS) == NO_LIMITS


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "5", MOST + 1])
@pytest.mark.parametrize("field", Limits._fields)
def test_a_limit_is_a_whole_number_from_one_on(field: str, value: object) -> None:
    asked = {name: value if name == field else None for name in Limits._fields}
    with pytest.raises(InputError, match=f"{field} .*: write a whole number from 1 to 100000; leave it out"):
        check_limits(**asked)
    assert check_limits(MOST, 1) == Limits(MOST, 1)
