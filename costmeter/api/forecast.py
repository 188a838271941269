"""What a month will come to and how long a balance lasts, over HTTP."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from costmeter.api import models
from costmeter.api.access import Reader, Serving
from costmeter.api.answers import Json
from costmeter.api.models import Amount
from costmeter.api.scopes import Text, Where
from costmeter.core.events import DEFAULT_ACCOUNT
from costmeter.reports.asked import projects_within
from costmeter.reports.forecast import forecast_report

router = APIRouter(prefix="/v1", tags=["reports"])
Quantity = Amount | int


class Basis(BaseModel):
    """What a forecast is made from; of a month that is over nothing."""

    days: int = Field(description="whole days before today")
    since: str | None


class Foreseen(BaseModel):
    """A forecast: nothing of it is certain but that it is not below what is spent."""

    amount: Quantity
    low: Quantity
    high: Quantity
    coverage_percent: int = Field(description="of months that are meant to end between low and high")
    basis: Basis


class LastMonth(BaseModel):
    month: str
    spent: Quantity
    change: Quantity | None = Field(description="the forecast less this; null without a forecast")
    change_percent: str | None = Field(description="null where nothing was spent, or without a forecast")


class Lasting(BaseModel):
    balance: Amount
    days: int | None = Field(description="whole days; null where nothing is spent, or nothing can be told")
    runs_out_on: str | None = Field(description="null where it lasts beyond horizon_days")


class Runway(BaseModel):
    """Days of balance left: granted credits are spent first, each until it expires."""

    currency: str
    horizon_days: int
    reason: str | None = Field(description="why it is not known")
    granted: Lasting
    topped_up: Lasting
    total: Lasting = Field(description="until a call finds nothing to pay for it")
    expires_unspent: Amount | None = Field(description="of grants, at this pace")


class MonthForecast(BaseModel):
    """What a billing month comes to. Amounts are decimal strings; of tokens they are numbers."""

    month: str
    from_: str = Field(alias="from")
    to: str
    timezone: str
    as_of: str
    unit: str
    where: dict[str, str]
    spent: Quantity
    unpriced: int
    forecast: Foreseen | None
    reason: str | None = Field(description="why there is no forecast")
    last_month: LastMonth | None = Field(description="null where calls of it are detached")


class Forecast(MonthForecast):
    account: str
    runway: Runway | None = Field(description="of a whole account in its currency: null where calls are filtered")


@router.get(
    "/reports/forecast",
    operation_id="report_forecast",
    summary="What a month will come to",
    responses={200: {"model": Forecast}, **models.problems(401, 403, 404, 409, 422, 503)},
)
def forecast(
    service: Serving,
    grant: Reader,
    *,
    account: Text = None,
    month: Text = None,
    where: Where = None,
    unit: Text = None,
) -> Json:
    """A forecast of a billing month, by default the present one, with its range; and days of balance left.

    Without an account it is the key's only one, or else `default`. `unit` is the account's currency, or tokens.
    """
    own, filters = grant.account(account) or DEFAULT_ACCOUNT, projects_within(grant, where)
    with service.reading() as connection:
        return Json(forecast_report(connection, own, now=service.now(), month=month, where=filters, unit=unit))
