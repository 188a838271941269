"""How one budget burns, over HTTP."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from costmeter.api import models
from costmeter.api.access import Reader, Serving
from costmeter.api.answers import Json
from costmeter.api.budgets import BudgetPeriod, BudgetState
from costmeter.api.forecast import Basis
from costmeter.api.models import Amount
from costmeter.api.scopes import Text
from costmeter.core.periods import parse_instant
from costmeter.reports.burn import budget_report

router = APIRouter(prefix="/v1", tags=["reports"])


class PeriodForecast(BaseModel):
    """What the period will come to, in the budget's unit."""

    amount: Amount
    low: Amount
    high: Amount
    coverage_percent: int
    basis: Basis


class Outlook(BaseModel):
    """What is to come at the pace of the whole days before today."""

    forecast: PeriodForecast | None
    reason: str | None = Field(description="why there is no forecast")
    is_used_up: bool
    used_up_on: str | None = Field(description="null where it is used up already, lasts, or nothing tells")
    looked_ahead_to: str | None = Field(description="the last day that was looked at; null where nothing tells")


class Step(BaseModel):
    """A day or hour: what was spent in it, and by its end; the even pace is null in a period without an end."""

    step: str
    label: str
    spent: Amount
    so_far: Amount
    even: Amount | None


class Steps(BaseModel):
    per: str = Field(description="day or hour")
    to: str
    left_out: int = Field(description="steps before the first that is told")
    rows: list[Step]


class Spender(BaseModel):
    name: str | None
    spent: Amount
    percent: str | None


class Others(BaseModel):
    count: int
    spent: Amount


class Mostly(BaseModel):
    by: str
    rows: list[Spender]
    others: Others


class PastPeriod(BudgetPeriod):
    spent: Amount
    used_percent: str


class BudgetReport(BudgetState):
    """A budget with what its present period came to, step by step, what is to come, and the periods before it."""

    number: int = Field(description='by which alerts name it: "budget 3"')
    outlook: Outlook
    steps: Steps | None = Field(description="null where calls of the period are detached, or there is none now")
    mostly: Mostly | None
    periods: list[PastPeriod]
    periods_before: str | None = Field(description="hand it back as `before` for earlier periods; null: no more")


@router.get(
    "/reports/budget",
    operation_id="report_budget",
    summary="How a budget burns",
    responses={200: {"model": BudgetReport}, **models.problems(401, 403, 404, 422, 503)},
)
def report(service: Serving, grant: Reader, *, account: str, budget: str, before: Text = None) -> Json:
    """A budget in force: its present period against an even pace, by what mostly, what is to come, past periods."""
    name = grant.whole_account(account)
    instant = None if before is None else parse_instant(before, "before")
    with service.reading() as connection:
        return Json(budget_report(connection, name, budget, service.now(), before=instant))
