"""One call on its way: from the request that is sent to exactly one record, however it ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache

from msgspec import Raw

from costmeter.core.events import UNMETERED
from costmeter.recorder.attribution import text
from costmeter.recorder.body import is_whole, read_whole
from costmeter.recorder.clock import Clock
from costmeter.recorder.draft import Ended, Intent, encode, write_asked, write_draft
from costmeter.recorder.estimate import estimate
from costmeter.recorder.reading import Reading
from costmeter.recorder.record import CLOSED_EARLY, Ending, ending_of, outcome
from costmeter.recorder.spool import Spool
from costmeter.recorder.tap import UsageTap
from costmeter.store.keys import new_id

logger = logging.getLogger("costmeter.recorder")

Headers = Mapping[bytes, bytes]  # names in lower case

ROOM = 64 << 10  # bytes that pass before they are read, where nothing decides earlier: most streams have fewer
# How nearly every event of a chat ends that is not its last, nothing being used or finished yet, and what comes while
# the vendor is busy. A chunk that brings the last event, too, in front of such an end is timed when the next is looked
# at.
UNDECIDED = b'"usage":null}\n\n'
_ALSO_UNDECIDED = (b'"finish_reason":null}]}\n\n', b": keep-alive\n\n")
END = -len(UNDECIDED)  # where it stands in a chunk
# What a gateway of ours says of an answer that went through it, and of one that it gave itself: that call may have had
# another end than the one that is told.
ANSWER_ID, REFUSED = b"x-costmeter-event-id", b"x-costmeter-refused"
_DATE_LENGTH = 64  # characters of a Date header that are kept to be read

# The operation of the last attempt in this thread or task and its number: an SDK makes its retries where it was called.
_last_attempt: ContextVar[tuple[str, int] | None] = ContextVar("costmeter_last_attempt", default=None)

_name = lru_cache(maxsize=256)(text)  # few models, in many calls


class Call:
    """Ends as exactly one record, handed to the spool before the caller sees the end; no method raises.

    The end may come from the garbage collector, in the middle of anything: no method takes a lock it could find held.
    """

    __slots__ = (
        "_answer_id",
        "_answered",
        "_content",
        "_decided",
        "_encoding",
        "_end",
        "_intent",
        "_is_begun",
        "_is_over",
        "_monotonic",
        "_origin",
        "_process",
        "_spool",
        "_status",
        "_tap",
        "chunks",
        "event_id",
        "operation_id",
        "passed",
        "result",
        "started_at",
    )

    def __init__(
        self,
        attribution: Raw,
        content: bytes | None,
        attempt: bytes | None,
        clock: Clock,
        spool: Spool,
        *,
        event_id: str | None = None,
        operation_id: str | None = None,
        names_answer: bool = False,
    ) -> None:
        """`attempt` is an SDK's count of it; who makes attempts itself says by an operation id that they are one.

        `names_answer`: whoever made the call is told its event id, and knows an answer without an id by that.
        """
        self.result: Ended | None = None  # what came of it, once it is over
        self._spool = spool
        self._content = content  # for the estimate, should there be no usage; never kept beyond the call
        self._process = os.getpid()
        self._end = iter((True,))  # taken once, by whoever ends the call
        self._is_over = False
        self._status: int | None = None
        self._encoding = ""
        self._answered: tuple[str, float] | None = None  # the Date of the answer, and when it came
        self._tap: UsageTap | None = None
        self.passed = bytearray()  # what passed and is not read yet
        self.chunks = 0  # of these
        self._decided: float | None = None  # when the last chunk passed that may have completed the answer
        self._monotonic = clock.monotonic
        self.started_at = clock.now()
        self._origin = clock.monotonic()
        self.event_id = event_id or new_id()
        if operation_id is None:
            operation_id = self.event_id if attempt is None else _operation(self.event_id, attempt)
        self.operation_id = operation_id
        self._answer_id = self.event_id if names_answer else None
        asked = write_asked(content)
        self._intent = encode(Intent(self.event_id, operation_id, attribution, asked, self.started_at))
        self._is_begun = spool.begin(self._intent)

    def answered(self, status: int, headers: Headers, *, is_decoded: bool = False) -> None:
        """The head of the response is there; `is_decoded` where its content comes without its encoding."""
        try:
            self._status = status
            if b"content-encoding" in headers and not is_decoded:
                self._encoding = headers[b"content-encoding"].decode("latin-1")
            if ANSWER_ID in headers and REFUSED not in headers:
                self._answer_id = text(headers[ANSWER_ID].decode("latin-1"))
            date = headers.get(b"date")
            if date is not None:
                self._answered = (date[:_DATE_LENGTH].decode("latin-1"), self._monotonic() - self._origin)
        except Exception:
            logger.exception("the head of a response could not be read")

    def observe(self, chunk: bytes) -> None:
        """A chunk of the response, before the caller gets it.

        Where each chunk is little more than this, who has them adds them to `passed` and calls `look` by the same rule.
        """
        self.passed += chunk
        self.chunks += 1
        if chunk[END:] != UNDECIDED or len(self.passed) > ROOM:
            self.look(chunk)

    def look(self, chunk: bytes) -> None:
        """Reads what passed, the last chunk of it just now, where the answer may be complete with it."""
        try:
            if self._is_over:
                self.passed.clear()
            elif self._is_whole():  # so far: its end tells, or another chunk
                self._decided = self._monotonic() - self._origin
            elif not self._may_wait(chunk):
                self._read_passed()
                if self._tap is not None and self._tap.is_complete:
                    self._finish(None)
        except Exception:
            logger.exception("a chunk of a response could not be read")

    def _may_wait(self, chunk: bytes) -> bool:
        return chunk.endswith(_ALSO_UNDECIDED) and len(self.passed) <= ROOM and not self._encoding

    def _is_whole(self) -> bool:
        """Whether all that passed is one JSON object, and plain."""
        return self._tap is None and not self._encoding and is_whole(self.passed)

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
            self._hand_over(*self._read(), ending)
        except Exception:
            logger.exception("a call could not be recorded: %s", self._intent[:52].decode())

    def _hand_over(self, reading: Reading, size: int, chunks: int, ending: Ending | None) -> None:
        elapsed = self._decided if reading.usage is not None else None
        if elapsed is None:
            elapsed = self._monotonic() - self._origin
        ended = Ended(
            elapsed,
            self._answered,
            size,
            chunks,
            model=_name(reading.model),
            response_id=text(reading.response_id) or self._answer_id,
            **outcome(self._status, reading, ending, elapsed=elapsed),
        )
        if reading.characters is not None:
            ended.characters = sum(reading.characters)
        if ended.status == UNMETERED:
            ended.estimate = estimate(self._content, reading.characters)
        self._content = None
        self.result = ended
        self._spool.append(write_draft(self._intent, ended), is_begun=self._is_begun)

    def _read(self) -> tuple[Reading, int, int]:
        """What the answer said, as far as it passed, and in how many bytes and chunks."""
        if self._is_whole():  # nearly every answer that is not streamed
            return read_whole(bytes(self.passed)), len(self.passed), self.chunks
        self._read_passed()
        reading = Reading() if self._tap is None else self._tap.read()
        return reading, reading.bytes, reading.chunks

    def _read_passed(self) -> None:
        if self._tap is None and self._status is not None:
            self._tap = UsageTap(self._encoding)
        passed, chunks = bytes(self.passed), self.chunks
        self.passed.clear()
        self.chunks = 0
        if chunks and self._tap is not None and self._tap.feed(passed, chunks):
            self._decided = self._monotonic() - self._origin


def _operation(event_id: str, attempt: bytes) -> str:
    """The id that a call's retries share; the first attempt's own id, where attempts can be told at all."""
    if not attempt.isdigit() or len(attempt) > 4:
        return event_id
    last, number = _last_attempt.get(), int(attempt)
    operation_id = last[0] if last is not None and number == last[1] + 1 else event_id
    _last_attempt.set((operation_id, number))
    return operation_id
