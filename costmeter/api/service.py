"""What the endpoints work with: the database, the price book, who may do what, and the threads that post and tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from costmeter.api.otlp.spans import DEEPSEEK_HOSTS
from costmeter.core.access import ADMIN, Grant
from costmeter.core.price_book import PriceBook
from costmeter.services.check_key import check_key
from costmeter.services.keep_posted import Poster
from costmeter.services.keep_told import Teller
from costmeter.services.keep_watch import Lookout
from costmeter.services.record_in_turn import Recorder
from costmeter.store.accounts import Home
from costmeter.store.engine import reading

READ_SECONDS = 120.0
READ_MEMORY = "32MB"
_LIMITS = text("SELECT set_config('statement_timeout', :took, true), set_config('work_mem', :memory, true)")
KNOWN_SECONDS = 1.0  # a revoked key is refused after at most this
KNOWN_KEYS = 1_000
LOCAL = Grant("local user", (ADMIN,))


@dataclass
class Service:
    """One process of the service. `local`: whoever this machine's user is may do everything, without a key."""

    engine: Engine
    book: PriceBook
    home: Home
    recorder: Recorder
    poster: Poster
    local: bool = False
    close_grace: timedelta = timedelta(hours=72)  # how long after its end a month waits for late calls
    deepseek_hosts: frozenset[str] = DEEPSEEK_HOSTS  # whose calls are DeepSeek's, where a span tells a host
    lookout: Lookout | None = None  # looks each minute; without one nobody does
    teller: Teller | None = None  # none where others tell notices
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _known: dict[str, tuple[float, Grant]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def reading(self, seconds: float | None = None) -> Iterator[Connection]:
        """A snapshot for one answer; on PostgreSQL no statement of it takes longer than READ_SECONDS, or so many.

        There it may also hold READ_MEMORY for a sum by many groups, which with PostgreSQL's own 4 MB goes by the disk.
        """
        with reading(self.engine) as connection:
            if self.engine.dialect.name == "postgresql":
                said = {"took": f"{int((seconds or READ_SECONDS) * 1000)}", "memory": READ_MEMORY}
                connection.execute(_LIMITS, said)
            yield connection

    def known_grant(self, key: str) -> Grant | None:
        """What the holder of a key may do, where that was asked a moment ago."""
        known = self._known.get(key)
        return known[1] if known is not None and time.monotonic() - known[0] < KNOWN_SECONDS else None

    def grant(self, key: str) -> Grant | None:
        """What the holder of a key may do, by the database; it is kept for a moment, a refusal is not."""
        with reading(self.engine) as connection:
            grant = check_key(connection, key, self.now())
        with self._lock:
            if len(self._known) >= KNOWN_KEYS:
                self._known.clear()
            if grant is None:
                self._known.pop(key, None)
            else:
                self._known[key] = (time.monotonic(), grant)
        return grant
