"""The spools of this process, at a fork and at the end of a worker."""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costmeter.recorder.spool import Spool

_spools: weakref.WeakSet[Spool] = weakref.WeakSet()


def register(spool: Spool) -> None:
    """Makes a spool known; it is forgotten with its last record."""
    _spools.add(spool)


def live_spools() -> list[Spool]:
    """Every spool of this process."""
    return list(_spools)


def close_at_worker_exit(spool: Spool) -> None:
    """A worker of multiprocessing ends without atexit; it runs finalizers of its own."""
    if "multiprocessing.process" in sys.modules:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            util.Finalize(None, spool.close, exitpriority=10)


def _start_afresh() -> None:
    for spool in live_spools():
        spool.close_in_child()
        spool.start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
