"""The route of a page: whatever goes wrong on the way is a page, too, and who is not signed in is sent to do so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException

from costmeter.core.errors import (
    ConflictError,
    CostmeterError,
    DetachedError,
    ForbiddenError,
    FrozenError,
    InputError,
    NoPriceError,
    NotClosableError,
    NotFoundError,
    SetupError,
)
from costmeter.web.access import SignInFirst
from costmeter.web.headers import PAGE
from costmeter.web.templates import page

log = logging.getLogger(__name__)
_STATUS: dict[type[CostmeterError], int] = {
    ConflictError: 409,
    InputError: 422,
    NoPriceError: 422,
    NotFoundError: 404,
    ForbiddenError: 403,
    DetachedError: 409,
    FrozenError: 409,
    NotClosableError: 409,
    SetupError: 501,
}


def status_of(error: CostmeterError) -> int:
    """The status of a page, or of a form, that tells an error."""
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 503)


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await answer(request)
            except SignInFirst:
                return _to_sign_in(request)
            except CostmeterError as error:
                return _error(request, status_of(error), str(error))
            except HTTPException as error:
                return _error(request, error.status_code, str(error.detail))
            except DataError as error:
                return _error(request, 422, f"the database refuses a value of the address: {error.orig}")
            except SQLAlchemyError as error:
                log.error("a page failed: %s", getattr(error, "orig", None) or error)
                return _error(request, 503, "")
            except Exception:
                log.exception("a page failed")
                return _error(request, 500, "")

        return answered


def _to_sign_in(request: Request) -> Response:
    """To the sign-in page. Who comes over a link of another site gets here first: no cookie came along with that."""
    if request.method != "GET":
        return RedirectResponse("/sign-in", 303, headers=PAGE)
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get("sec-fetch-site") == "cross-site":
        return page(request, "continue", to=asked)
    return RedirectResponse(f"/sign-in?{urlencode({'next': asked})}", 303, headers=PAGE)


def _error(request: Request, status: int, said: str) -> Response:
    return page(request, "error", status=status, code=status, said=said)
