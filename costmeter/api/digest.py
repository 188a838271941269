"""The digest of the last day, week or month over HTTP."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from costmeter.api import models
from costmeter.api.access import Reader, Serving
from costmeter.api.answers import Json
from costmeter.api.budgets import BudgetPeriod
from costmeter.api.forecast import MonthForecast, Runway
from costmeter.api.models import Amount
from costmeter.api.scopes import Text
from costmeter.core.errors import ForbiddenError
from costmeter.core.money import check_currency
from costmeter.reports.digest import digest_report

router = APIRouter(prefix="/v1", tags=["reports"])


class Change(BaseModel):
    """Against the time before; null where calls of that are detached."""

    before: Amount | None
    change: Amount | None
    change_percent: str | None = Field(description="null where nothing was spent before")


class DigestSpend(Change):
    calls: int
    cost: Amount
    cache_hit_tokens: int
    cache_miss_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cache_savings: Amount
    off_peak_savings: Amount


class Share(Change):
    name: str | None
    cost: Amount
    percent: str | None = Field(description="of the whole")


class Others(BaseModel):
    count: int
    cost: Amount


class Shares(BaseModel):
    """What cost the most, and the others together."""

    top: list[Share]
    others: Others


class DayCost(BaseModel):
    day: str
    model: str | None = Field(description="null: the models that are not told by name")
    cost: Amount


class Days(BaseModel):
    """What the models cost on each of the last 30 days; days without calls have no rows."""

    from_: str = Field(alias="from")
    to: str
    models: list[str]
    rows: list[DayCost]


class BudgetUse(BaseModel):
    """A budget in force and what is spent of its present period, in its unit."""

    account: str
    budget: str
    filters: dict[str, str]
    per: str
    unit: str
    amount: Amount
    spent: Amount
    left: Amount
    used_percent: str
    crossed: list[str]
    period: BudgetPeriod


class Digest(BaseModel):
    """A day, week or month that is over, of one account or of all of a currency."""

    digest: Literal["daily", "weekly", "monthly"]
    name: str = Field(examples=["2026-11-25", "2026-W48", "2026-11"])
    account: str | None = Field(description="null where there are several")
    accounts: int
    currency: str | None
    from_: str = Field(alias="from")
    to: str
    timezone: str
    spend: DigestSpend
    by_project: Shares
    by_model: Shares
    by_band: Shares
    doubts: dict[str, int]
    forecast: MonthForecast | None = Field(description="of the present month; null where there is no account")
    runway: Runway | None = Field(description="null where there are several accounts")
    budgets: list[BudgetUse] = Field(description="those that are used most first")
    days: Days | None = Field(description="null where calls of these days are detached")


@router.get(
    "/reports/digest",
    operation_id="report_digest",
    summary="What a day, week or month cost",
    responses={200: {"model": Digest}, **models.problems(401, 403, 404, 409, 422, 503)},
)
def digest(
    service: Serving,
    grant: Reader,
    *,
    kind: Literal["daily", "weekly", "monthly"] = "daily",
    account: Text = None,
    currency: Text = None,
) -> Json:
    """The last day, week or month that is over, against the one before; the forecast, and an account's balance."""
    if grant.projects is not None:
        raise ForbiddenError(f"{grant.who} sees some projects only, not whole accounts")
    own = grant.account(account)
    if currency is not None:
        check_currency(currency)
    with service.reading() as connection:
        return Json(digest_report(connection, kind, service.now(), account=own, currency=currency))
