"""The page of a call: how its cost came about."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from costmeter.core.errors import ForbiddenError
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.core.periods import zone
from costmeter.reports.calls import charge_rows, describe_call, doubt_of_clock
from costmeter.reports.shapes import credit_shape
from costmeter.store import accounts, credits
from costmeter.web.access import visitor_of
from costmeter.web.route import PageRoute
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None


@router.get("/calls/{event_id:path}")
def call(request: Request, event_id: str, account: Text = None, timezone: Text = None, listed: Text = None) -> Response:
    """A call: what it used, at which rates, what paid it, and everything that was booked of it.

    `listed` is the query of the list of calls that one comes from.
    """
    visitor, site = visitor_of(request), site_of(request)
    grant = visitor.grant
    name = grant.account(account or None) or DEFAULT_ACCOUNT
    with site.reading() as connection:
        shape = describe_call(connection, name, event_id, site.book)
        if grant.projects is not None and shape["project"] not in grant.projects:
            raise ForbiddenError(f"project {shape['project']!r} is not among those of this key")
        owner = accounts.get(connection, name)
        rows = charge_rows(connection, name, event_id)
        doubt = doubt_of_clock(connection, name, event_id, site.book)
        paid_by = {} if grant.projects is not None else _credits(connection, name, shape)
    shown_zone = timezone or owner.timezone
    zone(shown_zone)
    return page(
        request,
        "call",
        visitor=visitor,
        call=shape,
        listed=listed,
        charge=shape["charge"],
        rows=rows,
        doubt=doubt,
        credits=paid_by,
        timezone=shown_zone,
        usage=json.dumps(shape["usage"], indent=2, ensure_ascii=False),
        detail=json.dumps(shape["detail"], indent=2, ensure_ascii=False) if shape["detail"] else None,
    )


def _credits(connection: Connection, account: str, shape: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The credits that paid a call, by their ids."""
    paid = {one["credit_id"] for one in (shape["charge"] or {}).get("deductions", ())}
    if not paid:
        return {}
    booked = (one for one in credits.of_account(connection, account) if one.credit.credit_id in paid)
    return {one.credit.credit_id: credit_shape(one) for one in booked}
