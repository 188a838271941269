"""The two kinds of body that an answer comes in, read in bounded memory: one JSON object, or server-sent events."""

from __future__ import annotations

import re
from itertools import islice

from costmeter.recorder.characters import ANSWER, Answer, Characters
from costmeter.recorder.reading import (
    FINAL_TYPES,
    NO_EVENT,
    TOO_LARGE,
    UNREADABLE,
    Event,
    Reading,
    parse_event,
    read_body,
    read_events,
)

LIMIT = 8 << 20  # bytes of a JSON body, or of one line of a stream, that are kept to be read
SHORT = 1 << 10  # bytes of a chunk that may be known by its frame
LESSONS = 8  # frames that are learnt from a stream; where every event has another, none is worth learning
UNCOUNTED_TEXTS = 256  # texts of known frames that are kept until they are counted
UNCOUNTED = 64 << 10  # bytes of other lines that are kept until they are counted: most streams end before

_USAGE = re.compile(rb'"usage"\s*:\s*\{\s*"')  # an object that counts something: not null, not empty
_ERROR = re.compile(rb'"error"\s*:\s*\{|"type"\s*:\s*"error"')
_FINAL = re.compile(rb'data:\s*\{\s*"type"\s*:\s*"(?:%s)"' % b"|".join(re.escape(t.encode()) for t in FINAL_TYPES))
_QUOTE, _LF, _CR = b'"\n\r'
_END = b"0123456789}\r\n"  # the responses API numbers its events at their end


class WholeBody:
    """A body that is one JSON object, kept until its end."""

    is_complete = False  # only the end of the body tells

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_too_large = False

    def take(self, data: bytes) -> bool:
        room = LIMIT - len(self._buffer)
        self._is_too_large |= len(data) > room
        self._buffer += data[:room]
        return True

    def read(self) -> Reading:
        reading = Reading(problem=TOO_LARGE) if self._is_too_large else read_body(self._buffer)
        if reading.usage is not None:
            return reading
        answer = Answer()
        answer.add_body(bytes(self._buffer))
        return reading._replace(characters=answer.characters)


class EventLines:
    """Server-sent events: of all lines only those that can matter are kept, and none is parsed before the end.

    Most chunks of a stream are one event each, with a text of its own in the frame of the one before. A frame is learnt
    from an event that did not matter: another text without quotes and line ends between the same bytes cannot matter
    either, whatever it says.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._held = bytearray()  # the line that has not ended yet
        self._is_skipping = False  # inside a line that is too long
        self._has_skipped = False
        self._is_at_start = False  # of a line, and not the first one
        self._head = self._first = self._last = self._error = b""
        self._before = self._after = b""  # the frame
        self._frame = -1  # its length; -1 while no chunk can be told by it
        self._are_pieces = False  # what the texts are
        self._lessons = LESSONS
        self._texts: list[bytes] = []
        self._lines: list[bytes] = []
        self._size = 0  # of the lines
        self._answer = Answer()

    def take(self, data: bytes) -> bool:
        core = data.rstrip(_END)
        text = core.removeprefix(self._before).removesuffix(self._after)
        is_framed = len(text) + self._frame == len(core) < SHORT and data[-1] == _LF
        if is_framed and _QUOTE not in text and _LF not in text and _CR not in text and text[-1:] != b"\\":
            self._texts.append(text)  # nearly every chunk of a stream
            if len(self._texts) == UNCOUNTED_TEXTS:
                self._count_texts()
            return False
        if self.is_complete:
            return False
        if self._is_at_start and data.endswith(b"\n") and len(data) <= LIMIT:
            if not _can_matter(data):
                self._keep(data)
                if not is_framed and self._lessons:
                    self._learn(core)
                return False
            decided = self._examine(data)
        else:
            decided = self._cut(data)
        self._is_at_start = bool(self._head) and not self._held and not self._is_skipping and not self.is_complete
        self._frame = len(self._before) + len(self._after) if self._is_at_start and self._before else -1
        return decided

    def _learn(self, core: bytes) -> None:
        """The frame of an event that did not matter, if it has one text, and that is the value of its field."""
        self._lessons -= 1
        found = list(islice(ANSWER.finditer(core), 2))
        if len(found) == 1 and core[found[0].end() :][:2] in (b'",', b'"}', b'"'):
            self._count_texts()
            self._are_pieces = found[0].group(1) is not None
            self._before, self._after = core[: found[0].start(2)], core[found[0].end() :]
            self._frame = len(self._before) + len(self._after)

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
            self._keep(block)
            return False
        return self._examine(block)

    def read(self) -> Reading:
        held = bytes(self._held)
        self._held.clear()
        if _is_end_mark(held) or _event(held) is not None:
            self._examine(held)  # the last line may lack its end; one that was cut off counts for nothing
        elif not self.is_complete:
            self._keep(held)
        last = _event(self._last) or NO_EVENT
        first = last if self._first is self._last else _event(self._first) or NO_EVENT
        head, error = _event(self._head) or NO_EVENT, _event(self._error) or NO_EVENT
        reading = read_events(head, first, last, error, complete=self.is_complete)
        if reading.usage is None:
            reading = reading._replace(characters=self._characters())
        if reading.usage is None and reading.error_code is None and (self._has_skipped or not self._head):
            return reading._replace(problem=TOO_LARGE if self._has_skipped else UNREADABLE)
        return reading

    def _hold(self, data: bytes) -> None:
        if not self._is_skipping:
            self._held += data
        if len(self._held) > LIMIT:
            self._held.clear()
            self._is_skipping = self._has_skipped = True

    def _examine(self, lines: bytes) -> bool:
        """Keeps the lines that matter; True when any decides something."""
        decided = [self._examine_line(line) for line in lines.splitlines()]
        return any(decided)

    def _examine_line(self, line: bytes) -> bool:
        if len(line) > LIMIT:
            self._has_skipped = True
            return False
        if self.is_complete:
            return False
        self._keep(line)
        if not line.startswith(b"data:") or (self._head and not _can_matter(line)):
            return False
        self._head = self._head or line
        has_usage = b'"usage"' in line and _USAGE.search(line) is not None
        if has_usage:
            self._first, self._last = self._first or line, line
        if b'"error"' in line and _ERROR.search(line):
            self._error = line
        self.is_complete = _is_end_mark(line) or _FINAL.match(line) is not None
        return has_usage or self.is_complete

    def _keep(self, lines: bytes) -> None:
        """Keeps whole lines, or the last one that was cut off, until they are counted."""
        self._lines.append(lines)
        self._size += len(lines)
        if self._size > UNCOUNTED:
            self._count_lines()

    def _count_lines(self) -> None:
        self._answer.add_lines(b"\n".join(self._lines))
        self._lines.clear()
        self._size = 0

    def _count_texts(self) -> None:
        self._answer.add_texts(self._texts, are_pieces=self._are_pieces)
        self._texts.clear()

    def _characters(self) -> Characters:
        self._count_lines()
        self._count_texts()
        return self._answer.characters


def _event(line: bytes) -> Event | None:
    return parse_event(line.removeprefix(b"data:")) if line else None


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
