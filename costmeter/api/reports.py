"""Reports and exports over HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from costmeter.api import models
from costmeter.api.access import Reader, Serving
from costmeter.api.answers import Json, kept
from costmeter.core.access import Grant
from costmeter.core.errors import InputError
from costmeter.core.periods import parse_known_at
from costmeter.exports.charges import COLUMNS, charge_rows
from costmeter.reports.asked import scope_of
from costmeter.reports.spend import DEFAULT_BY, spend_report
from costmeter.store.scope import Scope

router = APIRouter(prefix="/v1", tags=["reports"])
ROWS = 1_000  # of one part of a streamed file
Text = str | None
From = Annotated[Text, Query(alias="from", description="calls completed from this instant on")]
To = Annotated[Text, Query(alias="to", description="calls completed before this instant")]
Where = Annotated[list[str] | None, Query(description="only calls where KEY=VALUE; may be repeated")]


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
    scope = _scope(grant, month=month, start=start, end=end, account=account, currency=currency, where=where)
    if known is not None:
        scope = Scope(scope.month, scope.period, scope.account, scope.currency, scope.where, known)
    with service.reading() as connection:
        report = spend_report(connection, scope, by=[name for name in by.split(",") if name], timezone=timezone)
    if format == "json":
        return kept(request, Json(report.as_dict()))
    out = io.StringIO()
    report.to_csv(out)
    return kept(request, Response(out.getvalue(), media_type="text/csv"))


@router.get(
    "/exports/charges",
    operation_id="export_charges",
    summary="The charges, one by one",
    response_class=Response,
    responses={
        200: {"description": "RFC 4180 CSV", "content": {"text/csv": {"schema": {"type": "string"}}}},
        **models.problems(401, 403, 404, 409, 422, 503),
    },
)
def charges(
    service: Serving,
    grant: Reader,
    *,
    month: Text = None,
    start: From = None,
    end: To = None,
    account: Text = None,
    currency: Text = None,
    where: Where = None,
    format: Literal["csv"] = "csv",  # noqa: A002 - the contract's word
) -> Response:
    """One row a measured call, streamed from one snapshot; a file that breaks off in the middle has no end chunk."""
    scope = _scope(grant, month=month, start=start, end=end, account=account, currency=currency, where=where)
    parts = _parts(service, scope)
    first = next(parts)  # what is refused is refused before the answer begins
    name = f"charges-{month}.{format}" if month else f"charges.{format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_joined(first, parts), media_type="text/csv", headers=headers)


def _parts(service: Serving, scope: Scope) -> Iterator[str]:
    with service.reading() as connection:
        rows = iter(charge_rows(connection, scope))
        yield _written([list(COLUMNS)])
        while part := list(islice(rows, ROWS)):
            yield _written(part)


def _written(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _joined(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _scope(
    grant: Grant, *, month: Text, start: Text, end: Text, account: Text, currency: Text, where: list[str] | None
) -> Scope:
    """The scope that is asked for, within what the key may see."""
    asked = list(where or ())
    projects = [text.partition("=")[2] for text in asked if text.startswith("project=")]
    if len(projects) > 1:
        raise InputError("where", "project", "names a project twice")
    project = grant.project(projects[0] if projects else None)
    if project is not None and not projects:
        asked.append(f"project={project}")
    own = grant.account(account)
    return scope_of(month=month, start=start, end=end, account=own, currency=currency, where=asked)
