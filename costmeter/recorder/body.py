"""The two kinds of body that an answer comes in, read in bounded memory: one JSON object, or server-sent events."""

from __future__ import annotations

import re

from costmeter.recorder.reading import FINAL_TYPES, TOO_LARGE, UNREADABLE, Reading, parse, read_body, read_events

LIMIT = 8 << 20  # bytes of a JSON body, or of one line of a stream, that are kept to be read

_USAGE = re.compile(rb'"usage"\s*:\s*\{\s*"')  # an object that counts something: not null, not empty
_ERROR = re.compile(rb'"error"\s*:\s*\{|"type"\s*:\s*"error"')
_FINAL = re.compile(rb'data:\s*\{\s*"type"\s*:\s*"(?:%s)"' % b"|".join(re.escape(t.encode()) for t in FINAL_TYPES))


class WholeBody:
    """A body that is one JSON object, kept until its end."""

    is_complete = False  # only the end of the body tells

    def __init__(self) -> None:
        self._buffer: bytearray | None = bytearray()

    def take(self, data: bytes) -> bool:
        if self._buffer is not None and len(self._buffer) + len(data) <= LIMIT:
            self._buffer += data
        else:
            self._buffer = None
        return True

    def read(self) -> Reading:
        return Reading(problem=TOO_LARGE) if self._buffer is None else read_body(bytes(self._buffer))


class EventLines:
    """Server-sent events: of all lines only those that can matter are kept, and none is parsed before the end."""

    def __init__(self) -> None:
        self.is_complete = False
        self._held = bytearray()  # the line that has not ended yet
        self._is_skipping = False  # inside a line that is too long
        self._has_skipped = False
        self._is_at_start = False  # of a line, and not the first one
        self._head = self._first = self._last = self._error = b""

    def take(self, data: bytes) -> bool:
        if self._is_at_start and data.endswith(b"\n") and len(data) <= LIMIT and not _can_matter(data):
            return False  # nearly every chunk of a stream
        decided = self._cut(data)
        self._is_at_start = bool(self._head) and not self._held and not self._is_skipping
        return decided

    def _cut(self, data: bytes) -> bool:
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not cut:
            self._hold(data)
            return False
        block, rest = data[:cut], data[cut:]
        if self._is_skipping:
            block = block[len(block.splitlines()[0]) :]
            self._is_skipping = False
        elif self._held:
            block = bytes(self._held) + block
            self._held.clear()
        if rest:
            self._hold(rest)
        if self._head and len(block) <= LIMIT and not _can_matter(block):
            return False
        decided = [self._examine(line) for line in block.splitlines()]
        return any(decided)

    def read(self) -> Reading:
        held = bytes(self._held)
        self._held.clear()
        if _is_end_mark(held) or parse(held.removeprefix(b"data:")) is not None:
            self._examine(held)  # the last line may lack its end; one that was cut off counts for nothing
        lines = (self._head, self._first, self._last, self._error)
        events = {line: parse(line.removeprefix(b"data:")) or {} for line in lines}
        reading = read_events(*(events[line] for line in lines), complete=self.is_complete)
        if reading.usage is None and reading.error_code is None and (self._has_skipped or not self._head):
            return reading._replace(problem=TOO_LARGE if self._has_skipped else UNREADABLE)
        return reading

    def _hold(self, data: bytes) -> None:
        if not self._is_skipping:
            self._held += data
        if len(self._held) > LIMIT:
            self._held.clear()
            self._is_skipping = self._has_skipped = True

    def _examine(self, line: bytes) -> bool:
        """Keeps the line if it matters; True when it decides something."""
        if len(line) > LIMIT:
            self._has_skipped = True
            return False
        if self.is_complete or not line.startswith(b"data:") or (self._head and not _can_matter(line)):
            return False
        self._head = self._head or line
        has_usage = _USAGE.search(line) is not None
        if has_usage:
            self._first, self._last = self._first or line, line
        if _ERROR.search(line):
            self._error = line
        self.is_complete = _is_end_mark(line) or _FINAL.match(line) is not None
        return has_usage or self.is_complete


def _is_end_mark(line: bytes) -> bool:
    return line.startswith(b"data:") and line[5:].lstrip().startswith(b"[DONE]")


def _can_matter(lines: bytes) -> bool:
    """Whether any of these lines can matter: a few byte searches, since most chunks of a stream do not."""
    return (
        (b'"usage"' in lines and lines.count(b'"usage"') != lines.count(b'"usage":null'))
        or b"[DONE]" in lines
        or b'"error"' in lines
        or b"message_stop" in lines
    )
