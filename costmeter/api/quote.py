"""Quotes over HTTP: what calls cost by the price book; nothing is recorded."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from pydantic import BaseModel, ConfigDict, Field

from costmeter.api import models
from costmeter.api.access import Serving, who_asks
from costmeter.api.answers import Json
from costmeter.api.service import Service
from costmeter.core.access import Grant
from costmeter.core.errors import CostmeterError
from costmeter.core.pricing import Charge
from costmeter.services.quote_call import quote_call

router = APIRouter(prefix="/v1/quote", tags=["prices"])
_EXAMPLE: dict[str, Any] = {
    "model": "deepseek-reasoner",
    "completed_at": "2025-03-01T16:30:00Z",
    "usage": {"prompt_tokens": 563, "prompt_cache_hit_tokens": 512, "prompt_cache_miss_tokens": 51,
              "completion_tokens": 116},
}  # fmt: skip


class Asked(BaseModel):
    """A call to be priced; `usage` as the provider reports it."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": _EXAMPLE})

    model: str
    completed_at: str
    usage: dict[str, Any]
    currency: str = "USD"
    started_at: str | None = None


class AskedMany(BaseModel):
    """Calls to be priced."""

    model_config = ConfigDict(extra="forbid", strict=True)

    calls: list[Asked] = Field(max_length=10_000)


@router.post(
    "",
    operation_id="quote",
    summary="Price a call, or many",
    responses={200: {"model": models.Quote | models.Quotes}, **models.problems(400, 401, 403, 408, 413, 422, 503)},
)
def quote(
    service: Serving, _: Annotated[Grant, Depends(who_asks)], asked: Annotated[Asked | AskedMany, Body()]
) -> Json:
    """The price line by line, of one call or of `{"calls": [...]}`; where one of many has none, it says so in place."""
    if isinstance(asked, Asked):
        return Json(_quote(service, asked).as_dict())
    return Json({"quotes": [_shown(service, one) for one in asked.calls]})


def _shown(service: Service, asked: Asked) -> dict[str, Any]:
    try:
        return _quote(service, asked).as_dict()
    except CostmeterError as error:
        return {"error": str(error)}


def _quote(service: Service, asked: Asked) -> Charge:
    return quote_call(
        service.book,
        model=asked.model,
        completed_at=asked.completed_at,
        usage=asked.usage,
        currency=asked.currency,
        started_at=asked.started_at,
    )
