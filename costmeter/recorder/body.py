"""The two kinds of body that an answer comes in, read in bounded memory: one JSON object, or server-sent events."""

from __future__ import annotations

import re
from itertools import islice, takewhile

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
LESSONS = 8  # frames that are learnt from a stream; where every event has another, none is worth learning
AT_THE_END = 64  # bytes in which a stream that ends says so
AT_THE_ENDS = 4  # lines at either end of many that are looked at one by one: what matters is hardly ever between them
UNCOUNTED_TEXTS = 16 << 10  # bytes of texts of known frames that are kept until they are counted
UNCOUNTED = 64 << 10  # bytes of other lines that are kept until they are counted: most streams end before

_BREAK = b"\n\n"  # between two events
_USAGE = re.compile(rb'"usage"\s*:\s*\{\s*"')  # an object that counts something: not null, not empty
_ERROR = re.compile(rb'"error"\s*:\s*\{|"type"\s*:\s*"error"')
_FINAL = re.compile(rb'data:\s*\{\s*"type"\s*:\s*"(?:%s)"' % b"|".join(re.escape(t.encode()) for t in FINAL_TYPES))


def is_whole(data: bytes | bytearray) -> bool:
    """Whether a body that is all here is one JSON object, and not too large to be read."""
    return data.startswith(b"{") and len(data) <= LIMIT


def read_whole(data: bytes) -> Reading:
    """The reading of a body that is one JSON object and all here."""
    reading = read_body(data)
    if reading.usage is not None:
        return reading
    answer = Answer()
    answer.add_body(data)
    return reading._replace(characters=answer.characters)


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
        reading = read_whole(bytes(self._buffer))
        return reading._replace(usage=None, problem=TOO_LARGE) if self._is_too_large else reading


class EventLines:
    """Server-sent events: of all lines only those that can matter are kept, and none is parsed before the end.

    Most events of a stream are one text each in the frame of the one before. A frame is learnt from an event that did
    not matter: another text without quotes and line ends between the same bytes cannot matter either, whatever it says.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._held = bytearray()  # the line that has not ended yet
        self._is_skipping = False  # inside a line that is too long
        self._has_skipped = False
        self._is_at_start = False  # of a line, and not the first one
        self._is_typed = False  # whether events say what they are, as those of a chat do not
        self._head = self._first = self._last = self._error = b""
        self._before = self._after = b""  # the frame: what stands before a text and after it
        self._are_pieces = False  # what the texts in it are
        self._lessons = LESSONS
        self._texts = bytearray()  # each with a quote behind it
        self._lines: list[bytes] = []
        self._size = 0  # of the lines
        self._answer = Answer()

    def take(self, data: bytes) -> bool:
        if self._pass_over(data) or self.is_complete:
            return False
        decided = self._cut(data)
        self._is_at_start = bool(self._head) and not self._held and not self._is_skipping and not self.is_complete
        return decided

    def _pass_over(self, lines: bytes) -> bool:
        """Keeps whole lines where none of them can matter; False, and nothing taken, where one can."""
        if not self._is_at_start or not lines.endswith(b"\n") or len(lines) > LIMIT:
            return False
        if self._before and self._is_framed(lines):
            return True
        if self._matters(lines):
            return False
        self._keep(lines)
        if self._lessons:
            self._learn(lines)
        return True

    def _is_framed(self, lines: bytes) -> bool:
        """Whether these are texts in the known frame; then they are kept."""
        before, after = self._before, self._after
        events = lines.removesuffix(_BREAK).split(_BREAK)
        texts = [event.removeprefix(before).removesuffix(after) for event in events]
        if sum(map(len, texts)) + len(texts) * (len(before) + len(after) + len(_BREAK)) != len(lines):
            return False
        joined = b'"'.join(texts) + b'"'
        if joined.count(b'"') != len(texts) or b'\\"' in joined or b"\n" in joined or b"\r" in joined:
            return False
        self._texts += joined
        if len(self._texts) > UNCOUNTED_TEXTS:
            self._count_texts()
        return True

    def _learn(self, lines: bytes) -> None:
        """The frame of the last event, if that has one text, and the text is the value of its field."""
        self._lessons -= 1
        event = lines.removesuffix(_BREAK).rpartition(_BREAK)[2]
        found = [] if b'"error"' in event else list(islice(ANSWER.finditer(event), 2))
        if len(found) == 1 and event[found[0].end() :][:2] in (b'",', b'"}'):
            self._count_texts()
            self._are_pieces = found[0].group(1) is not None
            self._before, self._after = event[: found[0].start(2)], event[found[0].end() :]

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
        if self._head and len(block) <= LIMIT and not self._ends_in(block[-AT_THE_END:]) and not self._matters(block):
            self._keep(block)
            return False
        return self._examine(block)

    def read(self) -> Reading:
        held = bytes(self._held)
        self._held.clear()
        if _is_end_mark(held) or _event(held) is not None:
            self._examine(held)  # the last line may lack its end; one that was cut off counts for nothing
            held = b""
        last, head = _event(self._last) or NO_EVENT, _event(self._head) or NO_EVENT
        first = last if self._first is self._last else _event(self._first) or NO_EVENT
        reading = read_events(head, first, last, NO_EVENT, complete=self.is_complete)
        return reading if reading.usage is not None else self._without_usage(head, first, last, held)

    def _without_usage(self, head: Event, first: Event, last: Event, held: bytes) -> Reading:
        """What can be said of a stream all the same: its error, and what its answer came to as far as it was seen."""
        self._count_lines()  # before a line that was cut off, which is no error
        if not self.is_complete:
            self._keep(held)
        error = _event(self._error) or NO_EVENT
        reading = read_events(head, first, last, error, complete=self.is_complete)
        reading = reading._replace(characters=self._characters())
        if reading.error_code is None and (self._has_skipped or not self._head):
            return reading._replace(problem=TOO_LARGE if self._has_skipped else UNREADABLE)
        return reading

    def _hold(self, data: bytes) -> None:
        if not self._is_skipping:
            self._held += data
        if len(self._held) > LIMIT:
            self._held.clear()
            self._is_skipping = self._has_skipped = True

    def _examine(self, block: bytes) -> bool:
        """Keeps the lines of a block, and what they say; True when any of them decides something."""
        cuts = _cuts(block) if len(block) <= LIMIT else None
        if cuts is None:
            return self._examine_lines(block.splitlines())
        first, between, last = block[: cuts[0]], block[cuts[0] : cuts[1]], block[cuts[1] :].splitlines()
        decided = self._examine_lines(first.splitlines())
        if self.is_complete:
            return decided
        if self._head and not self._ends_in(between) and (self._is_counted_by(last) or not _counts(between)):
            self._keep(between)
        else:
            decided |= self._examine_lines(between.splitlines())
        return self._examine_lines(last) or decided

    def _examine_lines(self, lines: list[bytes]) -> bool:
        decided = [self._examine_line(line) for line in lines]
        return any(decided)

    def _examine_line(self, line: bytes) -> bool:
        if len(line) > LIMIT:
            self._has_skipped = True
            return False
        if self.is_complete or not line:
            return False
        self._keep(line)
        if not line.startswith(b"data:"):
            return False
        if not self._head:
            self._head, self._is_typed = line, b'"type"' in line
        elif not self._matters(line):
            return False
        has_usage = _has_usage(line)
        if has_usage:
            self._first, self._last = (self._is_typed and self._first) or line, line
        self.is_complete = _is_end_mark(line) or _FINAL.match(line) is not None
        return has_usage or self.is_complete

    def _matters(self, lines: bytes) -> bool:
        """Whether any of these lines may matter: a few byte searches, since most lines of a stream do not."""
        return self._ends_in(lines) or _counts(lines)

    def _ends_in(self, lines: bytes) -> bool:
        """Whether the stream may end in these lines; where events say what they are, also by failing."""
        if lines.rfind(b"[DONE]") >= 0:  # a third of the time of a search from the start
            return True
        return self._is_typed and (b"message_stop" in lines or b'"error"' in lines)

    def _is_counted_by(self, last: list[bytes]) -> bool:
        """Whether what lines before these count is of no account: the last usage counts, and these have one.

        Where events say what they are, the first usage counts, too.
        """
        if self._is_typed:
            return False
        return any(_has_usage(line) and line.startswith(b"data:") for line in takewhile(_goes_on, last))

    def _keep(self, lines: bytes) -> None:
        """Keeps whole lines, or the last one that was cut off, until they are counted."""
        self._lines.append(lines)
        self._size += len(lines)
        if self._size > UNCOUNTED:
            self._count_lines()

    def _count_lines(self) -> None:
        lines = b"\n".join(self._lines)
        if b'"error"' in lines:
            errors = [line for line in lines.splitlines() if line.startswith(b"data:") and _ERROR.search(line)]
            self._error = errors[-1] if errors else self._error
        self._answer.add_lines(lines)
        self._lines.clear()
        self._size = 0

    def _count_texts(self) -> None:
        self._answer.add_texts(bytes(self._texts).split(b'"'), are_pieces=self._are_pieces)
        self._texts.clear()

    def _characters(self) -> Characters:
        self._count_lines()
        self._count_texts()
        return self._answer.characters


def _event(line: bytes) -> Event | None:
    return parse_event(line.removeprefix(b"data:")) if line else None


def _is_end_mark(line: bytes) -> bool:
    return b"[DONE]" in line and line.startswith(b"data:") and line[5:].lstrip().startswith(b"[DONE]")


def _goes_on(line: bytes) -> bool:
    return not _is_end_mark(line) and _FINAL.match(line) is None


def _has_usage(line: bytes) -> bool:
    at = line.find(b'"usage"')
    return at >= 0 and _USAGE.search(line, at) is not None


def _counts(lines: bytes) -> bool:
    """Whether any of these lines may count something."""
    return b'"usage"' in lines and lines.count(b'"usage"') != lines.count(b'"usage":null')


def _cuts(block: bytes) -> tuple[int, int] | None:
    """Where the first lines of a block end, and where its last ones begin; None where it has hardly more."""
    if b"\r" in block:
        return None  # another end of lines: rare, and all of them are looked at
    after, before = 0, len(block)
    for _ in range(AT_THE_ENDS):
        after = block.find(b"\n", after) + 1
        if not after:
            return None
    for _ in range(AT_THE_ENDS + 1):
        before = block.rfind(b"\n", 0, before)
    return (after, before + 1) if before >= after else None
