"""Budgets added, changed and removed by pages: each a form that is the confirmation, and the service of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from costmeter.core.access import FINANCE
from costmeter.core.errors import CostmeterError, NotFoundError
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.reports.budgets import budget_shape
from costmeter.services.add_budget import add_budget
from costmeter.services.change_budget import change_budget
from costmeter.services.remove_budget import remove_budget
from costmeter.store import accounts
from costmeter.store import budgets as kept_budgets
from costmeter.web.access import Form, Visitor
from costmeter.web.budget_form import empty_form, filled_in, form_of_budget, read_budget, wrong_field
from costmeter.web.changes import changer_of, check_change, done
from costmeter.web.route import PageRoute, status_of
from costmeter.web.seen import Seen, accounts_seen
from costmeter.web.site import Site, site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Text = str | None
ADD = "/budgets/-/add"  # no budget's name begins so


@router.get(ADD)
def ask_for_new(request: Request, account: Text = None, timezone: Text = None) -> Response:
    """The form of a new budget."""
    visitor = changer_of(request, FINANCE)
    seen = _seen(request, visitor, account, timezone)
    first = DEFAULT_ACCOUNT if DEFAULT_ACCOUNT in seen.accounts else next(iter(seen.accounts), DEFAULT_ACCOUNT)
    return _form(request, visitor, empty_form(seen.account or first, ""), is_new=True, timezone=timezone)


@router.post(ADD)
def add(request: Request, form: Form) -> Response:
    """Add it, or say what is wrong with it."""
    visitor, site = changer_of(request, FINANCE), site_of(request)
    said, shown_zone = filled_in(form), form.get("shown") or None
    try:
        check_change(request, visitor, form)
        account = visitor.grant.whole_account(said["account"] or DEFAULT_ACCOUNT)
        new = read_budget(said, account, _zone_of(site, account))
        kept, made = add_budget(site.engine, new, by=visitor.grant.who, home=site.home, now=site.now())
    except CostmeterError as error:
        return _form(request, visitor, said, is_new=True, timezone=shown_zone, error=error)
    did = "budget-added" if made else "budget-as-it-was"
    return done(_path(kept.budget.name), did, account=kept.account, timezone=shown_zone)


@router.get("/budgets/{name}/edit")
def ask_for_change(request: Request, name: str, account: Text = None, timezone: Text = None) -> Response:
    """The form of a budget as it is."""
    visitor = changer_of(request, FINANCE)
    shape = _shape(site_of(request), visitor, account, name)
    return _form(request, visitor, form_of_budget(shape), is_new=False, timezone=timezone)


@router.post("/budgets/{name}/edit")
def change(request: Request, name: str, form: Form) -> Response:
    """Change it, or say what is wrong."""
    visitor, site = changer_of(request, FINANCE), site_of(request)
    said, shown_zone = filled_in(form) | {"budget": name}, form.get("shown") or None
    try:
        check_change(request, visitor, form)
        account = visitor.grant.whole_account(said["account"] or DEFAULT_ACCOUNT)
        new = read_budget(said, account, _zone_of(site, account))
        kept, changed = change_budget(site.engine, new, by=visitor.grant.who, now=site.now())
    except CostmeterError as error:
        return _form(request, visitor, said, is_new=False, timezone=shown_zone, error=error)
    did = "budget-changed" if changed else "budget-as-it-was"
    return done(_path(name), did, account=kept.account, timezone=shown_zone)


@router.get("/budgets/{name}/remove")
def ask_to_remove(request: Request, name: str, account: Text = None, timezone: Text = None) -> Response:
    """What removing it does."""
    visitor = changer_of(request, FINANCE)
    shape = _shape(site_of(request), visitor, account, name)
    return page(request, "budget_remove", visitor=visitor, budget=shape, timezone=timezone, error=None)


@router.post("/budgets/{name}/remove")
def remove(request: Request, name: str, form: Form) -> Response:
    """Remove it."""
    visitor, site = changer_of(request, FINANCE), site_of(request)
    account, shown_zone = visitor.grant.whole_account(form.get("account") or DEFAULT_ACCOUNT), form.get("shown") or None
    shape = _shape(site, visitor, account, name)
    try:
        check_change(request, visitor, form)
        removed = remove_budget(site.engine, account, name, by=visitor.grant.who, now=site.now())
    except CostmeterError as error:
        shown = {"budget": shape, "timezone": shown_zone, "error": error}
        return page(request, "budget_remove", visitor=visitor, status=status_of(error), **shown)
    return done("/budgets", "budget-removed", account=removed.account, timezone=shown_zone)


def _seen(request: Request, visitor: Visitor, account: Text, timezone: Text) -> Seen:
    with site_of(request).reading() as connection:
        return accounts_seen(connection, visitor.grant, account, timezone)


def _shape(site: Site, visitor: Visitor, account: Text, name: str) -> dict[str, Any]:
    """A budget in force that the reader may change."""
    own = visitor.grant.whole_account(account or DEFAULT_ACCOUNT)
    with site.reading() as connection:
        return budget_shape(kept_budgets.get(connection, accounts.get(connection, own).account, name))


def _zone_of(site: Site, account: str) -> str:
    """The time zone of an account, or that of one that is made now."""
    with site.reading() as connection:
        try:
            return accounts.get(connection, account).timezone
        except NotFoundError:
            return site.home.timezone


def _form(
    request: Request,
    visitor: Visitor,
    said: Mapping[str, str],
    *,
    is_new: bool,
    timezone: Text,
    error: CostmeterError | None = None,
) -> Response:
    seen = _seen(request, visitor, None, None)
    return page(
        request,
        "budget_form",
        visitor=visitor,
        status=200 if error is None else status_of(error),
        said=said,
        is_new=is_new,
        accounts=seen.accounts,
        channels=_channel_names(site_of(request)),
        error=error,
        wrong=None if error is None else wrong_field(error, said),
        timezone=timezone,
    )


def _channel_names(site: Site) -> list[str]:
    """The channels there are to name; none where their file cannot be read, which the page of alerts says."""
    try:
        return sorted(site.channels())
    except CostmeterError:
        return []


def _path(name: str) -> str:
    return f"/budgets/{quote(name, safe='')}"
