"""The spools of this process together: the default one, flushing all, and the last chance at exit."""

from __future__ import annotations

import atexit
import logging
import threading
import time

from costmeter.recorder.processes import live_spools
from costmeter.recorder.spool import Counts, Spool

logger = logging.getLogger("costmeter.recorder")

EXIT_PATIENCE = 5.0  # seconds that a program's end may wait for its last records

_making = threading.Lock()
_default: Spool | None = None


def default_spool() -> Spool:
    """The spool that delivers to the database of the settings. Raises InputError where a setting cannot be used."""
    global _default
    with _making:
        if _default is None:
            from costmeter.wiring import open_spool

            _default = open_spool()
        return _default


def flush(timeout: float = 5.0) -> bool:
    """True when everything that this process recorded so far is in the database and posted."""
    deadline = time.monotonic() + timeout
    flushed = [spool.flush(max(0.0, deadline - time.monotonic())) for spool in live_spools()]
    return all(flushed)


def stats() -> Counts:
    """What became of this process's calls: recorded = delivered + waiting; dropped ones are none of these."""
    each = [spool.counts for spool in live_spools()]
    return Counts(*(sum(counts) for counts in zip(*each, strict=True))) if each else Counts(0, 0, 0, 0)


@atexit.register
def _at_exit() -> None:
    deadline = time.monotonic() + EXIT_PATIENCE
    for spool in live_spools():
        spool.close(max(0.0, deadline - time.monotonic()))
        spool.disconnect()
    counts = stats()
    if counts.recorded or counts.dropped:
        level = logging.WARNING if counts.waiting or counts.dropped else logging.INFO
        logger.log(level, "%d calls recorded: %d delivered, %d waiting, %d dropped", *counts)
