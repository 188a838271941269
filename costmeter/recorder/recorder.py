"""What decides whether a request is a call, and begins its record."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from functools import lru_cache

from msgspec import Raw

from costmeter.core.errors import SetupError
from costmeter.recorder.attribution import NOBODY, Attribution, current_attribution, key_fingerprint
from costmeter.recorder.call import Call, Headers
from costmeter.recorder.clock import Clock, HostClock
from costmeter.recorder.draft import write_attribution
from costmeter.recorder.headers import NAMES, read_attribution
from costmeter.recorder.spool import Spool
from costmeter.recorder.spools import default_spool

logger = logging.getLogger("costmeter.recorder")

METERED_PATHS = (b"/chat/completions", b"/completions", b"/responses", b"/messages")
_NEEDED = ("threading", "queue", "time", "socket")  # what a spool's thread works with


ToldBy = tuple[Attribution, bytes | None, bytes | None]  # `attribute()` and the two headers that a key may be in


@dataclass(slots=True)
class Recorder:
    """What all calls through one door share."""

    attribution: Attribution
    clock: Clock
    spool: Spool
    _last: tuple[ToldBy, Raw] | None = None  # the last call that had no headers of its own

    def begin(self, content: bytes | None, headers: Headers) -> Call | None:
        """A call that is about to be sent; None, and a line in the log, where the recorder itself fails.

        What the headers say of whose call it is goes over `attribute()`, and that over what the door was told.
        """
        try:
            # What nearly every call is told by, and so is its attribution as it was written for the last one.
            told_by = (current_attribution(), headers.get(b"authorization"), headers.get(b"x-api-key"))
            last = self._last
            if last is not None and last[0] == told_by and headers.keys().isdisjoint(NAMES):
                attribution = last[1]
            else:
                attribution = self._attribution(told_by, headers)
            return Call(attribution, content, headers.get(b"x-stainless-retry-count"), self.clock, self.spool)
        except Exception:
            logger.exception("a call could not be recorded")
            return None

    def _attribution(self, told_by: ToldBy, headers: Headers) -> Raw:
        own, current = read_attribution(headers), told_by[0]
        said = own.over(current).over(self.attribution)
        if said.api_key is None:
            said = said._replace(api_key=key_fingerprint(*told_by[1:]))
        written = write_attribution(said)
        if own is NOBODY:
            self._last = (told_by, written)
        return written


def open_recorder(said: Attribution, clock: Clock | None = None, spool: Spool | None = None) -> Recorder:
    """The recorder of a door that is being set up: of the host's clock and the default spool, where none are given.

    Raises SetupError under gevent.
    """
    refuse_gevent()
    return Recorder(said, clock or HostClock(), spool or default_spool())


def refuse_gevent() -> None:
    """Raises SetupError where gevent has replaced the threads that records are delivered from."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and any(monkey.is_module_patched(name) for name in _NEEDED):
        raise SetupError(
            "gevent's monkey patching is active: costmeter delivers its records from a real thread, which gevent turns "
            "into a greenlet that waits for the application; record in a process without it (threads or asyncio)"
        )


@lru_cache(maxsize=256)
def is_metered(method: str, target: bytes) -> bool:
    """Whether a request is one that DeepSeek bills by tokens."""
    return method == "POST" and target.partition(b"?")[0].endswith(METERED_PATHS)
