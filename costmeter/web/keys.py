"""The page of the API keys."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from costmeter.core.access import ADMIN
from costmeter.core.periods import zone
from costmeter.reports.keys import STATES, keys_report
from costmeter.web.changes import changer_of
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None
ALL = "all"


@router.get("/keys")
def keys(request: Request, state: Text = None, after: Text = None, timezone: Text = None) -> Response:
    """Keys by name: the active ones unless others are asked for."""
    visitor, site = changer_of(request, ADMIN, everywhere=True), site_of(request)
    shown_state, shown_zone = state or STATES[0], timezone or "UTC"
    zone(shown_zone)
    with site.reading() as connection:
        asked_state = None if shown_state == ALL else shown_state
        found = keys_report(connection, site.now(), state=asked_state, after=after)
    return page(
        request,
        "keys",
        visitor=visitor,
        state=shown_state,
        states=STATES,
        after=after,
        keys=found["keys"],
        count=found["count"],
        next=found["next"],
        timezone=shown_zone,
    )
