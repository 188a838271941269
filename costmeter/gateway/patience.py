"""The database, as the gateway asks it: in few threads of its own, and never longer than callers can wait."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

from sqlalchemy import Engine

from costmeter.core.errors import InputError

logger = logging.getLogger("costmeter.gateway")

P = ParamSpec("P")
T = TypeVar("T")

# Seconds without any answer, after which the database is away. On SQLite writers wait for each other in no order, so
# that one may go without for longer though nothing is wrong.
PATIENCE, SQLITE_PATIENCE = 2.0, 10.0
OPENING = 30.0  # seconds that opening it takes at most when the gateway starts: much of the program is loaded then
PAUSE = 1.0  # seconds for which one that is away is not asked again


class AwayError(Exception):
    """The database does not answer."""


class Database:
    """Asks a database that is opened when it is first needed; one that is away may be there again later.

    Its threads are all that ever waits for it.
    """

    def __init__(self, opened: Callable[[], Engine], *, threads: int, patience: float = PATIENCE) -> None:
        self._open = opened
        self._patience = patience
        self._threads = ThreadPoolExecutor(threads, "costmeter-admission")
        self._opening = threading.Lock()
        self._engine: Engine | None = None
        self._answered_at = 0.0
        self._quiet_until = 0.0
        self._is_away = False

    @property
    def is_away(self) -> bool:
        """Whether it has not answered for a while."""
        return self._is_away

    async def start(self) -> None:
        """Opens the database before the first call needs it; one that is away is opened when it is there."""
        opening = self.submit(lambda _: None)
        with suppress(AwayError):
            await self.answer(opening, patience=OPENING)

    def submit(self, work: Callable[[Engine], T]) -> Future[T]:
        """Does something with the database as soon as a thread is free."""
        return self._threads.submit(lambda: work(self._opened()))

    async def answer(self, asked: Future[T], *, patience: float | None = None) -> T:
        """What was asked for; AwayError where the database fails, or has answered nobody for too long.

        Work that has not begun by then is not begun; any other goes on, and its answer is its own business.
        """
        began, patience = time.monotonic(), patience or self._patience
        if began < self._quiet_until and not asked.done():
            asked.cancel()
            raise AwayError
        if self._is_away:  # whoever comes while this one finds out does not wait
            self._quiet_until = began + patience
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(done.set)

        asked.add_done_callback(tell)
        while not done.is_set():
            left = max(began, self._answered_at) + patience - time.monotonic()
            if left <= 0:
                asked.cancel()
                self._is_not_there("no answer")
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await done.wait()
        return self._result(asked)

    def _result(self, asked: Future[T]) -> T:
        if asked.cancelled():
            raise AwayError
        error = asked.exception()
        if error is not None and not isinstance(error, InputError):
            self._is_not_there(f"{type(error).__name__}: {error}")
        self._answered_at, self._quiet_until = time.monotonic(), 0.0
        if self._is_away:
            self._is_away = False
            logger.warning("the database answers again")
        return asked.result()

    def _is_not_there(self, why: str) -> None:
        self._quiet_until = time.monotonic() + PAUSE
        if not self._is_away:
            self._is_away = True
            logger.error("the database is away (%s): calls are not asked for until it answers", " ".join(why.split()))
        raise AwayError

    def _opened(self) -> Engine:
        with self._opening:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def close(self) -> None:
        """Ends when what was asked for is done."""
        self._threads.shutdown()
        if self._engine is not None:
            self._engine.dispose()
