"""A job: what is done, and at which instants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from costmeter.services.run_job import Done

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Job(NamedTuple):
    """Work that is done every so often, counted from midnight UTC and an offset.

    So every process has the same instants.
    """

    name: str
    what: str
    work: Callable[[], Done]
    every: timedelta
    offset: timedelta = timedelta()

    @property
    def first(self) -> datetime:
        """An instant of the schedule that is long past."""
        return EPOCH + self.offset

    def due(self, now: datetime) -> datetime:
        """The newest instant of the schedule, which is now at the latest."""
        return now - (now - self.first) % self.every
