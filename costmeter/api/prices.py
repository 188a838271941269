"""The price book over HTTP, with its sources and its doubts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from costmeter.api import models
from costmeter.api.access import Serving, who_asks
from costmeter.api.answers import Json, kept
from costmeter.core.access import Grant
from costmeter.core.periods import parse_instant
from costmeter.reports.prices import checked_prices, price_history, price_shape, prices_at

router = APIRouter(prefix="/v1/prices", tags=["prices"])
Anyone = Annotated[Grant, Depends(who_asks)]


@router.get(
    "",
    operation_id="list_prices",
    summary="What each model costs",
    responses={200: {"model": models.Prices}, **models.problems(401, 422, 503)},
)
def listed(service: Serving, _: Anyone, at: str | None = None) -> Json:
    """What each model costs at an instant, by default now."""
    return Json(prices_at(service.book, parse_instant(at, "at") if at is not None else service.now()))


@router.get(
    "/check",
    operation_id="check_prices",
    summary="What is wrong with the price book",
    responses={200: {"model": dict[str, Any]}, **models.problems(401, 503)},
)
def check(service: Serving, _: Anyone) -> Json:
    """Overlaps, unexplained gaps, missing sources, a calendar about to end."""
    return Json(checked_prices(service.book, service.now()))


@router.get(
    "/{model}",
    operation_id="get_price",
    summary="The tariff of a model",
    responses={200: {"model": dict[str, Any]}, **models.problems(401, 404, 422, 503)},
)
def show(model: str, service: Serving, _: Anyone, at: str | None = None) -> Json:
    """The tariff of a model at an instant: bands, windows, rates, source, and what is in doubt."""
    return Json(price_shape(service.book, model, parse_instant(at, "at") if at is not None else service.now()))


@router.get(
    "/{model}/history",
    operation_id="get_price_history",
    summary="Every tariff of a model",
    responses={
        200: {"model": list[dict[str, Any]]},
        304: {"description": "The history is the one that the ETag names"},
        **models.problems(401, 404, 503),
    },
)
def history(request: Request, model: str, service: Serving, _: Anyone) -> Response:
    """Every tariff that a model was ever billed by."""
    return kept(request, Json(price_history(service.book, model)))
