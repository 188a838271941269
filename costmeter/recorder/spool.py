"""Between the caller, who must not wait, and the database, which may be slow or gone.

What the caller's thread hands over is in the operating system's hands at once, in the lane of its process
(`lane.py`), and in memory only where there is no lane or no space. One daemon thread delivers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from costmeter.recorder import lane as lanes
from costmeter.recorder import processes
from costmeter.recorder.delivery import FIRST_PAUSE, Deliver
from costmeter.recorder.draft import decode
from costmeter.recorder.lane import INTENT, Lane
from costmeter.recorder.shipper import Shipper

logger = logging.getLogger("costmeter.recorder")

LIMIT = 1 << 30  # bytes that a spool folder may take
CAPACITY = 10_000  # records that are kept in memory where they cannot be written
TALK = 60.0  # seconds between two lines in the log that say what became of the records
REOPEN = 30.0  # seconds before a folder that could not be written is tried again


class Counts(NamedTuple):
    """What became of the records of a spool: recorded = delivered + waiting; dropped ones are none of these."""

    recorded: int
    delivered: int
    waiting: int
    dropped: int


class Spool:
    """Keeps records until `deliver` has stored them, in order, at least once.

    `begin` and `append` neither block nor raise, take no lock that a finalizer could find held, and may be called from
    one. Without a folder, records are in memory only.
    """

    def __init__(
        self,
        deliver: Deliver,
        *,
        folder: Path | None = None,
        limit: int = LIMIT,
        sync: bool = False,
        capacity: int = CAPACITY,
        batch: int = 1_000,
    ) -> None:
        self.folder = folder
        self._deliver = deliver
        self.limit = limit
        self._sync = sync
        self._capacity = capacity
        self._batch = batch
        self.start_afresh()
        processes.register(self)

    def start_afresh(self) -> None:
        """Begins empty, as a forked child must: what waited is its parent's, and so is the lane."""
        self._lock = threading.RLock()
        self._lane: Lane | None = None
        self._open_again_at = 0.0
        self._is_opening = False
        self._is_in_trouble = False
        self._memory: deque[tuple[bytes, bool]] = deque()  # drafts, and whether a kill would lose their call
        # Threads and finalizers count at once: appending to a list is one step, adding to a number is not.
        self._unkept: list[None] = []
        self._dropped: list[None] = []
        self._bell: SimpleQueue[None] = SimpleQueue()  # its put may interrupt itself
        self._is_rung = False
        self._waiters = 0
        self._talk_at = time.monotonic() + TALK
        self._thread: threading.Thread | None = None
        self._shipper = Shipper(self._deliver, self._memory, folder=self.folder, batch=self._batch, limit=self.limit)

    def close_in_child(self) -> None:
        """Lets a forked child's copy of the lane go."""
        self._shipper.close_in_child()

    def start(self) -> None:
        """Looks for what dead processes left without waiting for a record of this one."""
        try:
            self._start()
        except RuntimeError:
            logger.exception("the spool has no thread")

    def begin(self, intent: bytes) -> bool:
        """Writes down that a call is about to be sent; whether that is in the operating system's hands."""
        try:
            lane = self._lane or self._open_lane()
            return lane is not None and lane.write(b"%b%b}" % (INTENT, intent))
        except Exception:
            logger.exception("the spool failed")
            return False

    def append(self, draft: bytes, *, is_begun: bool = False) -> None:
        """Takes the draft of a call that ended; `is_begun` where its intent was written.

        Where it can be neither written nor kept in memory it is dropped, counted and reported; a call with an intent
        then ends as unmetered.
        """
        try:
            lane = self._lane or self._open_lane()
            if lane is None or not lane.write(draft):
                self._keep_in_memory(draft, is_begun, lane)
            elif self._is_in_trouble:
                self._is_in_trouble = False
                logger.warning("the spool folder %s is written again", self.folder)
            if not self._is_rung:
                self._is_rung = True
                self._bell.put(None)
            if self._thread is None:
                self._start()
        except Exception:
            logger.exception("the spool failed")

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Waits until everything appended so far is delivered; False when that took too long."""
        if threading.current_thread() is self._thread:
            return False  # inside `deliver`: it would wait for itself
        if self._thread is None and not self.counts.waiting:
            return True
        with self._lock:
            self._waiters += 1
        try:
            self._start()
            return self._shipper.wait(timeout, ring=lambda: self._bell.put(None))
        except RuntimeError:
            logger.exception("the spool has no thread")
            return False
        finally:
            with self._lock:
                self._waiters -= 1
                if not self._waiters:
                    self._shipper.hurry.clear()

    def close(self, timeout: float | None = 5.0) -> bool:
        """Flushes, ends the thread and removes the lane; a record that comes later starts it all again."""
        began = time.monotonic()
        is_flushed = self.flush(timeout)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._shipper.is_stopping = True
            self._shipper.hurry.set()
            self._bell.put(None)
            thread.join(None if timeout is None else max(2 * FIRST_PAUSE, timeout - (time.monotonic() - began)))
            self._shipper.hurry.clear()
        if is_flushed and self._thread is None:
            self._leave_lane()
        elif not is_flushed:
            logger.error("%d records were not delivered%s", self.counts.waiting, self._where())
        return is_flushed

    def disconnect(self) -> None:
        """Lets go of what it delivers to, once closed: a connection that is merely forgotten would be a warning."""
        if self._thread is None:
            getattr(self._deliver, "close", bool)()

    @property
    def counts(self) -> Counts:
        """What became of the records so far; reads the lane."""
        delivered, waiting = self._shipper.counts()
        return Counts(delivered + waiting, delivered, waiting, len(self._dropped))

    @property
    def size(self) -> int:
        """The bytes that its folder takes, of all processes; it is full at `limit`."""
        return 0 if self.folder is None else lanes.size(self.folder)

    def _where(self) -> str:
        return "" if self._lane is None else f"; they wait in {self._lane.folder} for the next process that records"

    def _open_lane(self) -> Lane | None:
        if self.folder is None or time.monotonic() < self._open_again_at:
            return None
        with self._lock:
            if self._lane is not None or self._is_opening:
                return self._lane
            self._is_opening = True  # a finalizer that comes meanwhile finds the lock its own
            try:
                lane = Lane.open(self.folder, sync=self._sync)
                self._shipper.follow(lane, lambda: len(self._unkept) - self._shipper.rescued)
                self._lane = lane
            except OSError as error:
                self._open_again_at = time.monotonic() + REOPEN
                remedy = f"records are in memory only, at most {self._capacity}, and lost if the process is killed"
                logger.error("the spool folder %s cannot be written (%s): %s", self.folder, error, remedy)
            finally:
                self._is_opening = False
            return self._lane

    def _leave_lane(self) -> None:
        with self._lock:
            lane, self._lane = self._lane, None
            if lane is not None and not self._shipper.leave():
                logger.info("calls are still on their way: %s is left to the next process", lane.folder)

    def _keep_in_memory(self, draft: bytes, is_begun: bool, lane: Lane | None) -> None:
        is_unkept = lane is not None and not is_begun
        if is_unkept:
            self._unkept.append(None)
        if len(self._memory) + self._shipper.in_hand < self._capacity:
            self._memory.append((draft, is_unkept))
            self._complain(lane)
        elif is_begun:
            started_at = decode(draft)["intent"]["started_at"]
            logger.error("the spool is full: a call begun at %s becomes unmetered", started_at)
        else:
            self._dropped.append(None)
            dropped = len(self._dropped)
            if dropped & (dropped - 1) == 0:  # at 1, 2, 4, 8 ...: loud, but no flood
                logger.error("the spool is full (%d records): %d dropped so far", self._capacity, dropped)
        self._shipper.note()

    def _complain(self, lane: Lane | None) -> None:
        if lane is not None and not self._is_in_trouble:
            self._is_in_trouble = True
            remedy = f"records are in memory, at most {self._capacity}, until there is space again"
            logger.error("%s cannot be written (no space, or more than %d bytes): %s", lane.folder, self.limit, remedy)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._shipper.is_stopping = False
            self._thread = threading.Thread(target=self._ship, name="costmeter-spool", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no more threads: the next record tries again
                self._thread = None
                raise
        processes.close_at_worker_exit(self)

    def _ship(self) -> None:
        shipper = self._shipper
        while not shipper.is_stopping and shipper.listen(self._bell):
            self._is_rung = False  # before the lane is read: a record that comes later rings again
            try:
                if not shipper.cycle():
                    break
                self._talk()
                if shipper.has_lost_its_lane:
                    logger.error("somebody removed the spool's files in %s; they are made anew", self.folder)
                    self._leave_lane()
            except Exception:
                logger.exception("the spool's thread failed; it tries again")
                shipper.hurry.wait(1)
        self._thread = None

    def _talk(self) -> None:
        if time.monotonic() >= self._talk_at:
            self._talk_at = time.monotonic() + TALK
            logger.info("%d calls recorded: %d delivered, %d waiting, %d dropped", *self.counts)
