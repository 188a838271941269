"""The clock that stands still."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.simulator import BadInputError, HostClock, SimulatorClock

from .asking import NOON

INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
STEPS = st.timedeltas(timedelta(0), timedelta(days=400))


def test_it_stands_still_until_told() -> None:
    clock = SimulatorClock(NOON)

    assert clock.now() == clock.now() == NOON
    assert clock.monotonic() == clock.monotonic()


@given(st.lists(INSTANTS | STEPS, max_size=10))
def test_a_completion_by_the_monotonic_clock_is_the_wall_clock_unless_set_back(
    moves: list[datetime | timedelta],
) -> None:
    clock = SimulatorClock(NOON)
    for move in moves:
        now, origin = clock.now(), clock.monotonic()
        moved = clock.set(move) if isinstance(move, datetime) else clock.advance(move)

        assert moved == clock.now()
        assert clock.monotonic() >= origin
        assert now + timedelta(seconds=clock.monotonic() - origin) == max(now, moved)


def test_any_time_zone_is_turned_into_utc() -> None:
    beijing = timezone(timedelta(hours=8))
    clock = SimulatorClock(datetime(2025, 3, 1, 20, tzinfo=beijing))

    assert clock.now() == NOON
    assert clock.now().tzinfo is UTC
    assert clock.set(datetime(2025, 3, 2, 8, tzinfo=beijing)).isoformat() == "2025-03-02T00:00:00+00:00"


def test_a_naive_instant_and_time_running_backwards_are_refused() -> None:
    with pytest.raises(BadInputError, match="time zone"):
        SimulatorClock(datetime(2025, 3, 1))  # noqa: DTZ001
    with pytest.raises(BadInputError, match="forwards"):
        SimulatorClock(NOON).advance(timedelta(microseconds=-1))
    with pytest.raises(BadInputError, match="year 10000"):
        SimulatorClock(NOON).advance(timedelta(days=10**7))


def test_many_threads_can_move_it() -> None:
    clock = SimulatorClock(NOON)

    def tick() -> None:
        for _ in range(1000):
            clock.advance(timedelta(microseconds=1))

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert clock.now() == NOON + timedelta(microseconds=4000)


def test_the_host_clock_is_the_real_one() -> None:
    clock = HostClock()
    origin = clock.monotonic()

    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.monotonic() >= origin
