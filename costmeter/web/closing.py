"""The page that closes a month: what stands against it, what closing means, and the form that does it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from costmeter.core.access import FINANCE
from costmeter.core.errors import CostmeterError
from costmeter.core.periods import zone
from costmeter.core.texts import TEXT_LENGTH
from costmeter.reports.months import CLOSED, month_to_close
from costmeter.services.close_month import close_month
from costmeter.store import accounts
from costmeter.web.access import Form, Visitor
from costmeter.web.addresses import statement_path
from costmeter.web.changes import changer_of, check_change, done
from costmeter.web.route import PageRoute, status_of
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
PATH = "/statements/{account:path}/{month}/close"


@router.get(PATH)
def ask(request: Request, account: str, month: str, timezone: str | None = None) -> Response:
    """The form; of a month that is closed there is none, but its statement."""
    visitor = changer_of(request, FINANCE)
    return _form(request, visitor, visitor.grant.whole_account(account), month, timezone=timezone)


@router.post(PATH)
def close(request: Request, account: str, month: str, form: Form) -> Response:
    """Close the month for good; what refuses it is told on the form."""
    visitor, site = changer_of(request, FINANCE), site_of(request)
    name, reason = visitor.grant.whole_account(account), form.get("override", "").strip()
    try:
        check_change(request, visitor, form)
        _, made = close_month(
            site.engine,
            name,
            month,
            by=visitor.grant.who,
            reason=reason or None,
            grace=site.close_grace,
            now=site.now(),
        )
    except CostmeterError as error:
        return _form(request, visitor, name, month, reason=reason, error=error)
    return done(statement_path(name, month), "closed" if made else "was_closed")


def _form(
    request: Request,
    visitor: Visitor,
    account: str,
    month: str,
    *,
    timezone: str | None = None,
    reason: str = "",
    error: CostmeterError | None = None,
) -> Response:
    site = site_of(request)
    with site.reading() as connection:
        found = accounts.get(connection, account)
        told = month_to_close(connection, found, month, grace=site.close_grace, now=site.now())
    if told["state"] == CLOSED and error is None:
        return done(statement_path(found.account, month), "was_closed")
    shown_zone = timezone or found.timezone
    zone(shown_zone)
    return page(
        request,
        "close",
        visitor=visitor,
        status=200 if error is None else status_of(error),
        told=told,
        wrong=None if error is None else str(error),
        reason=reason,
        longest=TEXT_LENGTH,
        timezone=shown_zone,
    )
