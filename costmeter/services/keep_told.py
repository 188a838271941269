"""Keep notices told: a thread that routes and sends what there is to tell within a second of its commit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from sqlalchemy import Engine

from costmeter.core.deliveries import Channel
from costmeter.services.route_notices import route_notices
from costmeter.services.send_notices import Sent, send_notices

log = logging.getLogger(__name__)
EVERY = 1.0  # seconds between looks at what there is to tell
MOST_BACK_OFF = 30.0


class Outbox:
    """What there is to tell, and the channels that tell it; `digests` says which of them tell which kind."""

    def __init__(
        self,
        engine: Engine,
        channels: Mapping[str, Channel],
        digests: Mapping[str, Collection[str]],
        site: str | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine, self._channels, self._digests = engine, channels, digests
        self._site, self._clock = site, clock

    def empty(self, is_ending: Callable[[], bool] = lambda: False) -> Sent:
        """Route and send what is due now, round by round while that goes well."""
        total = Sent()
        while True:
            route_notices(self._engine, self._channels, digests=self._digests, site=self._site, clock=self._clock)
            sent = send_notices(self._engine, self._channels, clock=self._clock, is_ending=is_ending)
            total = Sent(*(old + new for old, new in zip(total, sent, strict=True)))
            if not sent.accepted or sent.put_off:
                return total


class Teller:
    """Empties an outbox every second, until it is stopped.

    A failure is logged and tried again, ever later up to half a minute; what is to be told is in the database and is
    not lost.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="costmeter-teller", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Let what is being sent end, and begin no more; whether it ended in time."""
        self._stopping.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait = EVERY
        while not self._stopping.wait(wait):
            try:
                self._outbox.empty(self._stopping.is_set)
                wait = EVERY
            except Exception:  # whatever it was, the next try may go well, and the thread must not end
                log.exception("telling failed; it is tried again")
                wait = min(wait * 2, MOST_BACK_OFF)
