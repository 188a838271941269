"""The page of the scheduler's jobs: which there are, and how each run went."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from costmeter.core.periods import zone
from costmeter.reports.scheduler import jobs_report, runs_report
from costmeter.store.runs import OUTCOMES
from costmeter.web.access import watcher_of
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None


@router.get("/jobs")
def jobs(
    request: Request, job: Text = None, outcome: Text = None, before: Text = None, timezone: Text = None
) -> Response:
    """The jobs, and their runs, the newest instant first."""
    visitor, site = watcher_of(request), site_of(request)
    asked, now, machine = {"job": job or None, "outcome": outcome or None}, site.now(), site.machine()
    shown_zone = timezone or "UTC"
    zone(shown_zone)
    with site.reading() as connection:
        told = jobs_report(connection, machine.plan, now)
        found = runs_report(connection, before=before, **asked)
    return page(
        request,
        "jobs",
        visitor=visitor,
        asked=asked,
        before=before,
        lease=told["lease"],
        jobs=told["jobs"],
        plan_error=machine.plan_error,
        runs=found["runs"],
        next=found["next"],
        outcomes=OUTCOMES,
        timezone=shown_zone,
        now=now,
    )
