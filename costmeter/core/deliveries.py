"""A notice's way through a channel: what a channel is, how it says no, and when it is tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from costmeter.core.notices import Message

WAITING, ACCEPTED, GIVEN_UP = "waiting", "accepted", "given_up"
STATES = (WAITING, ACCEPTED, GIVEN_UP)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=6)
MOST_ASKED_FOR = timedelta(days=1)  # of what a receiver may ask to be left alone for
MOST_ATTEMPTS = 24  # with these pauses: two to three days


class Channel(Protocol):
    """Where notices are told. Threads may share one. Its kind is that of its table in the file of channels."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    def send(self, message: Message) -> None:
        """Returns once the receiver has the message in its hands; else raises RefusedError or UnreachableError.

        A message that is sent again has the same id, by which a receiver knows it.
        """
        ...


def pause_after(attempts: int, chance: float, asked_for: timedelta | None = None) -> timedelta:
    """How long to wait after so many attempts: twice as long each time, from 5 seconds to 6 hours.

    `chance`, from 0 to 1, takes up to half of it away, so that what failed together does not come again together. What
    the receiver asks for is heard, up to a day.
    """
    doubled: timedelta = FIRST_PAUSE * 2 ** min(attempts - 1, 20)
    pause = min(doubled, LONGEST_PAUSE) * (1 - chance / 2)
    return pause if asked_for is None else max(pause, min(asked_for, MOST_ASKED_FOR))


def is_last(attempts: int) -> bool:
    """Whether a delivery that failed so often is given up."""
    return attempts >= MOST_ATTEMPTS
