"""API keys and the audit log over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from costmeter.api import models
from costmeter.api.access import Admin, Finance, Serving
from costmeter.api.answers import MOST, Json, key_cursor, page
from costmeter.core.errors import ForbiddenError
from costmeter.core.periods import parse_instant
from costmeter.core.rate_limits import Limits
from costmeter.reports.shapes import audit_shape
from costmeter.services.create_key import NewKey, create_key
from costmeter.services.limit_key import limit_key
from costmeter.services.revoke_key import revoke_key
from costmeter.services.rotate_key import rotate_key
from costmeter.store import api_keys, audit

router = APIRouter(prefix="/v1", tags=["keys"])
_EXAMPLE: dict[str, Any] = {"name": "backend", "roles": ["ingest"], "accounts": ["default"]}


class AskedKey(BaseModel):
    """A key; accounts and projects left out are all of them, expires_at left out is never.

    The limits are of calls through the gateway, for a key with the role call or admin; left out they are any number.
    """

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": _EXAMPLE})

    name: str
    roles: list[str]
    accounts: list[str] | None = None
    projects: list[str] | None = None
    expires_at: str | None = None
    calls_per_minute: int | None = None
    calls_at_once: int | None = None


class AskedLimits(BaseModel):
    """How many calls a key may make through the gateway in any 60 seconds, and at once; left out: any number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    calls_per_minute: int | None = None
    calls_at_once: int | None = None


class Rotation(BaseModel):
    """How long the old key still works."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_hours: float = Field(default=24.0, ge=0, le=24 * 366)


class Revocation(BaseModel):
    """Why; kept in the audit log."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str | None = None


@router.post(
    "/keys",
    operation_id="create_key",
    summary="Create an API key",
    status_code=201,
    responses={201: {"model": models.NewKey}, **models.problems(400, 401, 403, 408, 409, 413, 422, 503)},
)
def create(service: Serving, grant: Admin, new: AskedKey) -> Json:
    """Create a key; its text is in this answer and stored nowhere."""
    ends = None if new.expires_at is None else parse_instant(new.expires_at, "expires_at")
    limits = Limits(new.calls_per_minute, new.calls_at_once)
    asked = NewKey(new.name, new.roles, new.accounts, new.projects, ends, limits)
    key, text = create_key(service.engine, asked, by=grant.who, now=service.now())
    return _new(service, key, text)


@router.get(
    "/keys",
    operation_id="list_keys",
    summary="List API keys",
    responses={200: {"model": models.Page[models.Key]}, **models.problems(401, 403, 503)},
)
def listed(service: Serving, _: Admin) -> Json:
    """All keys, ended ones too; never their texts."""
    now = service.now()
    with service.reading() as connection:
        found = api_keys.listed(connection)
    return Json({"data": [key.as_dict(now) for key in found], "next_cursor": None})


@router.post(
    "/keys/{name}/rotate",
    operation_id="rotate_key",
    summary="Replace an API key",
    status_code=201,
    responses={201: {"model": models.NewKey}, **models.problems(400, 401, 403, 404, 408, 413, 422, 503)},
)
def rotate(name: str, service: Serving, grant: Admin, asked: Rotation) -> Json:
    """A new key that may do the same; the old one ends after the overlap."""
    overlap = timedelta(hours=asked.overlap_hours)
    key, text = rotate_key(service.engine, name, overlap=overlap, by=grant.who, now=service.now())
    return _new(service, key, text)


@router.post(
    "/keys/{name}/limit",
    operation_id="limit_key",
    summary="Limit an API key",
    responses={200: {"model": models.Page[models.Key]}, **models.problems(400, 401, 403, 404, 408, 413, 422, 503)},
)
def limit(name: str, service: Serving, grant: Admin, asked: AskedLimits) -> Json:
    """Set how fast the active keys of a name, or the one of an id, may call; every gateway keeps to it in a second."""
    limits, now = Limits(asked.calls_per_minute, asked.calls_at_once), service.now()
    limited = limit_key(service.engine, name, limits, by=grant.who, now=now)
    return Json({"data": [key.as_dict(now) for key in limited], "next_cursor": None})


@router.post(
    "/keys/{name}/revoke",
    operation_id="revoke_key",
    summary="End an API key",
    responses={200: {"model": models.Page[models.Key]}, **models.problems(400, 401, 403, 404, 408, 413, 422, 503)},
)
def revoke(name: str, service: Serving, grant: Admin, said: Revocation) -> Json:
    """End the active keys of a name, or the one of an id, now; every server refuses them within a second."""
    now = service.now()
    revoked = revoke_key(service.engine, name, by=grant.who, reason=said.reason, now=now)
    return Json({"data": [key.as_dict(now) for key in revoked], "next_cursor": None})


@router.get(
    "/audit",
    operation_id="list_audit",
    summary="Who changed what",
    responses={200: {"model": models.Page[models.AuditEntry]}, **models.problems(401, 403, 422, 503)},
)
def log(
    service: Serving,
    grant: Finance,
    *,
    account: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> Json:
    """Changes of money, prices and keys, newest first: who, when, what and why."""
    if grant.projects is not None:
        raise ForbiddenError(f"{grant.who} sees some projects only, not what whole accounts have")
    name = grant.account(account)
    with service.reading() as connection:
        found = audit.listed(connection, None if name is None else [name], before=key_cursor(cursor), limit=limit + 1)
    return page(found, limit, audit_shape, lambda entry: entry.entry.hex())


def _new(service: Serving, key: api_keys.ApiKey, text: str) -> Json:
    return Json({**key.as_dict(service.now()), "key": text}, 201, headers={"Cache-Control": "no-store"})
