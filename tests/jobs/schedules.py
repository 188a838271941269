"""Schedulers for the tests: jobs that leave a line for each time they are done, in processes of their own."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from costmeter.jobs.job import Job
from costmeter.jobs.scheduler import Scheduler
from costmeter.services.run_job import Done
from costmeter.store.engine import open_engine
from costmeter.store.tables import RunRow
from tests.forked import Child, Say, fork
from tests.jobs.stepped import SteppedClock
from tests.make import rows

LEASE = timedelta(seconds=1.5)
SECOND = timedelta(seconds=1)
STARTED: list[Child] = []  # in this test
LONGEST = 40  # seconds that a test waits for something before it gives up


def a_job(file: Path, name: str = "tick", *, every: timedelta = SECOND, seconds: float = 0) -> Job:
    """A job that leaves a line at its beginning and one at its end."""

    def work() -> Done:
        leave(file, "begun")
        time.sleep(seconds)
        leave(file, "done")
        return Done("left a line")

    return Job(name, "leave a line", work, every)


def leave(file: Path, line: str) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(f"{line}\n")


def left(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def scheduler_process(url: str, *jobs: Job, clock: SteppedClock | None = None) -> Child:
    """A scheduler in a process of its own, until SIGTERM; by a clock that the test puts where it is given one."""
    by = clock or SteppedClock()

    def work(_say: Say) -> None:
        by.rule_the_timer()
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        engine = open_engine(url)
        Scheduler(engine, jobs, lease=LEASE, clock=by.now).run(stop)
        engine.dispose()

    STARTED.append(fork(work))
    return STARTED[-1]


def runs(engine: Engine, **where: Any) -> list[dict[str, Any]]:
    """The rows of runs, oldest first, that have these values."""
    found = rows(engine, RunRow, RunRow.scheduled_for)
    return [row for row in found if all(row[name] == value for name, value in where.items())]


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Waits until something holds; fails, saying what did not come to be, where it never does."""
    for _ in range(LONGEST * 20):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")
