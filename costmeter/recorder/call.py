"""One call on its way: from the request that is sent to exactly one record, however it ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextvars import ContextVar

from costmeter.core.events import UNMETERED
from costmeter.recorder.attribution import Attribution
from costmeter.recorder.clock import Clock
from costmeter.recorder.estimate import estimate
from costmeter.recorder.reading import Reading
from costmeter.recorder.record import (
    CLOSED_EARLY,
    Ending,
    build_intent,
    build_record,
    completion,
    ending_of,
    outcome,
    read_date,
    read_request,
)
from costmeter.recorder.spool import Spool
from costmeter.recorder.tap import UsageTap
from costmeter.store.keys import new_id

logger = logging.getLogger("costmeter.recorder")

Headers = Mapping[bytes, bytes]  # names in lower case

# The operation of the last attempt in this thread or task and its number: an SDK makes its retries where it was called.
_last_attempt: ContextVar[tuple[str, int] | None] = ContextVar("costmeter_last_attempt", default=None)


class Call:
    """Ends as exactly one record, handed to the spool before the caller sees the end; no method raises.

    The end may come from the garbage collector, in the middle of anything: no method takes a lock it could find held.
    """

    __slots__ = (
        "_clock",
        "_clock_offset",
        "_content",
        "_decided",
        "_end",
        "_intent",
        "_is_begun",
        "_is_over",
        "_origin",
        "_process",
        "_spool",
        "_started_at",
        "_status",
        "_tap",
    )

    def __init__(
        self, attribution: Attribution, content: bytes | None, *, attempt: bytes | None, clock: Clock, spool: Spool
    ) -> None:
        self._clock = clock
        self._spool = spool
        self._content = content  # for the estimate, should there be no usage; never kept beyond the call
        self._process = os.getpid()
        self._end = iter((True,))  # taken once, by whoever ends the call
        self._is_over = False
        self._status: int | None = None
        self._tap: UsageTap | None = None
        self._clock_offset: float | None = None
        self._decided: float | None = None  # when the last chunk passed that may have completed the answer
        self._started_at = clock.now()
        self._origin = clock.monotonic()
        event_id = new_id()
        self._intent = build_intent(
            event_id=event_id,
            operation_id=_operation(event_id, attempt),
            attribution=attribution,
            asked=read_request(content),
            started_at=self._started_at,
        )
        self._is_begun = spool.begin(self._intent)

    def answered(self, status: int, headers: Headers, *, is_decoded: bool = False) -> None:
        """The head of the response is there; `is_decoded` where its content comes without its encoding."""
        try:
            self._status = status
            encoding = b"" if is_decoded else headers.get(b"content-encoding", b"")
            self._tap = UsageTap(encoding.decode("latin-1"))
            server_at = read_date(headers.get(b"date"))
            if server_at is not None:
                elapsed = self._clock.monotonic() - self._origin
                self._clock_offset = server_at - self._started_at.timestamp() - elapsed
        except Exception:
            logger.exception("the head of a response could not be read")

    def observe(self, chunk: bytes) -> None:
        """A chunk of the response, before the caller gets it."""
        if self._is_over or self._tap is None:
            return
        try:
            if self._tap.feed(chunk):
                self._decided = self._clock.monotonic()
                if self._tap.is_complete:
                    self._finish(None)
        except Exception:
            logger.exception("a chunk of a response could not be read")

    def ended(self) -> None:
        """The response came to its end."""
        self._finish(None)

    def broke(self, error: BaseException) -> None:
        """The request or the response broke off with this error."""
        self._finish(ending_of(error))

    def closed(self) -> None:
        """The caller is done with the response, read or not."""
        self._finish(Ending(CLOSED_EARLY))

    def _finish(self, ending: Ending | None) -> None:
        if self._is_over or not next(self._end, False):
            return
        self._is_over = True
        if os.getpid() != self._process:
            return  # a fork's copy of a call: it is its parent's to record
        try:
            self._hand_over(ending)
        except Exception:
            logger.exception("a call could not be recorded: event %s", self._intent["event_id"])

    def _hand_over(self, ending: Ending | None) -> None:
        reading = Reading() if self._tap is None else self._tap.read()
        end = self._decided if reading.usage is not None else None
        if end is None:
            end = self._clock.monotonic()
        elapsed = end - self._origin
        ended = outcome(self._status, reading, ending, elapsed=elapsed)
        record = build_record(
            self._intent,
            reading=reading,
            completed_at=completion(self._started_at, elapsed),
            outcome=ended,
            clock_offset=self._clock_offset,
        )
        if ended["status"] == UNMETERED:
            record["estimate"] = estimate(self._content, reading.characters)
        self._content = None
        self._spool.append(record, is_begun=self._is_begun)


def _operation(event_id: str, attempt: bytes | None) -> str:
    """The id that a call's retries share; the first attempt's own id, where attempts can be told at all."""
    if attempt is None or not attempt.isdigit() or len(attempt) > 4:
        return event_id
    last, number = _last_attempt.get(), int(attempt)
    operation_id = last[0] if last is not None and number == last[1] + 1 else event_id
    _last_attempt.set((operation_id, number))
    return operation_id
