"""What the spool's thread does: it reads the lane and the memory and delivers, again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from costmeter.recorder.backlog import Backlog
from costmeter.recorder.delivery import FIRST_PAUSE, Deliver, Record, deliver_surely
from costmeter.recorder.draft import decode
from costmeter.recorder.lane import SEGMENT, START, Lane, Position, size
from costmeter.recorder.leftovers import deliver_leftovers
from costmeter.recorder.record import complete

logger = logging.getLogger("costmeter.recorder")

LINGER = 0.8  # seconds in which records gather into one batch, unless somebody waits for them
SWEEP = 10.0  # seconds after which the spool folder is looked through for what dead processes left


class _Hand(NamedTuple):
    """What is being delivered, and from where it was taken."""

    records: list[Record]
    position: Position | None = None  # of the lane, behind the last record
    unkept: int = 0  # records from memory that a kill would have lost


class Shipper:
    """Delivers what a lane and a deque hold. All but `note`, `wait` and `counts` is for the spool's one thread."""

    def __init__(
        self,
        deliver: Deliver,
        memory: deque[tuple[bytes, bool]],
        *,
        folder: Path | None,
        batch: int,
        limit: int,
    ) -> None:
        self.hurry = threading.Event()
        self.is_stopping = False
        self.rescued = 0  # of the calls that a kill would have lost, those that are delivered
        self._deliver = deliver
        self._memory = memory
        self._folder = folder
        self._batch = batch
        self._limit = limit
        self._lane: Lane | None = None
        self._backlog: Backlog | None = None
        self._unkept: Callable[[], int] = int
        self._position = START  # before which everything of the lane is delivered
        self._hand: _Hand | None = None
        self._delivered = 0
        self._cycles = threading.Condition()
        self._begun = self._done = 0
        self._sweep_at = 0.0

    @property
    def in_hand(self) -> int:
        """How many records from memory are being delivered."""
        hand = self._hand
        return len(hand.records) if hand is not None and hand.position is None else 0

    def follow(self, lane: Lane, unkept: Callable[[], int]) -> None:
        """Delivers from a lane from now on; `unkept` says how many calls a kill would lose."""
        self._unkept = unkept
        self._position = START
        self._backlog = Backlog(lane.folder, open_segment=lane.open_segment, is_over=lane.is_over)
        self._lane = lane
        self._allow()

    def close_in_child(self) -> None:
        """Lets a forked child's copy of the lane go."""
        if self._lane is not None:
            self._lane.close_in_child()

    def leave(self) -> bool:
        """Leaves the lane; whether everything of it was delivered and no call is open."""
        lane, backlog = self._lane, self._backlog
        self._lane = self._backlog = None
        assert lane is not None
        assert backlog is not None
        return not backlog.open and lane.retire()

    @property
    def has_lost_its_lane(self) -> bool:
        """Whether somebody removed the lane."""
        return self._lane is not None and self._lane.is_removed

    def note(self) -> None:
        """Writes down in the lane what is delivered and what is not kept; from any thread, finalizers too."""
        lane = self._lane
        if lane is not None:
            lane.note(self._state_now)

    def _state_now(self) -> tuple[Position, int, int]:
        hand = self._hand
        return self._position, self._unkept(), 0 if hand is None else hand.unkept

    def counts(self) -> tuple[int, int]:
        """How many records are delivered, and how many wait."""
        with self._cycles:
            waiting = len(self._memory) + self.in_hand
            if self._backlog is not None:
                waiting += self._backlog.count_ends(self._position)
            return self._delivered, waiting

    def wait(self, timeout: float | None, *, ring: Callable[[], None]) -> bool:
        """Waits for the end of a cycle that has not begun yet: it delivers everything that was there before."""
        with self._cycles:
            number = self._begun + 1
            self.hurry.set()
            ring()
            return self._cycles.wait_for(lambda: self._done >= number, timeout)

    def listen(self, bell: SimpleQueue[None]) -> bool:
        """Waits until there is something to do, and a little longer for more of it; False when it is to end."""
        if self._hand is None:
            with suppress(Empty):
                bell.get(timeout=None if self._folder is None else max(0.0, self._sweep_at - time.monotonic()))
                self.hurry.wait(LINGER)
                while True:
                    bell.get_nowait()
        return not self.is_stopping

    def cycle(self) -> bool:
        """Delivers everything that is there now; False when the thread is to end first."""
        with self._cycles:
            self._begun += 1
            number = self._begun
        kept = len(self._memory)
        if not (self._deliver_hand() and self._deliver_lane() and self._deliver_memory(kept)):
            return False
        self._tidy()
        with self._cycles:
            self._done = number
            self._cycles.notify_all()
        return self._sweep()

    def _deliver_lane(self) -> bool:
        lane, backlog = self._lane, self._backlog
        if lane is None or backlog is None:
            return True
        end = lane.end()
        while backlog.position < end and (records := backlog.read(self._batch)):
            self._hand = _Hand(records, backlog.position)
            if not self._deliver_hand():
                return False
        if backlog.position != self._position:  # there were only intents
            self._position = backlog.position
            self.note()
        return True

    def _deliver_memory(self, kept: int) -> bool:
        while kept > 0:
            with self._cycles:
                taken = [self._memory.popleft() for _ in range(min(kept, self._batch))]
                records = [complete(decode(draft)) for draft, _ in taken]
                self._hand = _Hand(records, unkept=sum(is_unkept for _, is_unkept in taken))
            kept -= len(taken)
            self.note()
            if not self._deliver_hand():
                return False
        return True

    def _deliver_hand(self) -> bool:
        hand = self._hand
        if hand is None:
            return True
        if not deliver_surely(self._deliver, hand.records, self._pause):
            return False
        with self._cycles:
            self._delivered += len(hand.records)
            self._hand = None
            if hand.position is not None:
                self._position = hand.position
            else:
                self.rescued += hand.unkept
                self._close_intents(hand.records)
        self.note()
        return True

    def _close_intents(self, records: list[Record]) -> None:
        """The ends of these calls never came into the lane: nobody shall take their intents for calls that died."""
        if self._backlog is not None:
            for record in records:
                self._backlog.close_intent(record["event_id"])

    def _tidy(self) -> None:
        lane, backlog = self._lane, self._backlog
        if lane is None or backlog is None:
            return
        try:
            lane.begin_segment_if_full()
            backlog.remove_delivered(self._position)
            if lane.allowance < SEGMENT:
                self._allow()
        except OSError:
            logger.debug("the lane %s could not be tidied", lane.folder, exc_info=True)

    def _allow(self) -> None:
        """Bounds what may be written by what others have in the folder."""
        if self._lane is not None and self._folder is not None:
            self._lane.allowance = self._limit - size(self._folder)

    def _sweep(self) -> bool:
        """Delivers what dead processes left, now and then; False when the thread is to end first."""
        if self._folder is None or time.monotonic() < self._sweep_at:
            return True
        try:
            deliver_leftovers(self._folder, lambda records: deliver_surely(self._deliver, records, self._pause))
            self._allow()
        except OSError:
            logger.warning("the spool folder %s could not be looked through", self._folder, exc_info=True)
        self._sweep_at = time.monotonic() + SWEEP
        return not self.is_stopping

    def _pause(self, seconds: float) -> bool:
        """Waits before the next attempt, shortly where somebody waits for it; False when the thread is to end."""
        if self.hurry.is_set():
            time.sleep(FIRST_PAUSE)
        else:
            self.hurry.wait(seconds)
        return not self.is_stopping
