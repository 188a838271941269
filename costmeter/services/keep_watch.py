"""Keep watch: a thread that looks each minute, so that what a dead scheduler cannot tell is told by another process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine

from costmeter.core.price_book import PriceBook
from costmeter.core.watch import Limits
from costmeter.services.watch import watch

log = logging.getLogger(__name__)
EVERY = 60.0  # seconds


class Lookout:
    """Looks at every account and at the installation, at its start and each minute; a failure is logged."""

    def __init__(
        self,
        engine: Engine,
        book: PriceBook,
        limits: Limits,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        every: float = EVERY,
    ) -> None:
        self._engine, self._book, self._limits, self._now, self._every = engine, book, limits, now, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="costmeter-lookout", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End after the look that is under way; whether it ended in time."""
        self._stop.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                watch(self._engine, book=self._book, limits=self._limits, now=self._now())
            except Exception:  # whatever it was, the next look may go well, and the thread must not end
                log.exception("the watch failed; it looks again")
            self._stop.wait(self._every)
