"""Keep accounts posted: a thread that posts what waits within a second, whoever recorded it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from sqlalchemy import Engine

from costmeter.core.price_book import PriceBook
from costmeter.services.post_charges import post_accounts
from costmeter.store import events
from costmeter.store.engine import reading

log = logging.getLogger(__name__)
EVERY = 1.0  # seconds between looks at what others recorded
GATHER = 0.05  # seconds in which calls come together before they are posted as one batch
MOST_BACK_OFF = 30.0


class Poster:
    """Posts the accounts that it is told of at once, and those that others left waiting every second.

    A failure is logged and tried again, ever later up to half a minute; what waits is in the database and is not lost.
    """

    def __init__(
        self, engine: Engine, book: PriceBook, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine, self._book, self._now = engine, book, now
        self._touched: set[str] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="costmeter-poster", daemon=True)
        self.failing_since: datetime | None = None

    def start(self) -> None:
        self._thread.start()

    def tell(self, accounts: Collection[str]) -> None:
        """Calls of these accounts were recorded."""
        with self._changed:
            self._touched.update(accounts)
            self._changed.notify()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout: float) -> bool:
        """Post what it was told of, and end; whether it ended in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait, looked = EVERY, -EVERY
        while True:
            touched, stopping = self._wait(wait)
            everywhere = stopping or time.monotonic() - looked >= EVERY
            try:
                self._post(None if everywhere else touched)
                wait, self.failing_since = EVERY, None
            except Exception:  # whatever it was, the next try may go well, and the thread must not end
                log.exception("posting failed; it is tried again")
                self.failing_since = self.failing_since or self._now()
                wait = min(wait * 2, MOST_BACK_OFF)
            if everywhere:
                looked = time.monotonic()
            if stopping:
                return

    def _wait(self, seconds: float) -> tuple[set[str], bool]:
        """The accounts that were touched, after a moment in which more may come."""
        with self._changed:
            if not self._touched and not self._stopping:
                self._changed.wait(seconds)
            if self._touched and not self._stopping:
                self._changed.wait_for(lambda: self._stopping, GATHER)
            touched, self._touched = self._touched, set()
            return touched, self._stopping

    def _post(self, touched: set[str] | None) -> None:
        """Post what waits in these accounts, or in any."""
        with reading(self._engine) as connection:
            waiting = events.pending_accounts(connection, touched)
        if waiting:
            post_accounts(self._engine, waiting, book=self._book, now=self._now())
