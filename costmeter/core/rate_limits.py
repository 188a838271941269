"""How many calls a key may make: in any minute, and at once."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from costmeter.core.errors import InputError

MINUTE = 60.0
MOST = 100_000  # of either limit: each call of the last minute is remembered
RETRY_AT_ONCE = 1  # seconds after which one of the calls on their way may have ended; nobody knows


class Limits(NamedTuple):
    """How many calls may begin in any 60 seconds, and how many may be on their way at once; None: any number."""

    calls_per_minute: int | None = None
    calls_at_once: int | None = None

    def over(self, below: Limits) -> Limits:
        """These limits, and the others where these say nothing."""
        return Limits(
            below.calls_per_minute if self.calls_per_minute is None else self.calls_per_minute,
            below.calls_at_once if self.calls_at_once is None else self.calls_at_once,
        )


NO_LIMITS = Limits()


class Excess(NamedTuple):
    """A call that would pass a limit: which one, and the seconds after which it is worth another try, from 1 to 60."""

    said: str
    seconds: int


class Traffic:
    """The calls of one key: when those of the last minute began, and how many are on their way."""

    __slots__ = ("_begun", "under_way")

    def __init__(self) -> None:
        self._begun: deque[float] = deque()  # no more of them than the limit that they were begun under
        self.under_way = 0

    def begin(self, limits: Limits, now: float) -> Excess | None:
        """Counts a call that begins at `now`, in seconds of a clock that never goes back; each has its `end`.

        What it returns is why the call may not begin; then nothing is counted.
        """
        per_minute, at_once = limits
        if at_once is not None and self.under_way >= at_once:
            return Excess(f"{at_once} at once", RETRY_AT_ONCE)
        if per_minute is not None:
            wait = self._wait(per_minute, now)
            if wait > 0:
                return Excess(f"{per_minute} a minute", math.ceil(wait))
            self._begun.append(now)
        self.under_way += 1
        return None

    def end(self) -> None:
        """A call that was begun has ended, however it did."""
        self.under_way -= 1

    def _wait(self, most: int, now: float) -> float:
        """Seconds until there are fewer than `most` calls in the minute before."""
        begun = self._begun
        while begun and now - begun[0] >= MINUTE:
            begun.popleft()
        return 0.0 if len(begun) < most else MINUTE - (now - begun[-most])


def check_limits(calls_per_minute: object, calls_at_once: object) -> Limits:
    """Limits as they are kept: whole numbers from 1 on, or None for any number."""
    return Limits(_checked(calls_per_minute, "calls_per_minute"), _checked(calls_at_once, "calls_at_once"))


def _checked(value: object, field: str) -> int | None:
    if value is not None and (type(value) is not int or not 1 <= value <= MOST):
        raise InputError(field, value, f"write a whole number from 1 to {MOST}; leave it out for any number")
    return value
