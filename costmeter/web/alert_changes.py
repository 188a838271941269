"""Trying a channel, and trying again what was given up, by pages: forms that are the confirmation."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from costmeter.core.access import ADMIN
from costmeter.core.errors import CostmeterError, InputError
from costmeter.services.retry_deliveries import read_notice_id, retry_deliveries
from costmeter.services.try_channel import try_channel
from costmeter.store import notices
from costmeter.web.access import Form, Visitor
from costmeter.web.changes import changer_of, check_change, done
from costmeter.web.route import PageRoute, status_of
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None
NOT_ACCEPTED = 502  # the receiver that was asked did not take it


@router.get("/alerts/test")
def ask_to_try(request: Request, channel: Text = None) -> Response:
    """What a test notice is, and through which channel it goes."""
    visitor = changer_of(request, ADMIN, everywhere=True)
    return _trial(request, visitor, channel or "")


@router.post("/alerts/test")
def try_one(request: Request, form: Form) -> Response:
    """Send it, and say what its receiver answered."""
    visitor, site = changer_of(request, ADMIN, everywhere=True), site_of(request)
    channel = form.get("channel", "")
    try:
        check_change(request, visitor, form)
        trial = try_channel(site.engine, site.channels(), channel, site=site.url, by=visitor.grant.who, now=site.now())
    except CostmeterError as error:
        return _trial(request, visitor, channel, str(error), status_of(error))
    if trial.error is not None:
        return _trial(request, visitor, channel, trial.error, NOT_ACCEPTED)
    return done("/alerts", "channel-tested")


def _trial(request: Request, visitor: Visitor, channel: str, error: Text = None, status: int = 200) -> Response:
    found = site_of(request).channels()
    if channel not in found:
        raise InputError("channel", channel, f"is none of {', '.join(sorted(found))}; see COSTMETER_CHANNELS")
    shown = {"channel": channel, "kind": found[channel].kind, "error": error, "was_sent": status == NOT_ACCEPTED}
    return page(request, "alerts_test", visitor=visitor, status=status, **shown)


@router.get("/alerts/retry")
def ask_to_retry(request: Request, notice: Text = None, channel: Text = None) -> Response:
    """How many deliveries are tried again."""
    visitor = changer_of(request, ADMIN, everywhere=True)
    return _retrial(request, visitor, notice or None, channel or None)


@router.post("/alerts/retry")
def retry(request: Request, form: Form) -> Response:
    """Let them be tried again, as if they were new."""
    visitor, site = changer_of(request, ADMIN, everywhere=True), site_of(request)
    notice, channel = form.get("notice") or None, form.get("channel") or None
    try:
        check_change(request, visitor, form)
        notice_id = None if notice is None else read_notice_id(notice)
        retry_deliveries(site.engine, notice_id=notice_id, channel=channel, by=visitor.grant.who, now=site.now())
    except CostmeterError as error:
        return _retrial(request, visitor, notice, channel, error)
    return done("/alerts", "deliveries-retried")


def _retrial(
    request: Request, visitor: Visitor, notice: Text, channel: Text, error: CostmeterError | None = None
) -> Response:
    notice_id = None if notice is None else read_notice_id(notice)
    with site_of(request).reading() as connection:
        count = notices.count_given_up(connection, channel=channel, notice_id=notice_id)
    shown = {"notice": notice, "channel": channel, "count": count, "error": error}
    status = 200 if error is None else status_of(error)
    return page(request, "alerts_retry", visitor=visitor, status=status, **shown)
