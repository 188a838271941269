"""Who has a key of costmeter's, by the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from costmeter.core.access import Grant
from costmeter.core.rate_limits import Limits
from costmeter.services.check_key import find_key
from costmeter.store.engine import reading

STATEMENT_SECONDS = 5


class Holder(NamedTuple):
    """The name of a key, what it may do and how fast, and until when (None: for ever)."""

    name: str
    grant: Grant
    limits: Limits
    expires_at: datetime | None


class KeyHolders:
    """Asks a database, which is opened when it is first asked: the gateway starts without it."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open = open_engine
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def __call__(self, key: str, now: datetime) -> Holder | None:
        """The holder of an active key; None for any other text. Raises where the database cannot say."""
        try:
            return self._find(key, now)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._find(key, now)  # by a new connection: the database may have been started anew since

    def close(self) -> None:
        """Closes the connections."""
        if self._engine is not None:
            self._engine.dispose()

    def _find(self, key: str, now: datetime) -> Holder | None:
        with reading(self._opened()) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_SECONDS * 1000}"))
            found = find_key(connection, key, now)
        return found and Holder(found.name, found.grant(), found.limits(), found.expires_at)

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine
