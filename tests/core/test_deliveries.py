"""Pauses between attempts grow, are bounded, and hear what the receiver asks for."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.deliveries import FIRST_PAUSE, LONGEST_PAUSE, MOST_ASKED_FOR, MOST_ATTEMPTS, is_last, pause_after

attempts = st.integers(1, 10_000)
chances = st.floats(0, 1)
pauses = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=1_000))


@given(attempts, chances)
def test_a_pause_is_within_its_bounds(number: int, chance: float) -> None:
    assert FIRST_PAUSE / 2 <= pause_after(number, chance) <= LONGEST_PAUSE


@given(attempts, chances, chances)
def test_chance_takes_at_most_half_away(number: int, one: float, other: float) -> None:
    assert pause_after(number, one) * 2 >= pause_after(number, other)


@given(attempts, chances)
def test_no_pause_is_shorter_than_the_one_before(number: int, chance: float) -> None:
    assert pause_after(number, chance) <= pause_after(number + 1, chance)


@given(attempts, chances, pauses)
def test_what_is_asked_for_is_heard_up_to_a_day(number: int, chance: float, asked: timedelta) -> None:
    pause = pause_after(number, chance, asked)
    assert pause == max(pause_after(number, chance), min(asked, MOST_ASKED_FOR))


def test_the_pauses_double_from_five_seconds_to_six_hours() -> None:
    found = [pause_after(number, 0) for number in range(1, MOST_ATTEMPTS)]
    assert found[:3] == [timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=20)]
    assert all(after == min(2 * before, LONGEST_PAUSE) for before, after in pairwise(found))
    assert found[-1] == LONGEST_PAUSE


def test_all_attempts_together_take_two_to_three_days() -> None:
    numbers = range(1, MOST_ATTEMPTS)
    longest, shortest = (sum((pause_after(number, chance) for number in numbers), timedelta()) for chance in (0, 1))
    assert timedelta(days=1) < shortest < longest < timedelta(days=3, hours=6)
    assert [is_last(number) for number in (1, MOST_ATTEMPTS - 1, MOST_ATTEMPTS)] == [False, False, True]
