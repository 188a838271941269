"""The page of the audit log."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from costmeter.core.access import FINANCE
from costmeter.core.periods import zone
from costmeter.reports.audit import audit_report
from costmeter.web.changes import changer_of
from costmeter.web.choosing import listed_account
from costmeter.web.days import start_of_day
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None


@router.get("/audit")
def audit(
    request: Request,
    *,
    by: Text = None,
    action: Text = None,
    account: Text = None,
    since: Text = None,
    before: Text = None,
    timezone: Text = None,
) -> Response:
    """Changes, the newest first; for whom the API tells them, too."""
    visitor, site = changer_of(request, FINANCE), site_of(request)
    name, shown_zone = listed_account(visitor.grant, account), timezone or "UTC"
    zone(shown_zone)
    asked = {"by": (by or "").strip() or None, "action": action or None, "account": name, "since": since or None}
    starts = None if not since else start_of_day(since, "since", shown_zone)
    with site.reading() as connection:
        found = audit_report(connection, name, by=asked["by"], action=asked["action"], since=starts, before=before)
    return page(
        request,
        "audit",
        visitor=visitor,
        asked=asked,
        here={**{field: value or "" for field, value in asked.items()}, "timezone": shown_zone},
        before=before,
        entries=found["entries"],
        next=found["next"],
        actions=found["actions"],
        timezone=shown_zone,
    )
