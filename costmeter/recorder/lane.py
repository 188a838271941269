"""A lane: the files of one process in the spool folder. A line that is written is in the operating system's hands.

A lane is a folder of segments, which are appended to, and one state file, which is written in place and locked for
as long as the process lives: whoever can take the lock knows that the process is gone. A segment is NDJSON: an
*intent* for each call that is about to be sent, and a draft (`draft.py`) of each call that ended.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from costmeter.recorder.descriptor import Descriptor

try:
    import fcntl
except ImportError:  # no POSIX: there is no lane, and the spool keeps its records in memory
    fcntl = None  # type: ignore[assignment]  # a module that may be missing

SEGMENT = 1 << 20  # bytes after which a new segment is begun, so that what is delivered can be removed
LOST = ".lost"  # the end of the name of a lane that is over and could not keep everything
INTENT, CLOSED = b'{"intent":', b'{"closed":'  # of equal length: the one becomes the other in place
SPARES = 8
_SPARE = ".spare-"  # the beginning of the name of a lane that is ready to be used
_STATE = "lane.json"
_STATE_SIZE = 512


class Position(NamedTuple):
    """A place in a lane: everything before it."""

    segment: int = 0
    offset: int = 0


START = Position()


class State(NamedTuple):
    """What a lane says of itself: whose it is, what is delivered of it, and how many calls it could not keep."""

    process: int
    host: str
    delivered: Position = START
    unkept: int = 0  # calls that are dropped, or will be lost with the process's memory
    unsure: int = 0  # of these, those whose delivery has begun: a kill now leaves open whether they are delivered

    @property
    def lost(self) -> str:
        """How many calls are lost, once the process is gone."""
        return f"{self.unkept - self.unsure} to {self.unkept}" if self.unsure else str(self.unkept)

    def as_bytes(self) -> bytes:
        """JSON in a fixed size, so that it is replaced in place: that works on a full disk, too."""
        return json.dumps(self._asdict()).encode().ljust(_STATE_SIZE - 1) + b"\n"

    @classmethod
    def read(cls, descriptor: Descriptor) -> State:
        """What the file says; a new state where it says nothing that can be read, so that all is delivered again."""
        try:
            fields = json.loads(os.pread(descriptor.number, _STATE_SIZE, 0))
            return cls(**{**fields, "delivered": Position(*fields["delivered"])})
        except (ValueError, TypeError, KeyError):
            return cls(0, "")


class Lane:
    """The lane of this process. `write` may be called from any thread and from a finalizer: it takes no lock."""

    def __init__(self, folder: Path, lock: Descriptor, state: State, *, sync: bool) -> None:
        self.folder = folder
        self.allowance = float("inf")  # bytes that may still be written
        self._lock = lock
        self._state = state
        self._noting = threading.RLock()
        self._sync = sync
        self._segment = 0
        self._readers: dict[int, Descriptor] = {}  # whatever becomes of the files' names
        self._writing: Descriptor | None = self._begin(0)
        self._retired: dict[int, weakref.ref[Descriptor]] = {}

    @classmethod
    def open(cls, spool: Path, *, sync: bool = False) -> Self:
        """A new lane in a spool folder; raises OSError where there cannot be one."""
        if fcntl is None:
            raise OSError("this system cannot lock files")
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = State(os.getpid(), socket.gethostname()[:64])
        try:
            made, lock = _make(spool, state)
        except OSError:
            taken = _take_spare(spool)
            if taken is None:
                raise
            made, lock = taken
            _replace(lock, state)
        folder = spool / uuid.uuid4().hex
        made.rename(folder)
        lane = cls(folder, lock, state, sync=sync)
        _keep_spares(spool)
        return lane

    def write(self, line: bytes) -> bool:
        """Whether the line is in the operating system's hands (with `sync` on the disk); a torn one counts for nothing.

        One appending write is one line, whatever other threads write. It begins with a line break, so that it is whole
        even where a full disk cut the line before it.
        """
        writing = self._writing
        data = b"\n%b\n" % line
        self.allowance -= len(data)
        if writing is None or self.allowance < 0:
            return False
        try:
            is_whole = os.write(writing.number, data) == len(data)
            if self._sync and is_whole:
                os.fdatasync(writing.number)
        except OSError:
            return False
        return is_whole

    def note(self, state_now: Callable[[], tuple[Position, int, int]]) -> None:
        """Writes down what is delivered, and how many calls are unkept and unsure, in place: that needs no space."""
        with self._noting:
            said = None
            while said != (said := state_now()):  # a finalizer may have changed it while it was written
                self._state = self._state._replace(delivered=said[0], unkept=said[1], unsure=said[2])
                _replace(self._lock, self._state)

    def end(self) -> Position:
        """Where the next line will be."""
        return Position(self._segment, os.fstat(self._readers[self._segment].number).st_size)

    def open_segment(self, segment: int) -> Descriptor | None:
        """A segment to be read; None where it is delivered and removed, or not there yet."""
        reader = self._readers.get(segment)
        return open_to_read(self.folder, segment) if reader is None else reader.duplicate()

    @property
    def is_removed(self) -> bool:
        """Whether somebody removed the lane's files: what is written now would not survive a kill."""
        return os.fstat(self._lock.number).st_nlink == 0

    def begin_segment_if_full(self) -> None:
        """Goes on in a new segment where the present one is large enough, and there is space for one."""
        if self.end().offset < SEGMENT:
            return
        following = self._begin(self._segment + 1)
        assert self._writing is not None
        self._retired[self._segment] = weakref.ref(self._writing)
        self._segment += 1
        self._writing = following
        self._readers = {segment: self._readers[segment] for segment in (self._segment - 1, self._segment)}

    def is_over(self, segment: int) -> bool:
        """Whether nobody writes into a segment any more."""
        return segment < self._segment and self._retired[segment]() is None

    def retire(self) -> bool:
        """Takes no more lines, and removes the lane if all that was written is delivered; else others will find it."""
        if self._writing is not None:
            self._retired[self._segment] = weakref.ref(self._writing)
            self._writing = None
        is_delivered = self._retired[self._segment]() is None and self.end() == self._state.delivered
        if is_delivered:
            remove(self.folder, self._state)
        return is_delivered

    def discard(self) -> None:
        """Removes the lane with what is in it."""
        shutil.rmtree(self.folder)

    def close_in_child(self) -> None:
        """Lets a forked child's copy go: the lane is its parent's, and so is the lock."""
        for descriptor in (self._lock, self._writing, *self._readers.values()):
            if descriptor is not None:
                descriptor.close_in_child()

    def _begin(self, segment: int) -> Descriptor:
        path = segment_path(self.folder, segment)
        begun = Descriptor.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._readers[segment] = begun.duplicate()
        if self._sync:
            folder = Descriptor.open(self.folder, os.O_RDONLY)
            os.fsync(folder.number)
        return begun


def _make(spool: Path, state: State) -> tuple[Path, Descriptor]:
    """A folder with a locked state, not to be seen by others yet."""
    made = spool / f".{uuid.uuid4().hex}"
    made.mkdir(mode=0o700)
    try:
        lock = Descriptor.open(made / _STATE, os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _replace(lock, state)
        Descriptor.open(segment_path(made, 0), os.O_RDWR | os.O_CREAT)  # a full disk may have no space for a name
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return made, lock


def _keep_spares(spool: Path) -> None:
    """Keeps some lanes ready: they have the space to count what a full disk will not let be written."""
    try:
        for _ in range(SPARES - len(list(spool.glob(f"{_SPARE}*")))):
            made, lock = _make(spool, State(0, ""))
            del lock
            made.rename(spool / f"{_SPARE}{made.name}")
    except OSError:
        pass  # the next lane tries again


def _take_spare(spool: Path) -> tuple[Path, Descriptor] | None:
    for made in spool.glob(f"{_SPARE}*"):
        taken = take_over(made)
        if taken is not None:
            return made, taken[0]
    return None


def segment_path(folder: Path, segment: int) -> Path:
    return folder / f"{segment:06d}.ndjson"


def open_to_read(folder: Path, segment: int) -> Descriptor | None:
    """A segment of any lane; None where it is delivered and removed, or not there yet."""
    try:
        return Descriptor.open(segment_path(folder, segment), os.O_RDONLY)
    except FileNotFoundError:
        return None


def segments(folder: Path) -> list[int]:
    """The segments that a lane has, oldest first."""
    return sorted(int(path.stem) for path in folder.glob("*.ndjson"))


def take_over(folder: Path) -> tuple[Descriptor, State] | None:
    """The lock and the state of a lane whose process is gone; None while it lives, or where the lane is gone, too."""
    try:
        lock = Descriptor.open(folder / _STATE, os.O_RDWR)
        fcntl.flock(lock.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = os.fstat(lock.number).st_ino == (folder / _STATE).stat().st_ino
    except OSError:
        return None
    return (lock, State.read(lock)) if is_there else None


def peek_state(folder: Path) -> State | None:
    """What a lane says of itself, whoever holds it; None where it is gone."""
    try:
        return State.read(Descriptor.open(folder / _STATE, os.O_RDONLY))
    except OSError:
        return None


def remove(folder: Path, state: State) -> None:
    """Removes a lane that is delivered; its state stays, under another name, if it could not keep everything."""
    if not folder.exists():  # somebody else removed it
        return
    for segment in segments(folder):
        segment_path(folder, segment).unlink(missing_ok=True)
    if state.unkept:
        folder.rename(folder.with_name(folder.name + LOST))
    else:
        (folder / _STATE).unlink(missing_ok=True)
        folder.rmdir()


def lanes(spool: Path) -> Iterator[Path]:
    """The lanes in a spool folder, oldest first; those that are over and lost something are not among them."""
    try:
        found = [(path.stat().st_mtime, path) for path in spool.iterdir() if path.is_dir()]
    except OSError:
        return
    for _, path in sorted(found):
        if not path.name.startswith(".") and not path.name.endswith(LOST):
            yield path


def size(spool: Path) -> int:
    """The bytes that all lanes of a spool folder take."""
    return _bytes(spool.glob("*/*.ndjson"))


def lane_size(folder: Path) -> int:
    """The bytes that one lane takes."""
    return _bytes(folder.glob("*.ndjson"))


def _bytes(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except OSError:  # delivered and removed meanwhile
            continue
    return total


def _replace(lock: Descriptor, state: State) -> None:
    os.pwrite(lock.number, state.as_bytes(), 0)
