"""Between the caller, who must not wait, and the database, which may be slow or gone."""

from __future__ import annotations

import logging
import threading
import time
from queue import Empty, SimpleQueue
from typing import NamedTuple

from costmeter.recorder import processes
from costmeter.recorder.delivery import FIRST_PAUSE, Deliver, Record, deliver_surely

logger = logging.getLogger("costmeter.recorder")

LINGER = 0.05  # seconds in which records gather into one batch, unless somebody waits for them


class Counts(NamedTuple):
    """What became of the records of a spool: recorded = delivered + waiting; dropped ones are none of these."""

    recorded: int
    delivered: int
    waiting: int
    dropped: int


class Spool:
    """Keeps records in memory until `deliver` has stored them, in order, at least once.

    `append` neither blocks nor raises, and may be called from a finalizer. One daemon thread delivers.
    """

    def __init__(self, deliver: Deliver, *, capacity: int = 100_000, batch: int = 1_000) -> None:
        self._deliver = deliver
        self._capacity = capacity
        self._batch = batch
        self.start_afresh()
        processes.register(self)

    def start_afresh(self) -> None:
        """Forgets everything, as a forked child must: what waited is its parent's, and its thread is not there."""
        self._queue: SimpleQueue[Record | threading.Event] = SimpleQueue()  # its put may interrupt itself
        self._lock = threading.RLock()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._in_hand: list[Record] = []
        self._waiters = self._marks = self._taken = self._delivered = self._dropped = 0
        self._is_stopping = False

    def append(self, record: Record) -> None:
        """Takes a record; when the spool is full the record is dropped, counted and reported."""
        try:
            if self._queue.qsize() + len(self._in_hand) >= self._capacity:
                self._drop()
                return
            self._queue.put(record)
            if self._thread is None:
                self._start()
        except Exception:
            logger.exception("the spool failed")

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Waits until everything appended so far is delivered; False when that took too long."""
        if threading.current_thread() is self._thread:
            return False  # inside `deliver`: it would wait for itself
        if self._thread is None and not self._in_hand and self._queue.empty():
            return True
        with self._lock:
            self._waiters += 1
        try:
            mark = self._mark()
            self._start()
            return mark.wait(timeout)
        except RuntimeError:
            logger.exception("the spool has no thread")
            return False
        finally:
            with self._lock:
                self._waiters -= 1
            self._calm_down()

    def close(self, timeout: float | None = 5.0) -> bool:
        """Flushes and ends the thread; a record that comes later starts it again."""
        began = time.monotonic()
        is_flushed = self.flush(timeout)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._is_stopping = True
            self._mark()
            thread.join(None if timeout is None else max(2 * FIRST_PAUSE, timeout - (time.monotonic() - began)))
            self._calm_down()
        if not is_flushed:
            logger.error("%d records were not delivered", self.counts.waiting)
        return is_flushed

    @property
    def counts(self) -> Counts:
        """What became of the records so far."""
        waiting = max(0, self._queue.qsize() - self._marks) + self._taken - self._delivered
        return Counts(self._delivered + waiting, self._delivered, waiting, self._dropped)

    def _mark(self) -> threading.Event:
        """A place in the queue that tells when everything before it is delivered, and makes the thread hurry."""
        mark = threading.Event()
        with self._lock:
            self._marks += 1
        self._queue.put(mark)
        self._hurry.set()
        return mark

    def _calm_down(self) -> None:
        with self._lock:
            if not self._waiters:
                self._hurry.clear()

    def _drop(self) -> None:
        with self._lock:
            self._dropped += 1
            dropped = self._dropped
        if dropped & (dropped - 1) == 0:  # at 1, 2, 4, 8 ...: loud, but no flood
            logger.error("the spool is full (%d records): %d dropped so far", self._capacity, dropped)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._is_stopping = False
            self._thread = threading.Thread(target=self._ship, name="costmeter-spool", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no more threads: the next record tries again
                self._thread = None
                raise
        processes.flush_at_worker_exit(self)

    def _ship(self) -> None:
        while not self._is_stopping:
            marks = self._take()
            if self._in_hand and not deliver_surely(self._deliver, self._in_hand, self._pause):
                break
            self._delivered += len(self._in_hand)
            self._in_hand = []
            for mark in marks:
                mark.set()
        self._thread = None

    def _take(self) -> list[threading.Event]:
        """Fills the hand up to a batch or to the first mark; what was in it from before comes first."""
        if self._in_hand:
            return []
        entry: Record | threading.Event | None = self._queue.get()
        if not isinstance(entry, threading.Event) and self._queue.qsize() < self._batch - 1:
            self._hurry.wait(LINGER)
        while entry is not None:
            if isinstance(entry, threading.Event):
                with self._lock:
                    self._marks -= 1
                return [entry]
            self._in_hand.append(entry)
            self._taken += 1
            entry = self._next() if len(self._in_hand) < self._batch else None
        return []

    def _next(self) -> Record | threading.Event | None:
        try:
            return self._queue.get_nowait()
        except Empty:
            return None

    def _pause(self, seconds: float) -> bool:
        """Waits before the next attempt, shortly where somebody waits for it; False when the thread is to end."""
        if self._hurry.is_set():
            time.sleep(FIRST_PAUSE)
        else:
            self._hurry.wait(seconds)
        return not self._is_stopping
