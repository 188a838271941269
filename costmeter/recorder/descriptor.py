"""A file descriptor that closes itself when nobody holds it any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self


class Descriptor:
    """An open file by its number.

    It is never closed by hand: a thread that is about to write holds it, and a number that is closed under its hands
    may at once be that of another file, into which its line would go.
    """

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number

    @classmethod
    def open(cls, path: Path, flags: int) -> Self:
        """Opens a file, which only its owner may read."""
        return cls(os.open(path, flags | os.O_CLOEXEC, 0o600))

    def duplicate(self) -> Descriptor:
        """Another descriptor of the same open file."""
        return Descriptor(os.dup(self.number))

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)

    def close_in_child(self) -> None:
        """Closes a forked child's copy: its other threads, which may hold it for ever, do not run."""
        if self.number >= 0:
            os.close(self.number)
            self.number = -1
