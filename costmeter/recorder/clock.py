"""The clock of a recorder: the host's, unless a test or the demo brings its own."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A wall clock and a monotonic one; a call's completion is the first at its start plus what the second counted."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""

    def monotonic(self) -> float:
        """Seconds from some origin, never less than before."""


class HostClock:
    """The clocks of this machine."""

    now = staticmethod(functools.partial(datetime.now, UTC))
    monotonic = staticmethod(time.monotonic)
