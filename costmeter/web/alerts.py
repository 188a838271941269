"""Alerts: what was raised and what became of telling it, and the channels that tell."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from costmeter.core.access import ADMIN, Grant
from costmeter.core.deliveries import GIVEN_UP, STATES
from costmeter.core.errors import CostmeterError, InputError
from costmeter.reports.alerts import ALERTING, alert_shape, check_kind, delivery_shape
from costmeter.store import alerts as kept_alerts
from costmeter.store import notices
from costmeter.web.access import visitor_of
from costmeter.web.route import PageRoute
from costmeter.web.seen import accounts_seen, page_number
from costmeter.web.site import Site, site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None
AT_ONCE, DELIVERIES = 50, 25  # of a page


@router.get("/alerts")
def alerts(
    request: Request,
    *,
    account: Text = None,
    timezone: Text = None,
    kind: Text = None,
    standing: Text = None,
    state: Text = None,
) -> Response:
    """The newest alerts that the reader may see, deliveries of notices, and channels by name and kind."""
    visitor, site, query = visitor_of(request), site_of(request), request.query_params
    of_kind, of_state = check_kind(kind) if kind else None, _state(state)
    place, sent_place = page_number(query.get("page")), page_number(query.get("sent"))
    first, sent_first = (place - 1) * AT_ONCE, (sent_place - 1) * DELIVERIES
    with site.reading() as connection:
        seen = accounts_seen(connection, visitor.grant, account, timezone)
        found = kept_alerts.listed(
            connection, seen.names, kind=of_kind, is_standing=bool(standing), first=first, limit=AT_ONCE + 1
        )
        sent = notices.listed(connection, of_state, seen.names, first=sent_first, limit=DELIVERIES + 1)
    may_change = may_tell(visitor.grant)  # and may know of receivers, which errors and channels name
    channels, wrong = _channels(site) if may_change else ([], None)
    return page(
        request,
        "alerts",
        visitor=visitor,
        seen=seen,
        alerts=[alert_shape(one) for one in found[:AT_ONCE]],
        has_more=len(found) > AT_ONCE,
        place=place,
        deliveries=[delivery_shape(one) | ({} if may_change else {"error": None}) for one in sent[:DELIVERIES]],
        has_more_sent=len(sent) > DELIVERIES,
        sent_place=sent_place,
        filters={"kind": of_kind, "standing": "yes" if standing else None, "state": of_state},
        kinds=ALERTING,
        states=STATES,
        given_up=GIVEN_UP,
        channels=channels,
        wrong=wrong,
        may_change=may_change,
    )


def may_tell(grant: Grant) -> bool:
    """Whether somebody may try channels and deliveries: these concern every account."""
    return grant.may(ADMIN) and not grant.is_limited()


def _state(state: str | None) -> str | None:
    if state and state not in STATES:
        raise InputError("state", state, f"use one of {', '.join(STATES)}")
    return state or None


def _channels(site: Site) -> tuple[list[tuple[str, str]], str | None]:
    """The channels by name, each with its kind; and what is wrong with their file."""
    try:
        return sorted((name, one.kind) for name, one in site.channels().items()), None
    except CostmeterError as error:
        return [], str(error)
