"""Alerts over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from costmeter.api import models
from costmeter.api.access import Reader, Serving
from costmeter.api.answers import MOST, Json
from costmeter.api.scopes import Text
from costmeter.reports.alerts import alert_shape, check_kind
from costmeter.store import alerts

router = APIRouter(prefix="/v1", tags=["budgets"])


class Alert(BaseModel):
    """A rule's threshold that was crossed in a period; the account is null where it is of the installation."""

    account: str | None
    rule: str
    kind: str
    period: str
    threshold: str
    raised_at: str
    recovered_at: str | None
    title: str
    text: str
    path: str = Field(description="of the page that shows more")
    facts: dict[str, Any]


@router.get(
    "/alerts",
    operation_id="list_alerts",
    summary="List alerts",
    responses={200: {"model": models.Page[Alert]}, **models.problems(401, 403, 422, 503)},
)
def raised(
    service: Serving,
    grant: Reader,
    *,
    account: Text = None,
    kind: Text = None,
    standing: bool = False,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> Json:
    """The newest alerts that the key may see, in the words of their notices, and whether they have recovered since.

    `standing` leaves out those that have.
    """
    names, of_kind = grant.whole_accounts(account), None if kind is None else check_kind(kind)
    with service.reading() as connection:
        found = alerts.listed(connection, names, kind=of_kind, is_standing=standing, limit=limit)
    return Json({"data": [alert_shape(one) for one in found], "next_cursor": None})
