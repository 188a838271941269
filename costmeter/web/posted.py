"""How much was posted: what open pages are told by that their numbers have changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from threading import Lock

from sqlalchemy import Connection

from costmeter.store import accounts

EVERY = 0.5  # seconds between two looks
_KEPT = 1_000  # sets of accounts


class Posted:
    """How much was posted to accounts, asked of the database at most once in EVERY seconds, however many look."""

    def __init__(self, reading: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._reading, self._lock = reading, Lock()
        self._known: dict[tuple[str, ...] | None, tuple[float, str]] = {}
        self.streams = 0  # that tell of it now; counted by the event loop alone

    def mark(self, names: Collection[str] | None) -> str:
        """A text that is another one once something was posted to these accounts; None is all there are.

        It may be that of EVERY seconds ago, or older while another looks: a page that is made after it holds all that
        it stands for.
        """
        asked = None if names is None else tuple(sorted(names))
        known = self._known.get(asked)
        if known is not None and (time.monotonic() - known[0] < EVERY or self._lock.locked()):
            return known[1]
        with self._lock:
            began = time.monotonic()
            with self._reading() as connection:
                mark = str(accounts.count_facts(connection, asked))
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[asked] = (began, mark)
            return mark
