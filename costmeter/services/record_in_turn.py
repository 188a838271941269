"""Record in turn: requests that come at the same time share one transaction, since a commit costs more than a call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Engine

from costmeter.core.price_book import PriceBook
from costmeter.services.record_calls import Received, Tally, record_together
from costmeter.store.accounts import Home

MOST = 5_000  # calls of one transaction


class _Waiting:
    """A request that waits for its transaction, and what came of it."""

    def __init__(self, received: Sequence[Received]) -> None:
        self.received = received
        self.tally: Tally | None = None
        self.error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.tally is not None or self.error is not None


class Recorder:
    """Records what threads hand in; each returns when its own is committed.

    While one transaction runs, those that come meanwhile gather; the next of them takes all in the next one.
    """

    def __init__(
        self, engine: Engine, book: PriceBook, home: Home, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine, self._book, self._home, self._now = engine, book, home, now
        self._gathered: list[_Waiting] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def record(self, received: Sequence[Received]) -> Tally:
        """What became of these, committed; raises what kept them from being recorded."""
        own = _Waiting(received)
        with self._lock:
            self._gathered.append(own)
        while not own.is_done:
            with self._turn:
                if not own.is_done:
                    self._record(self._take())
        if own.error is not None:
            raise own.error
        assert own.tally is not None
        return own.tally

    def _take(self) -> list[_Waiting]:
        """Those that have waited longest, as many as one transaction should have."""
        with self._lock:
            taken, count = 0, 0
            for waiting in self._gathered:
                if taken and count + len(waiting.received) > MOST:
                    break
                taken, count = taken + 1, count + len(waiting.received)
            batch, self._gathered = self._gathered[:taken], self._gathered[taken:]
        return batch

    def _record(self, batch: Sequence[_Waiting]) -> None:
        try:
            requests = [waiting.received for waiting in batch]
            tallies = record_together(self._engine, requests, now=self._now(), book=self._book, home=self._home)
        except BaseException as error:  # noqa: BLE001 - whoever waits must be told; one of several may have spoilt it for all
            if len(batch) == 1 or not isinstance(error, Exception):
                for waiting in batch:
                    waiting.error = error
                return
            for waiting in batch:
                self._record([waiting])
            return
        for waiting, tally in zip(batch, tallies, strict=True):
            waiting.tally = tally
