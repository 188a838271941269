"""Clocks. Whoever records calls to the simulator takes the same one, so that both name the same completion instant."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from costmeter.simulator.errors import BadInputError

STILL = timedelta(0)


class Clock(Protocol):
    """What the simulator asks of a clock."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""

    def monotonic(self) -> float:
        """Seconds from some origin, never less than before."""


class HostClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class SimulatorClock:
    """A clock that stands still until it is told to move, from any thread."""

    def __init__(self, start: datetime) -> None:
        self._lock = threading.Lock()
        self._now = _in_utc(start)
        self._elapsed = STILL

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        with self._lock:
            return self._elapsed.total_seconds()

    def advance(self, by: timedelta) -> datetime:
        """Time passes: the wall clock and the monotonic one move together. Returns the new instant."""
        if by < STILL:
            raise BadInputError("advance", by.total_seconds(), "time passes forwards; set the clock to go back")
        with self._lock:
            return self._move(by)

    def set(self, instant: datetime) -> datetime:
        """The wall clock is put right. Forwards the monotonic clock comes along; backwards it stays."""
        with self._lock:
            return self._move(_in_utc(instant) - self._now)

    def _move(self, by: timedelta) -> datetime:
        try:
            self._now += by
        except OverflowError:
            raise BadInputError("clock", by.total_seconds(), "choose an instant before the year 10000") from None
        self._elapsed += max(by, STILL)
        return self._now


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise BadInputError("instant", instant.isoformat(), "give it a time zone")
    return instant.astimezone(UTC)
