"""The scheduler as the command line and pages show it: who works, how each job went, and when it is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from costmeter.core.errors import InputError
from costmeter.core.periods import format_instant
from costmeter.reports.machine import Planned
from costmeter.store import leases, runs
from costmeter.store.runs import OUTCOMES, Run

PAGE = 50  # runs that are listed at once


def scheduler_report(connection: Connection, now: datetime) -> dict[str, Any]:
    """Who holds the lease (null: nobody), and the newest run of each job."""
    lease, newest = leases.get(connection, now), runs.newest(connection)
    held = None if lease is None else {"owner": lease.owner, "expires_at": format_instant(lease.expires_at)}
    return {"lease": held, "runs": [run_shape(newest[job]) for job in sorted(newest)]}


def run_shape(run: Run) -> dict[str, Any]:
    """A run of a job; what is wrong stands in `error`, a line each."""
    return {
        name: format_instant(value) if isinstance(value, datetime) else value for name, value in run._asdict().items()
    }


def jobs_report(connection: Connection, plan: Sequence[Planned], now: datetime) -> dict[str, Any]:
    """The scheduler with every job that is planned or ran: what it does, how it went last, when it is due next."""
    told = scheduler_report(connection, now)
    newest = {run["job"]: run for run in told["runs"]}
    planned = {one.job: one for one in plan}
    jobs = [
        {
            "job": job,
            "what": planned[job].what if job in planned else None,
            "next_due": format_instant(planned[job].next_due) if job in planned else None,
            "newest": newest.get(job),
        }
        for job in sorted({*planned, *newest})
    ]
    return {"lease": told["lease"], "jobs": jobs}


def runs_report(
    connection: Connection, *, job: str | None = None, outcome: str | None = None, before: str | None = None
) -> dict[str, Any]:
    """Runs, the newest instant first, PAGE at once; `next` is the place that the others stand after."""
    if outcome is not None and outcome not in OUTCOMES:
        raise InputError("outcome", outcome, f"use one of {', '.join(OUTCOMES)}")
    found = runs.listed(connection, job=job, outcome=outcome, before=before, limit=PAGE + 1)
    more = runs.place(found[PAGE - 1]) if len(found) > PAGE else None
    return {"runs": [run_shape(run) for run in found[:PAGE]], "next": more}
