"""Statements over HTTP, and months that are closed."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from costmeter.api import models
from costmeter.api.access import Finance, Reader, Serving
from costmeter.api.answers import Json, kept
from costmeter.api.statement_models import Closed, Statement
from costmeter.exports.statement_file import STATEMENT_FILES
from costmeter.reports.statements import closing_shape, full_shape, statement_shape
from costmeter.services.close_month import close_month

router = APIRouter(prefix="/v1/statements", tags=["statements"])
_FILE = {"schema": {"type": "string", "format": "binary"}}
_CONTENT: dict[str, Any] = dict.fromkeys(("text/csv", "text/html", "application/pdf"), _FILE)
_OVERRIDE: dict[str, Any] = {"override": "the two unpriced calls are of a preview and are priced next month"}


class Close(BaseModel):
    """How a month is closed."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": _OVERRIDE})

    override: str | None = None


@router.get(
    "/{account}/{month}",
    operation_id="get_statement",
    summary="The statement of a month",
    responses={
        200: {"model": Statement, "content": _CONTENT},
        304: {"description": "The statement is the one that the ETag names"},
        **models.problems(401, 403, 404, 409, 422, 503),
    },
)
def statement(
    account: str,
    month: str,
    request: Request,
    service: Serving,
    grant: Reader,
    *,
    format: Literal["json", "csv", "html", "pdf"] = "json",  # noqa: A002 - the contract's word
) -> Response:
    """What the account had, what came and went, and what it has; that of a closed month never changes."""
    name = grant.whole_account(account)
    file = STATEMENT_FILES[format]
    read = full_shape if file.has_lessons else statement_shape
    with service.reading() as connection:
        shape = read(connection, name, month, service.now())
    return kept(request, Response(file.render(shape), media_type=file.media_type))


@router.post(
    "/{account}/{month}/close",
    operation_id="close_month",
    summary="Close a month",
    status_code=201,
    responses={
        200: {"model": Closed},
        201: {"model": Closed},
        **models.problems(400, 401, 403, 404, 408, 409, 413, 422, 503),
    },
)
def close(account: str, month: str, service: Serving, grant: Finance, asked: Close) -> Json:
    """Close a month for good: 201, or 200 where it was closed before; 409 with `blockers` while something stands
    against it, of which `override` says why it is done all the same."""
    name = grant.whole_account(account)
    closing, made = close_month(
        service.engine,
        name,
        month,
        by=grant.who,
        reason=asked.override,
        grace=service.close_grace,
        now=service.now(),
    )
    return Json({"account": name, "month": month, "created": made, **closing_shape(closing)}, 201 if made else 200)
