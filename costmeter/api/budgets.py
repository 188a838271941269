"""Budgets and alerts over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from costmeter.api import models
from costmeter.api.access import Finance, Reader, Serving
from costmeter.api.answers import MOST, Json
from costmeter.core.access import Grant
from costmeter.core.errors import ForbiddenError
from costmeter.core.periods import parse_instant
from costmeter.reports.budgets import alert_shape, budget_shape, budget_states
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.remove_budget import remove_budget
from costmeter.store import accounts, alerts, budgets

router = APIRouter(prefix="/v1", tags=["budgets"])
_EXAMPLE: dict[str, Any] = {
    "account": "default", "budget": "search", "per": "month", "amount": "100.00", "where": ["project=search"],
    "at": ["50%", "100%"],
}  # fmt: skip


class AskedBudget(BaseModel):
    """A budget of an amount or of tokens; what is left out is as in `costmeter budget add`."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": _EXAMPLE})

    account: str
    budget: str
    per: str = Field(description="day, week, month, quarter, year, all, or such as 14d and 5h")
    amount: str | None = None
    tokens: int | None = None
    where: list[str] = Field(default=[], description="KEY=VALUE of project, user, api_key, model or tag:NAME")
    at: list[str] | None = Field(default=None, description="shares or amounts that raise an alert; 80% and 100%")
    forecast: list[str] = Field(default=[], description="the same of what is forecast for the period's end")
    stops: bool = Field(default=False, description="whether it refuses reservations")
    timezone: str | None = None
    start: str | None = Field(default=None, alias="from")
    end: str | None = Field(default=None, alias="to")
    channels: list[str] | None = None


class Budget(BaseModel):
    """A budget as it was made; thresholds of forecast spend begin with "forecast"."""

    account: str
    budget: str
    filters: dict[str, str]
    per: str
    timezone: str
    unit: str = Field(description="the account's currency, or tokens")
    amount: models.Amount
    thresholds: list[str]
    stops: bool
    starts_at: str
    ends_at: str | None
    channels: list[str] | None
    created_at: str
    created_by: str


class AddedBudget(Budget):
    created: bool


class BudgetPeriod(BaseModel):
    start: str = Field(alias="from")
    end: str | None = Field(alias="to")


class BudgetState(Budget):
    """A budget with what is spent of its present period; null where now is not within its start and end."""

    period: BudgetPeriod | None
    spent: models.Amount | None
    reserved: models.Amount | None
    left: models.Amount | None
    used_percent: str | None = Field(description="rounded down")
    crossed: list[str]


class Alert(BaseModel):
    """A rule's threshold that was crossed in a period; the account is null where it is of the installation."""

    account: str | None
    rule: str
    kind: str
    period: str
    threshold: str
    raised_at: str
    recovered_at: str | None
    facts: dict[str, Any]


@router.post(
    "/budgets",
    operation_id="add_budget",
    summary="Add a budget",
    status_code=201,
    responses={
        200: {"model": AddedBudget},
        201: {"model": AddedBudget},
        **models.problems(400, 401, 403, 408, 409, 413, 422, 503),
    },
)
def add(service: Serving, grant: Finance, new: AskedBudget) -> Json:
    """Add a budget: 201; 200 where the same is there already, and 409 where its content is another."""
    asked = NewBudget(
        grant.whole_account(new.account), new.budget, new.per, new.amount, new.tokens, new.where, new.timezone, new.at,
        new.forecast, new.stops, None if new.start is None else parse_instant(new.start, "from"),
        None if new.end is None else parse_instant(new.end, "to"), new.channels,
    )  # fmt: skip
    kept, made = add_budget(service.engine, asked, by=grant.who, home=service.home, now=service.now())
    return Json({**budget_shape(kept), "created": made}, 201 if made else 200)


@router.get(
    "/budgets",
    operation_id="list_budgets",
    summary="List budgets",
    responses={200: {"model": models.Page[BudgetState]}, **models.problems(401, 403, 422, 503)},
)
def listed(service: Serving, grant: Reader, account: str | None = None) -> Json:
    """The budgets in force that the key may see, each with what is spent of its present period."""
    with service.reading() as connection:
        found = budget_states(connection, _seen(grant, account), service.now())
    return Json({"data": found, "next_cursor": None})


@router.get(
    "/budgets/{account}/{budget}",
    operation_id="get_budget",
    summary="One budget",
    responses={200: {"model": BudgetState}, **models.problems(401, 403, 404, 422, 503)},
)
def one(account: str, budget: str, service: Serving, grant: Reader) -> Json:
    """A budget in force, with what is spent of its present period."""
    name = grant.whole_account(account)
    with service.reading() as connection:
        own = accounts.get(connection, name).account
        budgets.get(connection, own, budget)
        (state,) = budget_states(connection, [own], service.now(), budget)
    return Json(state)


@router.delete(
    "/budgets/{account}/{budget}",
    operation_id="remove_budget",
    summary="Remove a budget",
    responses={200: {"model": Budget}, **models.problems(401, 403, 404, 422, 503)},
)
def remove(account: str, budget: str, service: Serving, grant: Finance) -> Json:
    """Remove a budget: it counts no more; the alerts that it raised stay in the list."""
    name = grant.whole_account(account)
    removed = remove_budget(service.engine, name, budget, by=grant.who, now=service.now())
    return Json(budget_shape(removed))


@router.get(
    "/alerts",
    operation_id="list_alerts",
    summary="List alerts",
    responses={200: {"model": models.Page[Alert]}, **models.problems(401, 403, 422, 503)},
)
def raised(
    service: Serving, grant: Reader, account: str | None = None, limit: Annotated[int, Query(ge=1, le=MOST)] = 100
) -> Json:
    """The newest alerts that the key may see, and whether they have recovered since."""
    with service.reading() as connection:
        found = [alert_shape(one) for one in alerts.listed(connection, _seen(grant, account), limit=limit)]
    return Json({"data": found, "next_cursor": None})


def _seen(grant: Grant, account: str | None) -> list[str] | None:
    """The accounts that are meant: the one asked for, or all that the key may see; None is all there are."""
    if account is not None:
        return [grant.whole_account(account)]
    if grant.projects is not None:
        raise ForbiddenError(f"{grant.who} sees some projects only, not what whole accounts have")
    return None if grant.accounts is None else list(grant.accounts)
