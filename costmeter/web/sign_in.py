"""Signing in with a key, and out."""

from __future__ import annotations

import logging
import re
import secrets

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from costmeter.core.access import READ, read_key
from costmeter.services.check_key import check_key
from costmeter.web.access import (
    BEFORE,
    SESSION,
    Form,
    check_form,
    forget,
    keep_secret,
    keep_session,
    sign_in_secret,
    visitor_of,
)
from costmeter.web.headers import PAGE
from costmeter.web.route import PageRoute
from costmeter.web.sessions import open_session
from costmeter.web.site import site_of
from costmeter.web.templates import page

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False, route_class=PageRoute)
HOME = "/"
# A path of this server: two slashes, or a backslash that browsers take for one, would begin another host.
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)


@router.get("/sign-in")
def asked(request: Request, next: str = HOME) -> Response:  # noqa: A002 - the name in the address
    """The form that takes a key."""
    return _form(request, own_path(next))


@router.post("/sign-in")
def sign_in(request: Request, form: Form) -> Response:
    """A new session, if the key is one that may read; whatever is wrong with another gets one and the same answer."""
    site, to = site_of(request), own_path(form.get("next", HOME))
    check_form(form.get("form"), sign_in_secret(request))
    key, now = form.get("key", "").strip(), site.now()
    with site.reading() as connection:
        grant = check_key(connection, key, now)
        if grant is None:
            return _form(request, to, wrong="key")
        if not grant.may(READ):
            return _form(request, to, wrong="role")
        read = read_key(key)
        assert read is not None
        opened = open_session(connection, read[0], now)
    log.info("%s signed in", grant.who)
    response = RedirectResponse(to, 303, headers=PAGE)
    keep_session(response, request, opened)
    forget(response, request, BEFORE)
    return response


@router.post("/sign-out")
def sign_out(request: Request, form: Form) -> Response:
    """The browser forgets the session."""
    check_form(form.get("form"), visitor_of(request).form_token)
    response = RedirectResponse("/sign-in", 303, headers=PAGE)
    forget(response, request, SESSION)
    return response


def own_path(text: str) -> str:
    """A path of this server to go to; the first page for anything else."""
    return text if _OWN_PATH.fullmatch(text) else HOME


def _form(request: Request, to: str, wrong: str | None = None) -> Response:
    is_local = site_of(request).own_user is not None
    status = 200 if wrong is None else 403
    secret = sign_in_secret(request) or secrets.token_hex(32)
    answer = page(request, "sign_in", status=status, to=to, wrong=wrong, form_token=secret, is_local=is_local)
    keep_secret(answer, request, secret)
    return answer
