"""Run a job at an instant of its schedule: once, by whoever holds the lease, and with a row that says how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import StatementError

from costmeter.core.secrets import without_secrets
from costmeter.store import leases, runs
from costmeter.store.engine import in_transaction
from costmeter.store.runs import DONE, FAILED, LOST, RUNNING, WARNED, Run

KEPT = timedelta(days=30)
MOST_WARNINGS = 20  # that a run keeps; the log has them all


class Done(NamedTuple):
    """What a job did, and what it found that needs a hand."""

    said: str
    warnings: Sequence[str] = ()


def run_job(
    engine: Engine,
    job: str,
    scheduled_for: datetime,
    work: Callable[[], Done],
    *,
    owner: str,
    clock: Callable[[], datetime],
) -> Run | None:
    """The run as it ended; None where it is not the owner's to do: done already, under way, or without the lease.

    An error of the work is the run's outcome and is raised no further. A run that was given up for lost while it went
    on, as its owner's lease had expired, is told as lost and leaves the row as it is.
    """
    began = clock()

    def start(connection: Connection) -> int | None:
        if not leases.lock(connection, owner, began):
            return None
        runs.forget(connection, job, began - KEPT)
        return runs.start(connection, job, scheduled_for, owner=owner, now=began)

    attempt = in_transaction(engine, start)
    if attempt is None:
        return None
    run = Run(job, scheduled_for, attempt, owner, began, None, RUNNING, None, None)
    try:
        done = work()
        run = run._replace(outcome=WARNED if done.warnings else DONE, said=done.said, error=_joined(done.warnings))
    except Exception as error:  # noqa: BLE001  whatever it is, it is what became of the run
        run = run._replace(outcome=FAILED, error=_described(error))
    run = run._replace(finished_at=clock())
    is_kept = in_transaction(engine, lambda connection: runs.finish(connection, run))
    return run if is_kept else run._replace(outcome=LOST)


def _joined(warnings: Sequence[str]) -> str | None:
    more = len(warnings) - MOST_WARNINGS
    shown = [*warnings[:MOST_WARNINGS], *([f"and {more} more"] if more > 0 else [])]
    return "\n".join(shown) or None


def _described(error: Exception) -> str:
    """An error in one line, without keys; of the database only what it said, not the statement and its values."""
    said = error.orig if isinstance(error, StatementError) else error
    return without_secrets(f"{type(error).__name__}: {' '.join(str(said).split())}")
