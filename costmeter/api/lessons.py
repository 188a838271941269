"""What a month teaches, over HTTP."""

from __future__ import annotations

import io
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from costmeter.api import models
from costmeter.api.access import Reader, Serving
from costmeter.api.answers import Json, kept
from costmeter.api.models import Amount
from costmeter.reports.lessons import month_lessons, write_csv

router = APIRouter(prefix="/v1", tags=["reports"])
Percent = str


class Lesson(BaseModel):
    """What calls cost, saved and missed; percentages are decimal strings with two decimals."""

    calls: int
    unpriced: int
    cost: Amount
    cache_hit_tokens: int
    cache_miss_tokens: int
    cache_hit_percent: Percent | None = Field(description="of the input; null where there was none")
    cache_savings: Amount
    off_peak_savings: Amount = Field(description="the dearest band's amount less the amount charged")
    off_peak_missed: Amount = Field(description="the amount charged less the cheapest band's")
    output_tokens: int
    reasoning_tokens: int
    reasoning_percent: Percent | None = Field(description="of the output; null where there was none")


class LessonRow(Lesson):
    project: str | None
    model: str


class Mover(BaseModel):
    name: str | None
    before: Amount
    now: Amount
    change: Amount
    change_percent: Percent | None = Field(description="null where it cost nothing before")
    state: Literal["new", "gone", "changed"]


class Movers(BaseModel):
    project: list[Mover]
    model: list[Mover]


class Lessons(BaseModel):
    """What a month teaches; at most ten movers of each kind, those that moved most first."""

    account: str
    month: str
    month_before: str
    currency: str
    rows: list[LessonRow]
    totals: Lesson
    movers: Movers | None = Field(description="null where calls of the month before are detached")


@router.get(
    "/reports/lessons",
    operation_id="report_lessons",
    summary="What a month teaches",
    responses={
        200: {"model": Lessons, "content": {"text/csv": {"schema": {"type": "string"}}}},
        304: {"description": "The report is the one that the ETag names"},
        **models.problems(401, 403, 404, 409, 422, 503),
    },
)
def lessons(
    request: Request,
    service: Serving,
    grant: Reader,
    *,
    month: str,
    account: str | None = None,
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the contract's word
) -> Response:
    """Savings taken and missed by project and model, and what moved against the month before.

    Without an account it is the key's only one, or else `default`.
    """
    own, project = grant.account(account) or "default", grant.project(None)
    with service.reading() as connection:
        found = month_lessons(connection, own, month, project)
    if format == "json":
        return kept(request, Json(found.as_dict()))
    out = io.StringIO()
    write_csv(found, out)
    return kept(request, Response(out.getvalue(), media_type="text/csv"))
