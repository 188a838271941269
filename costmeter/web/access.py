"""Who looks: by the cookie of a session, or on `serve --local` the machine's user; and whether a form is our own."""

from __future__ import annotations

import hmac
import secrets
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request, Response
from starlette.exceptions import HTTPException

from costmeter.core.access import READ, Grant
from costmeter.core.errors import ForbiddenError
from costmeter.web.sessions import Opened, check_session
from costmeter.web.site import Site, site_of

SESSION, BEFORE = "costmeter-session", "costmeter-sign-in"
LONGEST_FORM = 8 << 10  # bytes; a key has 84 characters
_OWN_FORMS = secrets.token_hex(32)  # what forms of the machine's own user bring back; it has one process


class Visitor(NamedTuple):
    """Who looks at a page, what its forms bring back, and how much was posted when it was asked for.

    The machine's own user has no key, and nothing to sign out of.
    """

    grant: Grant
    form_token: str
    key_id: str | None
    mark: str


class SignInFirst(Exception):  # noqa: N818 - nothing is wrong: the way leads over another page
    """A page that needs a session was asked for without one."""


def visitor_of(request: Request) -> Visitor:
    """Who asks for a page; SignInFirst where nobody is signed in, ForbiddenError where they may not read."""
    site = site_of(request)
    found = _signed_in(site, request) or _own_user(site, request)
    if found is None:
        raise SignInFirst
    grant, form_token, key_id = found
    if not grant.may(READ):
        raise ForbiddenError(f"{grant.who} has {', '.join(grant.roles)}; pages need {READ}")
    return Visitor(grant, form_token, key_id, site.posted.mark(grant.accounts) if is_told(grant) else "")


def is_told(grant: Grant) -> bool:
    """Whether somebody is told that something was posted: not who sees projects, as it may be of others."""
    return grant.projects is None


def watcher_of(request: Request) -> Visitor:
    """Who asks for a page of the whole installation; ForbiddenError where they may see parts of it only."""
    visitor = visitor_of(request)
    if visitor.grant.is_limited():
        raise ForbiddenError(f"{visitor.grant.who} is limited to accounts or projects; this concerns all of them")
    return visitor


def _signed_in(site: Site, request: Request) -> tuple[Grant, str, str] | None:
    token = request.cookies.get(cookie_name(site, request, SESSION))
    if token is None:
        return None
    with site.reading() as connection:
        session = check_session(connection, token, site.now())
    return None if session is None else (session.grant, session.form_token, session.key_id)


def _own_user(site: Site, request: Request) -> tuple[Grant, str, None] | None:
    grant = None if site.own_user is None else site.own_user(request)
    return None if grant is None else (grant, _OWN_FORMS, None)


def cookie_name(site: Site, request: Request, name: str) -> str:
    """A name that browsers take by TLS only, and from no other host, where there is TLS."""
    return f"__Host-{name}" if site.is_https(request) else name


def keep_session(response: Response, request: Request, opened: Opened) -> None:
    """Give the browser a session's cookie."""
    _set(response, request, SESSION, opened.token, opened.seconds)


def sign_in_secret(request: Request) -> str | None:
    """What the form of a sign-in must bring back: it stands in a cookie, since there is no session yet."""
    return request.cookies.get(cookie_name(site_of(request), request, BEFORE))


def keep_secret(response: Response, request: Request, secret: str) -> None:
    """Give the browser the cookie of a sign-in form."""
    _set(response, request, BEFORE, secret, 3600)


def forget(response: Response, request: Request, name: str) -> None:
    """Take a cookie back."""
    _set(response, request, name, "", 0)


def _set(response: Response, request: Request, name: str, value: str, seconds: int) -> None:
    site = site_of(request)
    response.set_cookie(
        cookie_name(site, request, name),
        value,
        max_age=seconds,
        path="/",
        secure=site.is_https(request),
        httponly=True,
        samesite="strict",
    )


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that one of our own pages sent; another site's is refused before it is read."""
    _check_origin(request)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "a form is sent as application/x-www-form-urlencoded")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM:
            raise HTTPException(413, f"a form has at most {LONGEST_FORM:,} bytes")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None


Form = Annotated[dict[str, str], Depends(form_of)]


def _check_origin(request: Request) -> None:
    """Browsers say from where a form comes: by Sec-Fetch-Site where the page came safely, and by Origin always."""
    said, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = {request.headers.get("host", "").lower(), urlsplit(site_of(request).url or "").netloc.lower()} - {""}
    is_own = (
        said == "same-origin" if said is not None else origin is not None and urlsplit(origin).netloc.lower() in own
    )
    if not is_own:
        raise ForbiddenError("this form comes from another site; open the page of this server and send it from there")


def check_form(given: str | None, expected: str | None) -> None:
    """A form brings back what its page was given; ForbiddenError where it does not."""
    if not expected or not hmac.compare_digest((given or "").encode(), expected.encode()):
        raise ForbiddenError("this form is out of date; go back, load its page again and send it from there")
