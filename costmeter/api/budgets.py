"""Budgets over HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from costmeter.api import models
from costmeter.api.access import Finance, Reader, Serving
from costmeter.api.answers import Json
from costmeter.core.periods import parse_instant
from costmeter.reports.budgets import budget_shape, budget_states
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.change_budget import change_budget
from costmeter.services.remove_budget import remove_budget
from costmeter.store import accounts, budgets

router = APIRouter(prefix="/v1", tags=["budgets"])
_EXAMPLE: dict[str, Any] = {
    "account": "default", "budget": "search", "per": "month", "amount": "100.00", "where": ["project=search"],
    "at": ["50%", "100%"],
}  # fmt: skip


class SaidBudget(BaseModel):
    """What a budget says, of an amount or of tokens; what is left out is as in `costmeter budget add`."""

    model_config = ConfigDict(extra="forbid", strict=True)

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


class AskedBudget(SaidBudget):
    """A budget with its name and whose it is."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": _EXAMPLE})

    account: str
    budget: str


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


class ChangedBudget(Budget):
    changed: bool


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
    asked = _new(grant.whole_account(new.account), new.budget, new)
    kept, made = add_budget(service.engine, asked, by=grant.who, home=service.home, now=service.now())
    return Json({**budget_shape(kept), "created": made}, 201 if made else 200)


def _new(account: str, name: str, said: SaidBudget) -> NewBudget:
    return NewBudget(
        account, name, said.per, said.amount, said.tokens, said.where, said.timezone, said.at, said.forecast,
        said.stops, None if said.start is None else parse_instant(said.start, "from"),
        None if said.end is None else parse_instant(said.end, "to"), said.channels,
    )  # fmt: skip


@router.get(
    "/budgets",
    operation_id="list_budgets",
    summary="List budgets",
    responses={200: {"model": models.Page[BudgetState]}, **models.problems(401, 403, 422, 503)},
)
def listed(service: Serving, grant: Reader, account: str | None = None) -> Json:
    """The budgets in force that the key may see, each with what is spent of its present period."""
    with service.reading() as connection:
        found = budget_states(connection, grant.whole_accounts(account), service.now())
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


@router.put(
    "/budgets/{account}/{budget}",
    operation_id="change_budget",
    summary="Change a budget",
    responses={200: {"model": ChangedBudget}, **models.problems(400, 401, 403, 404, 408, 409, 413, 422, 503)},
)
def change(account: str, budget: str, service: Serving, grant: Finance, new: SaidBudget) -> Json:
    """Remove a budget and add it anew as it is said, both or neither; `changed` is false where it said so before."""
    asked = _new(grant.whole_account(account), budget, new)
    kept, changed = change_budget(service.engine, asked, by=grant.who, now=service.now())
    return Json({**budget_shape(kept), "changed": changed})


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
