"""What a lane holds that is not delivered yet, read in the order in which it was written."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from costmeter.core.events import UNMETERED
from costmeter.core.periods import EPOCH, format_instant, parse_instant
from costmeter.recorder.descriptor import Descriptor
from costmeter.recorder.draft import decode
from costmeter.recorder.lane import CLOSED, INTENT, START, Position, segment_path, segments
from costmeter.recorder.record import complete

Record = dict[str, Any]

PROCESS_DIED = "process died"
_END = b'\n{"ended":'
_BEFORE_ID = len(INTENT + b'{"event_id":"')
_CHUNK = 256 << 10  # bytes read at a time


class _Open(NamedTuple):
    """A call without an end so far: where its intent stands, and the intent."""

    position: Position
    line: bytes


class Backlog:
    """One reader of one lane. `position` is before everything that `read` has not given yet."""

    def __init__(
        self,
        folder: Path,
        *,
        open_segment: Callable[[int], Descriptor | None],
        is_over: Callable[[int], bool],
        delivered: Position = START,
    ) -> None:
        self.position = START
        self.open: dict[str, _Open] = {}
        self._folder = folder
        self._open_segment = open_segment
        self._is_over = is_over
        self._delivered = delivered
        self._file: Descriptor | None = None
        self._lines: deque[tuple[bytes, int]] = deque()
        self._last_instant = EPOCH

    def read(self, limit: int) -> list[Record]:
        """The next records, at most so many; empty where there are none so far."""
        records: list[Record] = []
        while len(records) < limit and (self._lines or self._fill()):
            line, end = self._lines.popleft()
            start, self.position = self.position, Position(self.position.segment, end)
            record = self._examine(line, Position(start.segment, end - len(line) - 1)) if line else None
            if record is not None and self.position > self._delivered:
                records.append(record)
        return records

    def died(self) -> list[Record]:
        """Once everything is read of a lane whose process is gone: a record of each call that never ended.

        When the process died is not known; not before the last instant that the lane tells of.
        """
        records = []
        for intent in self.open.values():
            with suppress(ValueError, KeyError, TypeError):  # cut off by a full disk, and it looked whole
                records.append(complete(decode(intent.line)))
                self._remember(records[-1]["started_at"])
        completed_at = format_instant(self._last_instant)
        ended = {"status": UNMETERED, "usage": None, "reason": PROCESS_DIED, "completed_at": completed_at}
        return [{**record, **ended} for record in records]

    def count_ends(self, delivered: Position) -> int:
        """How many records stand in the lane behind a position."""
        count = 0
        segment, offset = delivered
        while (file := self._open_segment(segment)) is not None:
            held = b""
            while data := os.pread(file.number, _CHUNK, offset):
                count += (held + data).count(_END)
                held, offset = data[1 - len(_END) :], offset + len(data)
            segment, offset = segment + 1, 0
        return count

    def close_intent(self, event_id: str) -> None:
        """Takes back the intent of a call whose end went another way, in place."""
        found = self.open.pop(event_id, None)
        if found is not None:
            with suppress(FileNotFoundError):  # somebody removed it: nobody will find the intent either
                file = Descriptor.open(segment_path(self._folder, found.position.segment), os.O_WRONLY)
                os.pwrite(file.number, CLOSED, found.position.offset)

    def remove_delivered(self, delivered: Position) -> None:
        """Removes the segments before a position in which no call is open."""
        needed = {position.segment for position, _ in self.open.values()}
        for segment in segments(self._folder):
            if segment < delivered.segment and segment not in needed:
                segment_path(self._folder, segment).unlink(missing_ok=True)

    def _fill(self) -> bool:
        """Reads on, into the next segment where this one is over; False where nothing new is whole."""
        while True:
            is_over = self._is_over(self.position.segment)  # asked before the end is looked for
            if self._file is None:
                self._file = self._open_segment(self.position.segment)
            data = b"" if self._file is None else os.pread(self._file.number, _CHUNK, self.position.offset)
            data = self._whole(data)
            if data:
                end = self.position.offset
                for line in data.splitlines(keepends=True):
                    end += len(line)
                    self._lines.append((line[:-1], end))
                return True
            if not is_over:
                return False
            self.position, self._file = Position(self.position.segment + 1, 0), None

    def _whole(self, data: bytes) -> bytes:
        """The whole lines of what was read; a line longer than a chunk is read to its end."""
        while data and b"\n" not in data[1:]:
            assert self._file is not None
            more = os.pread(self._file.number, _CHUNK, self.position.offset + len(data))
            if not more:
                return b""
            data += more
        return data[: data.rfind(b"\n") + 1]

    def _examine(self, line: bytes, position: Position) -> Record | None:
        """The record that a line is; an intent is remembered, and what is torn or taken back is passed over."""
        if line.startswith(CLOSED):
            return None
        if line.startswith(INTENT):
            if line.endswith(b'"}}'):  # else it was cut off by a full disk, and its call was told so
                event_id = line[_BEFORE_ID : line.index(b'"', _BEFORE_ID)].decode()
                self.open[event_id] = _Open(position, line)  # parsed only if it is all that is left of the call
            return None
        try:
            record = complete(decode(line))
            self._remember(record["completed_at"])
        except (ValueError, KeyError, TypeError):
            return None  # cut off by a full disk: the record went another way
        event_id = record["event_id"]
        if event_id in self.open:
            if self.open[event_id].position.segment == position.segment:
                del self.open[event_id]
            else:  # the end may be removed before the intent is
                self.close_intent(event_id)
        return record

    def _remember(self, instant: str) -> None:
        self._last_instant = max(self._last_instant, parse_instant(instant))
