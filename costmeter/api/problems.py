"""Errors as RFC 9457 problem+json: each kind with a type that /problems explains."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from costmeter.api.answers import Json
from costmeter.core.errors import (
    ConflictError,
    CostmeterError,
    DetachedError,
    ForbiddenError,
    FrozenError,
    FullError,
    InputError,
    NoPriceError,
    NotClosableError,
    NotFoundError,
    SetupError,
    shown,
)
from costmeter.core.secrets import without_secrets

log = logging.getLogger(__name__)
RETRY_SECONDS = 5
_QUERY_CANCELED = "57014"


class Kind(NamedTuple):
    """One kind of problem: its status, its title, and what to do about it."""

    status: int
    title: str
    remedy: str


KINDS = {
    "body-unreadable": Kind(400, "The body cannot be read", "Send valid JSON, NDJSON or gzip; nothing was kept."),
    "key-missing": Kind(401, "No valid API key", "Send Authorization: Bearer cm_... with a key that has not ended."),
    "over-budget": Kind(
        402, "A budget does not cover it", "Ask for less, or again when the budget's period has ended."
    ),
    "forbidden": Kind(403, "The key may not do this", "Use a key with the role, account or project that is named."),
    "not-found": Kind(404, "Not found", "Check the name; lists show what there is."),
    "method-not-allowed": Kind(405, "This route has no such method", "The Allow header lists those it has."),
    "too-slow": Kind(408, "The body came too slowly", "Send it again over a better line; nothing was kept."),
    "conflict": Kind(409, "The same id with other content", "The first stands. Correct the content, or use a new id."),
    "detached": Kind(409, "The month is detached", "Attach it with: costmeter db attach MONTH"),
    "not-closable": Kind(
        409, "The month cannot be closed", "`blockers` say why; see to each, or override what can be."
    ),
    "frozen": Kind(409, "The account is frozen", "Its ledger failed verify; see: costmeter account show."),
    "too-large": Kind(413, "The body is too large", "Send it in smaller parts."),
    "unsupported-media-type": Kind(415, "Unsupported content type or encoding", "Use those that the route documents."),
    "invalid-input": Kind(422, "A value cannot be used", "The detail names the field, the value and the remedy."),
    "no-price": Kind(422, "There is no price", "No tariff covers the call; it is never priced at 0."),
    "internal": Kind(500, "An error of the server", "It is in the server's log under the request id."),
    "overloaded": Kind(503, "Too many requests at once", "Send it again after Retry-After seconds."),
    "unavailable": Kind(503, "The database cannot be used now", "Send it again after Retry-After seconds."),
}
_OF_ERROR: Mapping[type[CostmeterError], str] = {
    ConflictError: "conflict",
    InputError: "invalid-input",
    NoPriceError: "no-price",
    NotFoundError: "not-found",
    ForbiddenError: "forbidden",
    DetachedError: "detached",
    FrozenError: "frozen",
    NotClosableError: "not-closable",
    FullError: "unavailable",
    SetupError: "unavailable",
}
_OF_STATUS = {kind.status: name for name, kind in reversed(KINDS.items())}


def problem(name: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Json:
    """The answer that a problem gets; what may be sent again says when."""
    kind = KINDS[name]
    body = {"type": f"/problems/{name}", "title": kind.title, "status": kind.status, "detail": detail, **more}
    given = dict(headers or {})
    if kind.status == 503:
        given.setdefault("Retry-After", str(RETRY_SECONDS))
    if kind.status == 401:
        given.setdefault("WWW-Authenticate", "Bearer")
    return Json(body, kind.status, headers=given, media_type="application/problem+json")


def of_error(error: CostmeterError) -> Json:
    """The problem of an error that costmeter raised on purpose."""
    name = next(name for kind, name in _OF_ERROR.items() if isinstance(error, kind))
    more: dict[str, Any] = {}
    if isinstance(error, InputError):
        more["field"] = error.field
    elif isinstance(error, NotClosableError):
        more["blockers"] = error.blockers
    return problem(name, str(error), **more)


def handle(app: FastAPI) -> None:
    """Make every error of an app a problem."""
    app.add_exception_handler(CostmeterError, _on_own)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(SQLAlchemyError, _on_database)
    app.add_exception_handler(Exception, _on_any)


def _on_own(_: Request, error: Exception) -> Json:
    assert isinstance(error, CostmeterError)
    return of_error(error)


def _on_invalid(_: Request, error: Exception) -> Json:
    """What pydantic says of parameters and bodies, as one line that names the first field."""
    assert isinstance(error, RequestValidationError)
    errors = [{"field": _field(one["loc"]), "says": _says(one)} for one in error.errors()]
    if errors[0]["says"].startswith(": JSON decode error"):
        return problem("body-unreadable", "the body is no JSON")
    said = "; ".join(f"{one['field']}{one['says']}" for one in errors)
    return problem("invalid-input", said, field=errors[0]["field"])


def _field(place: tuple[Any, ...]) -> str:
    parts = [str(part) for part in place if part not in ("body", "query", "path", "header")]
    return ".".join(parts) or "body"


def _says(error: Mapping[str, Any]) -> str:
    given = error.get("input")
    value = f" {shown(given)}" if isinstance(given, str | int | float) else ""
    return without_secrets(f"{value}: {error['msg']}")


def _on_http(request: Request, error: Exception) -> Json:
    assert isinstance(error, HTTPException)
    name = _OF_STATUS.get(error.status_code, "internal")
    if error.status_code == 405:  # the framework names the methods of one of the routes of this path only
        allowed = ", ".join(sorted(_methods(request)))
        return problem(name, f"{request.method} is none of {allowed}", headers={"Allow": allowed})
    if error.status_code == 404 and error.detail == "Not Found":
        return problem(name, f"there is no route {shown(request.url.path)}")
    said = str(error.detail)
    if said == HTTPStatus(error.status_code).phrase:  # of the framework, which says no more
        said = f"{KINDS[name].title}; {KINDS[name].remedy}"
    return problem(name, said, headers=error.headers)


def _methods(request: Request) -> set[str]:
    """The methods of a path: of routes that are written just so, or else of those that it fits."""
    path = request.url.path
    routes = [route for route in request.app.state.routes if route.path_regex.match(path)]
    exact = [route for route in routes if route.path == path]
    return {method for route in exact or routes for method in route.methods}


def _on_database(_: Request, error: Exception) -> Json:
    """The database is away, or takes too long: nothing was kept, and the request can be sent again."""
    if isinstance(error, PoolTimeoutError):
        return problem("overloaded", "no connection to the database was free in time")
    if isinstance(error, DataError):  # a text that no database keeps, such as one with a NUL in it
        return problem("invalid-input", f"the database cannot hold a value: {error.orig}")
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _QUERY_CANCELED:
        return problem("unavailable", "the database took too long; ask for less")
    if isinstance(error, DBAPIError) and (error.connection_invalidated or type(error.orig).__name__ in _AWAY):
        log.warning("the database cannot be reached: %s", error.orig)
        return problem("unavailable", "the database cannot be reached")
    said = error.orig if isinstance(error, StatementError) else error
    log.error("database: %s", said)  # what it said, never the statement and its values
    return problem("internal", "the database refused; see the server's log")


_AWAY = ("OperationalError", "AdminShutdown", "CannotConnectNow", "ConnectionTimeout", "InterfaceError")


def _on_any(_: Request, error: Exception) -> Json:
    log.error("a request failed", exc_info=error)
    return problem("internal", "see the server's log, by the request id")
