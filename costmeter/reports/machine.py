"""What a process of the service knows of itself and of its machine, beside the books: whoever starts it fills it in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple


class Planned(NamedTuple):
    """A job of the schedule: what it does, and when it is due next."""

    job: str
    what: str
    next_due: datetime


class Posting(NamedTuple):
    """The poster of this process: whether it lives, and since when it fails."""

    is_alive: bool
    failing_since: datetime | None


class Lane(NamedTuple):
    """A lane of the spool: whose it is, whether that process lives, and the bytes that it takes."""

    process: int
    host: str
    is_alive: bool
    bytes: int


class Spooled(NamedTuple):
    """The spool of this machine: bytes that it takes, may take and finds free, its lanes, and the calls lost by others.

    `lost` are those of processes that are over and could not keep every call.
    """

    folder: str
    bytes: int
    limit: int
    free: int
    lanes: Sequence[Lane]
    lost: int


class Passing(NamedTuple):
    """The gateway that is mounted in this process: where, whom it asks, and what became of the calls it recorded."""

    path: str
    upstream: str
    stops: bool  # whether budgets or balances stop calls
    is_away: bool  # whether the database has not answered it for a while
    recorded: int
    waiting: int
    dropped: int


class Machine(NamedTuple):
    """What there is of a process's own. `plan_error` says why the schedule cannot be told, where it cannot."""

    poster: Posting
    plan: Sequence[Planned] = ()
    plan_error: str | None = None
    spool: Spooled | None = None
    gateway: Passing | None = None
