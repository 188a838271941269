"""Changes by a page: it says what will be done and asks for the key once more; what comes back with it is done.

A GET shows the form and changes nothing, a POST to the same path does it. The session alone is not enough: who could
read the table of keys could seal one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from costmeter.core.errors import ForbiddenError
from costmeter.services.check_key import find_key
from costmeter.web.access import Visitor, check_form, visitor_of
from costmeter.web.headers import PAGE
from costmeter.web.site import site_of


def changer_of(request: Request, role: str, *, everywhere: bool = False) -> Visitor:
    """Who asks for a page that changes something; ForbiddenError where their role is another, or is limited."""
    visitor = visitor_of(request)
    grant = visitor.grant
    if not grant.may(role):
        raise ForbiddenError(f"{grant.who} has {', '.join(grant.roles)}; this needs {role}")
    if everywhere and grant.is_limited():
        raise ForbiddenError(f"{grant.who} is limited to accounts or projects; this concerns all of them")
    return visitor


def check_change(request: Request, visitor: Visitor, form: Mapping[str, str]) -> None:
    """A form comes from a page of this session, with the key of whoever signed in; ForbiddenError where it does not."""
    check_form(form.get("form"), visitor.form_token)
    if visitor.key_id is None:
        return
    site = site_of(request)
    with site.reading() as connection:
        found = find_key(connection, form.get("key", "").strip(), site.now())
    if found is None or found.key_id != visitor.key_id:
        raise ForbiddenError("this is not the key that you signed in with; nothing was changed")


def filled(form: Mapping[str, str]) -> Mapping[str, str]:
    """What was filled in, for the form to be shown again: what was not is empty, and the key is never repeated."""
    return defaultdict(str, {name: value for name, value in form.items() if name != "key"})


def done(path: str, did: str, **query: str | None) -> Response:
    """To the page that shows what was changed; `did` names what it says of that, in `said.html.j2`."""
    asked = {name: value for name, value in query.items() if value is not None} | {"did": did}
    return RedirectResponse(f"{path}?{urlencode(asked)}", 303, headers=PAGE)
