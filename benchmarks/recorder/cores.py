"""The client on the first core and the server on the last, where a process can be pinned."""

from __future__ import annotations

import os

CLIENT, SERVER = 0, -1


def pin(place: int) -> None:
    """Pins this process to one of the cores that it may run on; where that is not possible it runs anywhere."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[place]})
