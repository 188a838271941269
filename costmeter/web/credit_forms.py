"""The forms that add a credit and take one back: they say what will be done, and do it with the key once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from costmeter.core.access import FINANCE
from costmeter.core.errors import CostmeterError, InputError, NotFoundError
from costmeter.core.ledger import TOPPED_UP
from costmeter.core.money import parse_amount
from costmeter.core.secrets import without_secrets
from costmeter.core.texts import TEXT_LENGTH
from costmeter.reports.shapes import account_detail, credit_shape
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.void_credit import void_credit
from costmeter.store import accounts, credits
from costmeter.web.access import Form, Visitor
from costmeter.web.balance import PATH
from costmeter.web.changes import changer_of, check_change, done
from costmeter.web.choosing import Chosen, choose_account
from costmeter.web.local_time import read_instant
from costmeter.web.route import PageRoute, status_of
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
NEW, VOID = f"{PATH}/credits/new", f"{PATH}/credits/void"
_FIELDS = ("account", "kind", "amount", "effective_at", "expires_at", "reference", "timezone")


@router.get(NEW)
def ask_new(request: Request) -> Response:
    """The form of a credit."""
    return _new_form(request, changer_of(request, FINANCE), request.query_params)


@router.post(NEW)
def add(request: Request, form: Form) -> Response:
    """Add the credit of the form; one that was added before, by its reference, is not added again."""
    visitor, site = changer_of(request, FINANCE), site_of(request)
    try:
        check_change(request, visitor, form)
        account = visitor.grant.whole_account(form.get("account", "").strip())
        new = _read(form, account)
        _, made = add_credit(site.engine, new, by=visitor.grant.who, home=site.home, now=site.now())
    except CostmeterError as error:
        return _new_form(request, visitor, form, error)
    return done(PATH, "credit_added" if made else "credit_known", account=account, timezone=form.get("timezone"))


@router.get(VOID)
def ask_void(request: Request) -> Response:
    """The form that takes a credit back."""
    return _void_form(request, changer_of(request, FINANCE), request.query_params)


@router.post(VOID)
def void(request: Request, form: Form) -> Response:
    """Take the credit of the form back, as if it had never been given."""
    visitor, site = changer_of(request, FINANCE), site_of(request)
    account, reference = visitor.grant.whole_account(form.get("account", "")), form.get("reference", "")
    try:
        check_change(request, visitor, form)
        reason = form.get("reason", "")
        void_credit(site.engine, account, reference, reason=reason, by=visitor.grant.who, now=site.now())
    except CostmeterError as error:
        return _void_form(request, visitor, form, error)
    return done(PATH, "credit_voided", account=account, timezone=form.get("timezone"))


def _read(form: Mapping[str, str], account: str) -> NewCredit:
    """The credit that a form asks for; with a reference always, so that it is booked once and can be taken back."""
    said = {name: form.get(name, "").strip() for name in _FIELDS}
    timezone = said["timezone"] or "UTC"
    if not said["reference"]:
        raise InputError(
            "reference", None, "is missing; write what the credit is known by, such as an invoice's number"
        )
    starts, ends = (
        read_instant(said[name], name, timezone) if said[name] else None for name in ("effective_at", "expires_at")
    )
    amount = parse_amount(said["amount"])
    return NewCredit(account, said["kind"], amount, None, starts, ends, said["reference"])


def _new_form(
    request: Request, visitor: Visitor, said: Mapping[str, str], error: CostmeterError | None = None
) -> Response:
    """The form, with what was filled in. An account that is not there yet is made by its first credit."""
    with site_of(request).reading() as connection:
        chosen = _chosen(connection, visitor, said)
        detail = account_detail(connection, chosen.account) if chosen.account else None
    name = said.get("account") or (chosen.account.account if chosen.account else "")
    filled = {field: said.get(field, "") for field in _FIELDS} | {"account": name, "timezone": chosen.timezone}
    filled["kind"] = filled["kind"] or TOPPED_UP
    return page(
        request,
        "credit_new",
        visitor=visitor,
        status=200 if error is None else status_of(error),
        wrong=None if error is None else str(error),
        field=getattr(error, "field", None),
        chosen=chosen,
        account=detail,
        filled=filled,
        longest=TEXT_LENGTH,
    )


def _chosen(connection: Connection, visitor: Visitor, said: Mapping[str, str]) -> Chosen:
    """The account of the form, where there is one of that name, and the clock of its instants."""
    timezone = said.get("timezone") or None
    try:
        return choose_account(connection, visitor.grant, said.get("account") or None, timezone)
    except NotFoundError:
        return choose_account(connection, visitor.grant, None, timezone)._replace(account=None)


def _void_form(
    request: Request, visitor: Visitor, said: Mapping[str, str], error: CostmeterError | None = None
) -> Response:
    """What taking back means for this credit, and the form that does it."""
    account = visitor.grant.whole_account(said.get("account", ""))
    with site_of(request).reading() as connection:
        chosen = choose_account(connection, visitor.grant, account, said.get("timezone") or None)
        credit = _credit(connection, account, said.get("reference", ""))
    return page(
        request,
        "credit_void",
        visitor=visitor,
        status=200 if error is None else status_of(error),
        wrong=None if error is None else str(error),
        account=account,
        credit=credit,
        reason=said.get("reason", ""),
        timezone=chosen.timezone,
        longest=TEXT_LENGTH,
    )


def _credit(connection: Connection, account: str, reference: str) -> dict[str, Any]:
    """A credit by its reference, with what it has left."""
    name = accounts.get(connection, account).account
    booked = credits.by_reference(connection, name, without_secrets(reference))
    if booked is None:
        raise NotFoundError(f"no credit of account {name!r} has the reference {reference!r}")
    return credit_shape(booked, credits.balances(connection, name)[booked.credit.credit_id])
