"""The scheduler: APScheduler keeps the time, the lease says whether it is ours to run what is due."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from costmeter.core.errors import CostmeterError
from costmeter.jobs.job import EPOCH, Job
from costmeter.services.run_job import run_job
from costmeter.services.take_lease import give_lease_back, take_lease
from costmeter.store.runs import DONE, FAILED, Run

LEASE = timedelta(seconds=60)  # how long jobs wait for the next scheduler when one dies
RENEWALS = 4  # in the time of a lease
PUT = timedelta(seconds=1)  # more than this between the clock and the time that passed: it was put

log = logging.getLogger("costmeter.jobs")


class Scheduler:
    """Runs jobs at their instants while it holds the lease, and stands by while another one does.

    A job whose newest instant nobody ran (all schedulers were down, or the one that ran it died) is run as soon as the
    lease is taken, and so it is once the clock was put; earlier instants are not made up for, and none is run twice.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Sequence[Job],
        *,
        lease: timedelta = LEASE,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.owner = _new_owner()
        self._engine, self._jobs, self._lease, self._clock = engine, jobs, lease, clock
        self._held_until = EPOCH
        self._seen_at = clock(), time.monotonic()
        self._is_ending = False
        self._timer = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(2 * len(jobs))},  # a long job keeps no other waiting
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def run(self, stop: threading.Event) -> None:
        """Run until told to stop; then let what is running finish, and give the lease back."""
        for job in self._jobs:
            self._timer.add_job(self._run_due, _trigger(job), args=[job], id=job.name)
        self._timer.start()
        log.info("scheduler %s is ready", self.owner)
        while not stop.is_set():
            was_put = self._clock_was_put()
            if was_put:
                self._begin_timer_anew()
            if self._hold() or was_put:
                self._catch_up()
            stop.wait(self._seconds_to_renewal())
        log.info("scheduler %s ends when its jobs have", self.owner)
        self._is_ending = True
        self._work_holding(self._timer.shutdown)
        self._give_back()

    def run_once(self) -> list[Run] | None:
        """Run what is due, one after the other; None where another scheduler holds the lease."""
        if not self._hold():
            return None
        done: list[Run | None] = []
        self._work_holding(lambda: done.extend(self._run_due(job) for job in self._jobs))
        self._give_back()
        return [run for run in done if run is not None]

    def _catch_up(self) -> None:
        """Run each job whose newest instant nobody has run; the row of the run tells."""
        for job in self._jobs:
            self._timer.add_job(self._run_due, args=[job], id=f"{job.name} at once", replace_existing=True)

    def _clock_was_put(self) -> bool:
        """Whether the clock, since this was asked last, went on by another time than passed."""
        before, passed = self._seen_at, time.monotonic()
        self._seen_at = now, _ = self._clock(), passed
        by = now - before[0] - timedelta(seconds=passed - before[1])
        if abs(by) <= PUT:
            return False
        log.warning("the clock was put by %s", by)
        return True

    def _begin_timer_anew(self) -> None:
        """Count each job's instants from the present clock: the timer waits for those of the one before."""
        for job in self._jobs:
            self._timer.reschedule_job(job.name, trigger=_trigger(job))

    def _run_due(self, job: Job) -> Run | None:
        now = self._clock()
        if self._is_ending or now >= self._held_until:
            return None
        try:
            run = run_job(self._engine, job.name, job.due(now), job.work, owner=self.owner, clock=self._clock)
        except (CostmeterError, SQLAlchemyError) as error:  # of the rows about the run, not of the work
            log.error("job %s could not be kept account of: %s", job.name, _described(error))
            self._begin_anew()
            return None
        if run is not None:
            _tell(run)
        return run

    def _begin_anew(self) -> None:
        """Be another owner: what became of a run is not known, and so it is lost to whoever has the lease next."""
        self.owner, self._held_until = _new_owner(), EPOCH

    def _hold(self) -> bool:
        """Take or renew the lease; whether it is new. A database that is away leaves things as they are."""
        now = self._clock()
        try:
            taken = take_lease(self._engine, self.owner, now=now, until=now + self._lease)
        except (CostmeterError, SQLAlchemyError) as error:
            log.warning("the lease could not be renewed: %s", _described(error))
            return False
        if self._held_until > EPOCH and not taken.is_held:
            log.warning("another scheduler has the lease")
        self._held_until = now + self._lease if taken.is_held else EPOCH
        if taken.is_new:
            log.info("scheduler %s has the lease", self.owner)
        for run in taken.lost:
            log.warning("job %s of %s was lost with %s", run.job, run.scheduled_for.isoformat(), run.owner)
        return taken.is_new

    def _work_holding(self, work: Callable[[], object]) -> None:
        """Do something that may take long, and renew the lease meanwhile."""
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            thread.join(self._seconds_to_renewal())
            if thread.is_alive() and self._held_until > EPOCH:
                self._hold()

    def _give_back(self) -> None:
        try:
            give_lease_back(self._engine, self.owner, now=self._clock())
        except (CostmeterError, SQLAlchemyError) as error:
            log.warning("the lease could not be given back and expires by itself: %s", _described(error))

    def _seconds_to_renewal(self) -> float:
        return self._lease.total_seconds() / RENEWALS


def _trigger(job: Job) -> IntervalTrigger:
    return IntervalTrigger(seconds=int(job.every.total_seconds()), start_date=job.first, timezone=UTC)


def _new_owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


def _tell(run: Run) -> None:
    """A line in the log: quiet for what is as it should be, loud for what needs a hand."""
    level = {DONE: logging.INFO, FAILED: logging.ERROR}.get(run.outcome, logging.WARNING)
    extra = {"job": run.job, "scheduled_for": run.scheduled_for.isoformat(), "outcome": run.outcome}
    log.log(
        level,
        "job %s: %s; %s%s",
        run.job,
        run.outcome,
        run.said or "",
        f"\n{run.error}" if run.error else "",
        extra=extra,
    )


def _described(error: Exception) -> str:
    """An error in one line; of the database only what it said."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
