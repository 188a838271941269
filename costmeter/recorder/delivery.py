"""Bringing records to where they are kept, again and again until they are there."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("costmeter.recorder")

Record = dict[str, Any]
Deliver = Callable[[list[Record]], None]

FIRST_PAUSE = 0.1  # seconds after the first failure; doubled after each further one
LONGEST_PAUSE = 30.0


def deliver_surely(deliver: Deliver, records: list[Record], pause: Callable[[float], bool]) -> bool:
    """Delivers, with growing pauses between attempts; False once `pause` says that the time is up.

    An outage is one line in the log when it begins and one when it ends, however long it lasts.
    """
    seconds = FIRST_PAUSE
    failures = 0
    while True:
        try:
            deliver(list(records))
        except BaseException:  # whatever it is, the records are kept and tried again
            failures += 1
            if failures == 1:
                logger.exception("%d records cannot be delivered yet; they are kept and tried again", len(records))
        else:
            if failures:
                logger.warning("records are delivered again after %d failures", failures)
            return True
        if not pause(seconds):
            return False
        seconds = min(2 * seconds, LONGEST_PAUSE)


class OpenInEachProcess:
    """Opens at the first delivery, so that a program starts without its database, and anew in a forked child."""

    def __init__(self, open_deliver: Callable[[], Deliver]) -> None:
        self._open = open_deliver
        self._opened: dict[int, Deliver] = {}

    def __call__(self, records: list[Record]) -> None:
        process = os.getpid()
        if process not in self._opened:
            self._opened[process] = self._open()
        self._opened[process](records)

    def close(self) -> None:
        """Closes what this process opened, if it can be closed; the next delivery opens it again."""
        opened = self._opened.pop(os.getpid(), None)
        getattr(opened, "close", bool)()
