"""The runs of jobs: each at an instant of its schedule, once."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from costmeter.core.errors import InputError
from costmeter.core.periods import format_instant, parse_instant
from costmeter.store.bulk import inserting
from costmeter.store.schedule_tables import RunRow

RUNNING, DONE, WARNED, FAILED, LOST = "running", "done", "warned", "failed", "lost"
OUTCOMES = (RUNNING, DONE, WARNED, FAILED, LOST)
MOST_ATTEMPTS = 3  # a job that ends its process each time is left alone until its next instant


class Run(NamedTuple):
    """One run. `outcome`: running, done, warned (it found what needs a hand), failed, or lost with its process."""

    job: str
    scheduled_for: datetime
    attempt: int
    owner: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    said: str | None
    error: str | None


_COLUMNS = tuple(getattr(RunRow, name) for name in Run._fields)


def start(connection: Connection, job: str, scheduled_for: datetime, *, owner: str, now: datetime) -> int | None:
    """The attempt that this is, where the run is the owner's to do: nobody began it, or whoever did is gone."""
    began = {"owner": owner, "started_at": now, "finished_at": None, "outcome": RUNNING, "said": None, "error": None}
    new = inserting(connection, RunRow).values(job=job, scheduled_for=scheduled_for, attempt=1, **began)
    again = new.on_conflict_do_update(
        index_elements=[RunRow.job, RunRow.scheduled_for],
        set_={**began, "attempt": RunRow.attempt + 1},
        where=(RunRow.outcome == LOST) & (RunRow.attempt < MOST_ATTEMPTS),
    )
    return connection.execute(again.returning(RunRow.attempt)).scalar_one_or_none()


def finish(connection: Connection, run: Run) -> bool:
    """Keep how a run ended; False where it was given up for lost meanwhile."""
    mine = (RunRow.job == run.job, RunRow.scheduled_for == run.scheduled_for, RunRow.owner == run.owner)
    ended = update(RunRow).where(*mine, RunRow.outcome == RUNNING)
    names = ("finished_at", "outcome", "said", "error")
    return connection.execute(ended.values({name: getattr(run, name) for name in names})).rowcount == 1


def lose(connection: Connection, owner: str, now: datetime) -> list[Run]:
    """Give up the runs that others than the owner, who now has the lease, left running."""
    theirs = update(RunRow).where(RunRow.outcome == RUNNING, RunRow.owner != owner)
    lost = theirs.values(outcome=LOST, finished_at=now, error="its process ended, or lost the lease")
    return [Run(*row) for row in connection.execute(lost.returning(*_COLUMNS))]


def forget(connection: Connection, job: str, before: datetime) -> None:
    """Delete the old runs of a job."""
    connection.execute(delete(RunRow).where(RunRow.job == job, RunRow.scheduled_for < before))


def newest(connection: Connection) -> dict[str, Run]:
    """The newest run of each job."""
    last = select(RunRow.job, func.max(RunRow.scheduled_for).label("at")).group_by(RunRow.job).subquery()
    both = (RunRow.job == last.c.job) & (RunRow.scheduled_for == last.c.at)
    return {row.job: Run(*row) for row in connection.execute(select(*_COLUMNS).join(last, both))}


def listed(
    connection: Connection,
    *,
    job: str | None = None,
    outcome: str | None = None,
    before: str | None = None,
    limit: int,
) -> list[Run]:
    """Runs, the newest instant first; of one job or outcome, and after the place of another, where one is given."""
    after = None if before is None else _placed(before)
    names = connection.scalars(select(RunRow.job).distinct()) if job is None else [job]
    found = [run for name in sorted(names) for run in _of_job(connection, name, outcome, after, limit)]
    return sorted(found, key=lambda run: run.scheduled_for, reverse=True)[:limit]


def place(run: Run) -> str:
    """Where a run stands in the list."""
    return f"{format_instant(run.scheduled_for)} {run.job}"


def _of_job(
    connection: Connection, job: str, outcome: str | None, after: tuple[datetime, str] | None, limit: int
) -> list[Run]:
    """By the primary key: a job of each minute has many runs, and the others few."""
    query = select(*_COLUMNS).where(RunRow.job == job).order_by(RunRow.scheduled_for.desc()).limit(limit)
    if outcome is not None:
        query = query.where(RunRow.outcome == outcome)
    if after is not None:
        at, name = after
        query = query.where(RunRow.scheduled_for <= at if job > name else RunRow.scheduled_for < at)
    return [Run(*row) for row in connection.execute(query)]


def _placed(text: str) -> tuple[datetime, str]:
    at, _, job = text.partition(" ")
    try:
        return parse_instant(at), job
    except InputError:
        raise InputError("before", text, "follow the link of the page before") from None


def ended(connection: Connection) -> list[Run]:
    """The newest run of each job that has ended for good; a lost one has where nobody will do it again."""
    is_over = or_(RunRow.outcome.in_((DONE, WARNED, FAILED)), _is_given_up())
    last = select(RunRow.job, func.max(RunRow.scheduled_for).label("at")).where(is_over).group_by(RunRow.job).subquery()
    both = (RunRow.job == last.c.job) & (RunRow.scheduled_for == last.c.at)
    found = connection.execute(select(*_COLUMNS).join(last, both).order_by(RunRow.job))
    return [Run(*row)._replace(outcome=FAILED) if row.outcome == LOST else Run(*row) for row in found]


def bad_since(connection: Connection, since: datetime) -> dict[str, set[str]]:
    """How runs that ended since an instant ended otherwise than well, by job."""
    query = select(RunRow.job, RunRow.outcome).distinct().where(RunRow.finished_at >= since)
    found: dict[str, set[str]] = {}
    for job, outcome in connection.execute(query.where(or_(RunRow.outcome.in_((WARNED, FAILED)), _is_given_up()))):
        found.setdefault(job, set()).add(FAILED if outcome == LOST else outcome)
    return found


def _is_given_up() -> ColumnElement[bool]:
    return and_(RunRow.outcome == LOST, RunRow.attempt >= MOST_ATTEMPTS)
