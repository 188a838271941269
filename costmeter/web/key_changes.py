"""Making, rotating, limiting and revoking API keys by a form. A new key is shown once: on the answer itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from costmeter.core.access import ADMIN, ROLES
from costmeter.core.errors import ConflictError, CostmeterError, InputError
from costmeter.core.periods import zone
from costmeter.core.rate_limits import Limits
from costmeter.reports.keys import key_report, key_shape
from costmeter.services.create_key import NewKey, create_key
from costmeter.services.limit_key import limit_key
from costmeter.services.revoke_key import revoke_key
from costmeter.services.rotate_key import rotate_key
from costmeter.store.api_keys import ApiKey
from costmeter.web.access import Form, Visitor
from costmeter.web.changes import changer_of, check_change, done, filled
from costmeter.web.days import start_of_day
from costmeter.web.route import PageRoute, status_of
from costmeter.web.site import site_of
from costmeter.web.templates import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
OVERLAP, LONGEST_OVERLAP = 24, 24 * 366  # hours
Filled = Mapping[str, str]


@router.get("/keys/new")
def ask_new(request: Request, timezone: str = "UTC") -> Response:
    """The form that asks what a new key may do."""
    zone(timezone)
    return _new_form(request, _admin(request), {"timezone": timezone})


@router.post("/keys/new")
def new(request: Request, form: Form) -> Response:
    """Create a key; its text is on this answer, and nowhere else."""
    visitor, site = _admin(request), site_of(request)
    try:
        check_change(request, visitor, form)
        key, text = create_key(site.engine, _asked_key(form), by=visitor.grant.who, now=site.now())
    except CostmeterError as error:
        return _new_form(request, visitor, form, error)
    return _made(request, visitor, key, text)


@router.get("/keys/rotate")
def ask_rotate(request: Request, key: str = "") -> Response:
    """The form that says what replacing a key will do."""
    return _key_form(request, "key_rotate", _admin(request), key, {"overlap_hours": str(OVERLAP)})


@router.post("/keys/rotate")
def rotate(request: Request, form: Form) -> Response:
    """A new key that may do the same, on this answer alone. A form that is sent twice makes one key."""
    visitor, site, key_id = _admin(request), site_of(request), form.get("key_id", "")
    try:
        check_change(request, visitor, form)
        overlap = timedelta(hours=_whole(form, "overlap_hours", LONGEST_OVERLAP) or 0)
        _check_newest(request, key_id)
        key, text = rotate_key(site.engine, key_id, overlap=overlap, by=visitor.grant.who, now=site.now())
    except CostmeterError as error:
        return _key_form(request, "key_rotate", visitor, key_id, form, error=error)
    return _made(request, visitor, key, text)


@router.get("/keys/limit")
def ask_limit(request: Request, key: str = "") -> Response:
    """The form that asks how fast a key may call through the gateway."""
    return _key_form(request, "key_limit", _admin(request), key, None)


@router.post("/keys/limit")
def limit(request: Request, form: Form) -> Response:
    """Limit a key anew."""
    return _changed(
        request,
        form,
        "key_limit",
        "limited",
        lambda key_id, by, now: limit_key(site_of(request).engine, key_id, _limits(form), by=by, now=now),
    )


@router.get("/keys/revoke")
def ask_revoke(request: Request, key: str = "") -> Response:
    """The form that says what ending a key will do."""
    return _key_form(request, "key_revoke", _admin(request), key, {})


@router.post("/keys/revoke")
def revoke(request: Request, form: Form) -> Response:
    """End a key now."""
    reason = form.get("reason", "").strip() or None
    return _changed(
        request,
        form,
        "key_revoke",
        "revoked",
        lambda key_id, by, now: revoke_key(site_of(request).engine, key_id, by=by, reason=reason, now=now),
    )


def _admin(request: Request) -> Visitor:
    return changer_of(request, ADMIN, everywhere=True)


def _changed(
    request: Request, form: Filled, template: str, did: str, change: Callable[[str, str, datetime], object]
) -> Response:
    """Change the key of a form, and go to the list."""
    visitor, key_id = _admin(request), form.get("key_id", "")
    try:
        check_change(request, visitor, form)
        change(key_id, visitor.grant.who, site_of(request).now())
    except CostmeterError as error:
        return _key_form(request, template, visitor, key_id, form, error=error)
    return done("/keys", did)


def _asked_key(form: Filled) -> NewKey:
    """The key that a form asks for; an empty field is all, or never."""
    roles = [role for role in ROLES if form.get(f"role_{role}")]
    ends = form.get("expires_on", "").strip()
    return NewKey(
        form.get("name", ""),
        roles,
        _lines(form, "accounts"),
        _lines(form, "projects"),
        start_of_day(ends, "expires_on", form.get("timezone", "UTC")) if ends else None,
        _limits(form),
    )


def _lines(form: Filled, field: str) -> list[str] | None:
    return [line.strip() for line in form.get(field, "").splitlines() if line.strip()] or None


def _limits(form: Filled) -> Limits:
    return Limits(*(_whole(form, field) for field in Limits._fields))


def _whole(form: Filled, field: str, most: int | None = None) -> int | None:
    """A whole number, None where the field is empty."""
    text = form.get(field, "").strip()
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,9}", text, re.ASCII) or (most is not None and int(text) > most):
        raise InputError(field, text, "write a whole number" + (f" up to {most:,}" if most is not None else ""))
    return int(text)


def _check_newest(request: Request, key_id: str) -> None:
    """A key that was rotated already goes on for a while: whoever sends the form again means the first time."""
    with site_of(request).reading() as connection:
        newer = key_report(connection, key_id, site_of(request).now())["replaced_by"]
    if newer is not None:
        raise ConflictError("key", key_id, f"was rotated before, into {newer}; rotate that one")


def _made(request: Request, visitor: Visitor, key: ApiKey, text: str) -> Response:
    return page(request, "key_made", visitor=visitor, made=key_shape(key, site_of(request).now()), text=text)


def _new_form(request: Request, visitor: Visitor, form: Filled, error: CostmeterError | None = None) -> Response:
    return page(
        request,
        "key_new",
        visitor=visitor,
        status=200 if error is None else status_of(error),
        said=None if error is None else str(error),
        form=filled(form),
        roles=[*ROLES],
    )


def _key_form(
    request: Request,
    template: str,
    visitor: Visitor,
    key_id: str,
    form: Filled | None,
    *,
    error: CostmeterError | None = None,
) -> Response:
    """The form about an active key; without what was filled in it shows what is so now."""
    with site_of(request).reading() as connection:
        about: dict[str, Any] = key_report(connection, key_id, site_of(request).now())
    now_so = {field: "" if about[field] is None else str(about[field]) for field in Limits._fields}
    return page(
        request,
        template,
        visitor=visitor,
        status=200 if error is None else status_of(error),
        said=None if error is None else str(error),
        form=filled(now_so if form is None else form),
        about=about,
        is_own=visitor.key_id == key_id,
    )
