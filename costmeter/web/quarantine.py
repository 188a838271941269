"""The pages of quarantine: what could not be used, and why; an item with all that was kept of it."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from costmeter.core.access import Grant
from costmeter.core.errors import InputError
from costmeter.core.periods import parse_instant, zone
from costmeter.reports.quarantine import item_report, items_report, open_report
from costmeter.reports.shapes import item_shape
from costmeter.store import quarantine
from costmeter.store.quarantine import KINDS, OPEN, STATES, Item
from costmeter.web.access import visitor_of
from costmeter.web.choosing import listed_account
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None
ALL = "all"
MOST_TOLD = 100  # items whose outcome is told one by one


@router.get("/quarantine")
def listed(
    request: Request,
    *,
    account: Text = None,
    state: Text = None,
    kind: Text = None,
    before: Text = None,
    timezone: Text = None,
) -> Response:
    """What is in quarantine, newest first: the open items unless others are asked for."""
    visitor, site = visitor_of(request), site_of(request)
    name, shown_state = listed_account(visitor.grant, account), state or OPEN
    shown_zone = timezone or "UTC"
    zone(shown_zone)
    with site.reading() as connection:
        found = items_report(
            connection,
            account=name,
            state=None if shown_state == ALL else shown_state,
            kind=kind or None,
            before=before,
        )
        waiting = open_report(connection, name)
    return page(
        request,
        "quarantine",
        visitor=visitor,
        asked={"account": name, "state": shown_state, "kind": kind or None},
        before=before,
        items=found["items"],
        next=found["next"],
        waiting=waiting,
        states=STATES,
        kinds=KINDS,
        timezone=shown_zone,
    )


@router.get("/quarantine/outcome")
def outcome(
    request: Request, *, items: str = "", at: Text = None, account: Text = None, timezone: Text = None
) -> Response:
    """What became of items that were just replayed or discarded: of those named, or of all that `at` decided on."""
    visitor, site = visitor_of(request), site_of(request)
    grant = visitor.grant
    name, named = None if items else listed_account(grant, account or None), items.split()
    if len(named) > MOST_TOLD:
        raise InputError("items", len(named), f"name at most {MOST_TOLD}")
    shown_zone = timezone or "UTC"
    zone(shown_zone)
    with site.reading() as connection:
        if items:
            found = own_items(connection, grant, named)
        else:
            found = (
                []
                if at is None
                else quarantine.decided_at(connection, parse_instant(at, "at"), name, limit=MOST_TOLD + 1)
            )
    return page(
        request,
        "quarantine_outcome",
        visitor=visitor,
        items=[item_shape(one) for one in found[:MOST_TOLD]],
        has_more=len(found) > MOST_TOLD,
        timezone=shown_zone,
    )


@router.get("/quarantine/items/{item}")
def show(request: Request, item: str, timezone: Text = None) -> Response:
    """One item, with what stands against it and what was decided about it."""
    visitor, site = visitor_of(request), site_of(request)
    shown_zone = timezone or "UTC"
    zone(shown_zone)
    with site.reading() as connection:
        (kept,) = own_items(connection, visitor.grant, [item])
        shown = item_report(connection, kept)
    return page(
        request,
        "quarantine_item",
        visitor=visitor,
        item=shown,
        body=json.dumps(shown["body"], indent=2, ensure_ascii=False),
        timezone=shown_zone,
    )


def own_items(connection: Connection, grant: Grant, names: list[str]) -> list[Item]:
    """The items of these names; ForbiddenError where the reader has not one's account, or sees some projects only."""
    found = [quarantine.get(connection, name) for name in dict.fromkeys(names)]
    if grant.is_limited():
        for item in found:
            grant.whole_account(item.account)
    return found
