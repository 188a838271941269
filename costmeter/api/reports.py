"""Reports over HTTP."""

from __future__ import annotations

import io
from typing import Literal

from fastapi import APIRouter, Request, Response

from costmeter.api import models
from costmeter.api.access import Reader, Serving
from costmeter.api.answers import Json, kept
from costmeter.api.scopes import From, Text, To, Where
from costmeter.core.periods import parse_known_at
from costmeter.reports.asked import scope_within
from costmeter.reports.spend import DEFAULT_BY, spend_report
from costmeter.store.scope import Scope

router = APIRouter(prefix="/v1", tags=["reports"])


@router.get(
    "/reports/spend",
    operation_id="report_spend",
    summary="What was spent",
    responses={
        200: {"model": models.Spend, "content": {"text/csv": {"schema": {"type": "string"}}}},
        304: {"description": "The report is the one that the ETag names"},
        **models.problems(401, 403, 404, 409, 422, 503),
    },
)
def spend(
    request: Request,
    service: Serving,
    grant: Reader,
    *,
    month: Text = None,
    start: From = None,
    end: To = None,
    account: Text = None,
    currency: Text = None,
    where: Where = None,
    by: str = ",".join(DEFAULT_BY),
    timezone: Text = None,
    known_at: Text = None,
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the contract's word
) -> Response:
    """What was spent in a billing month, or by calls completed in an interval, by any dimensions."""
    known = None if known_at is None else parse_known_at(known_at, service.now())
    scope = scope_within(grant, month=month, start=start, end=end, account=account, currency=currency, where=where)
    if known is not None:
        scope = Scope(scope.month, scope.period, scope.account, scope.currency, scope.where, known)
    with service.reading() as connection:
        report = spend_report(connection, scope, by=[name for name in by.split(",") if name], timezone=timezone)
    if format == "json":
        return kept(request, Json(report.as_dict()))
    out = io.StringIO()
    report.to_csv(out)
    return kept(request, Response(out.getvalue(), media_type="text/csv"))
