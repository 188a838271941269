"""What processes that are gone left in the spool folder, and bringing it to where records are kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from costmeter.recorder.backlog import Backlog, Record
from costmeter.recorder.lane import (
    LOST,
    State,
    lane_size,
    lanes,
    open_to_read,
    peek_state,
    remove,
    segments,
    take_over,
)

logger = logging.getLogger("costmeter.recorder")

BATCH = 1_000


class Found(NamedTuple):
    """A lane as somebody else sees it."""

    folder: Path
    state: State
    is_alive: bool
    waiting: int  # calls that ended and are not delivered
    open: int  # calls without an end so far


def survey(spool: Path) -> list[Found]:
    """Every lane of a spool folder, oldest first; changes nothing."""
    found = []
    for folder in lanes(spool):
        lock = take_over(folder)
        state = lock[1] if lock else peek_state(folder)
        if state is not None:
            backlog = _backlog(folder, state)
            waiting = 0
            while records := backlog.read(BATCH):
                waiting += len(records)
            found.append(Found(folder, state, lock is None, waiting, len(backlog.open)))
    return found


class Glance(NamedTuple):
    """A lane as it is seen without reading it: whose it is, whether that process lives, and its bytes."""

    state: State
    is_alive: bool
    bytes: int


def glance(spool: Path) -> list[Glance]:
    """Every lane of a spool folder, oldest first; changes nothing, and takes no longer where much waits."""
    found = []
    for folder in lanes(spool):
        lock = take_over(folder)
        state = lock[1] if lock else peek_state(folder)
        if state is not None:
            found.append(Glance(state, lock is None, lane_size(folder)))
    return found


def losses(spool: Path) -> list[tuple[Path, State]]:
    """The lanes that are over and could not keep every call."""
    found = [(folder, peek_state(folder)) for folder in sorted(spool.glob(f"*{LOST}"))]
    return [(folder, state) for folder, state in found if state is not None]


def deliver_leftovers(spool: Path, deliver: Callable[[list[Record]], bool]) -> int:
    """Delivers what dead processes left, each call once; returns how many records that were.

    A call that was on its way becomes unmetered: process died. Stops where `deliver` says that it cannot; what is left
    stays for the next attempt, and what is delivered twice counts once.
    """
    delivered = 0
    for folder in lanes(spool):
        taken = take_over(folder)
        if taken is None:
            continue
        lock, state = taken  # held until the lane is gone
        backlog = _backlog(folder, state)
        while records := backlog.read(BATCH):
            if not deliver(records):
                return delivered
            delivered += len(records)
        died = backlog.died()
        if died and not deliver(died):
            return delivered
        delivered += len(died)
        _report(state, len(died))
        remove(folder, state)
        del lock
    return delivered


def _backlog(folder: Path, state: State) -> Backlog:
    last = max(segments(folder), default=0)
    return Backlog(
        folder,
        open_segment=partial(open_to_read, folder),
        is_over=lambda segment: segment < last,
        delivered=state.delivered,
    )


def _report(state: State, died: int) -> None:
    if died:
        logger.warning("process %d on %s died with %d calls on their way", state.process, state.host, died)
    if state.unkept:
        logger.error(
            "process %d on %s lost %s calls: its disk or its spool was full", state.process, state.host, state.lost
        )
