"""The spools of this process together: the default one, flushing all, and the last chance at exit."""

from __future__ import annotations

import atexit
import logging
import time

from costmeter.recorder.delivery import Deliver, open_in_each_process
from costmeter.recorder.processes import live_spools
from costmeter.recorder.spool import Spool

logger = logging.getLogger("costmeter.recorder")

EXIT_PATIENCE = 5.0  # seconds that a program's end may wait for its last records


def default_spool() -> Spool:
    """The spool that delivers to the database of the settings; the database is opened at the first delivery."""
    return _default


def flush(timeout: float = 5.0) -> bool:
    """True when everything that this process recorded so far is in the database and posted."""
    deadline = time.monotonic() + timeout
    flushed = [spool.flush(max(0.0, deadline - time.monotonic())) for spool in live_spools()]
    return all(flushed)


def _open_recorder() -> Deliver:
    from costmeter.wiring import open_recorder

    return open_recorder()


# Made here, where no two threads can be: it is only a queue until the first record comes.
_default = Spool(open_in_each_process(_open_recorder))


@atexit.register
def _at_exit() -> None:
    flush(EXIT_PATIENCE)
    for counts in [spool.counts for spool in live_spools()]:
        if counts.waiting or counts.dropped:
            logger.error("lost at exit: %d records not delivered, %d dropped", counts.waiting, counts.dropped)
