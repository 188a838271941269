"""A clock that several processes share and the test puts: by it they read what is due, and the timer waits."""

from __future__ import annotations

import mmap
import struct
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from apscheduler.schedulers import base
from apscheduler.triggers import date

_SECONDS = struct.Struct("d")


class SteppedClock:
    """The machine's clock and an offset; made before the processes fork, it is put in all of them at once."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _SECONDS.size)

    @property
    def offset(self) -> timedelta:
        return timedelta(seconds=_SECONDS.unpack(self._shared[: _SECONDS.size])[0])

    def put(self, by: timedelta) -> None:
        """Put the clock forwards, or back."""
        self._shared[: _SECONDS.size] = _SECONDS.pack((self.offset + by).total_seconds())

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def rule_the_timer(self) -> None:
        """Let APScheduler read this clock too, in this process: these are where it asks for the time."""
        clock = self

        class Put(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.now(tz) + clock.offset

        for asks in (base, date):
            asks.datetime = Put
