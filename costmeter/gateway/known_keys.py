"""Which keys of costmeter's enter: the database is asked by few threads, and its word is kept for a moment."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from costmeter.core.access import read_key
from costmeter.gateway.key_holders import Holder, KeyHolders
from costmeter.gateway.refusals import RefusedCallError
from costmeter.recorder.clock import Clock, HostClock

logger = logging.getLogger("costmeter.gateway")

KNOWN_SECONDS = 1.0  # a revoked key is refused after at most this
KEPT_SECONDS = 3600.0  # that a key which was good stays good while the database is away
ASK_SECONDS = 5.0  # that the database gets to answer in; after that it is away
MOST_STRANGERS = 1_000  # keys that are not known to be good and wait at once
_THREADS = 2


class _Known(NamedTuple):
    holder: Holder
    asked_at: float


class _Lane:
    """Threads, and the keys that are asked about in them: each once at a time, however many wait for the answer."""

    def __init__(self) -> None:
        self.asking: dict[str, Future[Holder | None]] = {}
        self.threads = ThreadPoolExecutor(_THREADS, "costmeter-keys")


class KnownKeys:
    """The holders of keys, in one event loop.

    While the database is away, one that was good within KEPT_SECONDS stays good where `stays_open`; else nobody enters.
    Keys that are known are asked about in threads of their own: whoever tries others waits for his like alone.
    """

    def __init__(self, holders: KeyHolders, *, stays_open: bool = True, clock: Clock | None = None) -> None:
        self._holders, self._stays_open, self._clock = holders, stays_open, clock or HostClock()
        self._known: dict[str, _Known] = {}  # good ones alone: as many as there are keys
        self._friends, self._strangers = _Lane(), _Lane()
        self._is_away = False

    async def holder(self, key: str) -> Holder:
        """Who has a key. RefusedCallError: 401 where it is none, 503 where nobody can say."""
        known = self._known.get(key)
        if known is not None and self._is_active(known.holder):
            if self._clock.monotonic() - known.asked_at < KNOWN_SECONDS:
                return known.holder
            if self._is_away and self._is_kept(known):
                self._asked(key)  # whether it still is; nobody waits for that
                return known.holder
        elif read_key(key) is None:
            raise _no_key()
        asking = self._asked(key)
        await asyncio.wait((asking,), timeout=ASK_SECONDS)
        error = asking.exception() if asking.done() else TimeoutError(f"no answer in {ASK_SECONDS:.0f} seconds")
        if error is not None:
            self._note_away(error)
            if known is None or not self._is_kept(known):
                raise _nobody_can_say()
            return known.holder
        found = asking.result()
        if found is None:
            raise _no_key()
        return found

    def close(self) -> None:
        """Ends the threads, each when it is done, and the connections."""
        for lane in (self._friends, self._strangers):
            lane.threads.shutdown(wait=False, cancel_futures=True)
        self._holders.close()

    def _is_active(self, holder: Holder) -> bool:
        return holder.expires_at is None or self._clock.now() < holder.expires_at

    def _is_kept(self, known: _Known) -> bool:
        is_recent = self._clock.monotonic() - known.asked_at < KEPT_SECONDS
        return self._stays_open and is_recent and self._is_active(known.holder)

    def _asked(self, key: str) -> Future[Holder | None]:
        """The database's answer to come."""
        lane = self._friends if key in self._known else self._strangers
        asking = lane.asking.get(key)
        if asking is None:
            if lane is self._strangers and len(lane.asking) >= MOST_STRANGERS:
                raise _nobody_can_say()
            asked_at, loop = self._clock.monotonic(), asyncio.get_running_loop()
            asking = lane.asking[key] = loop.run_in_executor(lane.threads, self._holders, key, self._clock.now())
            asking.add_done_callback(partial(self._answered, key, lane, asked_at))
        return asking

    def _answered(self, key: str, lane: _Lane, asked_at: float, asking: Future[Holder | None]) -> None:
        del lane.asking[key]
        if asking.cancelled():
            return
        error = asking.exception()
        if error is not None:
            self._note_away(error)
            return
        if self._is_away:
            logger.warning("the database says again who has a key")
            self._is_away = False
        holder = asking.result()
        if holder is None:
            self._known.pop(key, None)
        else:
            self._known[key] = _Known(holder, asked_at)

    def _note_away(self, error: BaseException) -> None:
        if not self._is_away:
            does = "known keys go on" if self._stays_open else "all calls are refused"
            said = " ".join(str(getattr(error, "orig", None) or error).split())
            logger.warning("the database cannot say who has a key, %s: %s: %s", does, type(error).__name__, said)
            self._is_away = True


def _no_key() -> RefusedCallError:
    remedy = "send Authorization: Bearer cm_..., or x-api-key: cm_..., with a key that is valid"
    return RefusedCallError(401, "wrong_key", f"the gateway does not know this key: {remedy}")


def _nobody_can_say() -> RefusedCallError:
    said = "the gateway cannot find out now whether this key is valid; try again"
    return RefusedCallError(503, "keys_unavailable", said, [(b"retry-after", b"1")])
