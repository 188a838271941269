"""The shapes of statements as OpenAPI tells them. Amounts are decimal strings with all their digits."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from costmeter.api.models import Amount


class Pair(BaseModel):
    """A balance; what is owed is part of the topped-up one."""

    granted: Amount
    topped_up: Amount
    total: Amount


class Movement(Pair):
    kind: str = Field(description="opening, credit, void, correction, usage, adjustment or expiry")
    text: str


class Override(BaseModel):
    by: str
    reason: str
    blockers: list[str]


class Closing(BaseModel):
    """How a month was closed; `sha256` is that of its manifest, which names the statement's and the month before."""

    closed_at: str
    by: str
    sha256: str
    previous_sha256: str | None
    statement_sha256: str
    first_seq: int | None
    last_seq: int
    editions: list[str]
    override: Override | None


class Closed(Closing):
    account: str
    month: str
    created: bool


class Statement(BaseModel):
    """Opening balance and movements add up to the closing balance, to the digit."""

    format: int
    account: str
    month: str
    currency: str
    timezone: str
    from_: str = Field(alias="from")
    to: str
    state: str = Field(description="open or closed")
    as_of: str
    closing: Closing | None
    opening: Pair
    movements: list[Movement]
    closing_balance: Pair
    credits: list[dict[str, Any]]
    usage: list[dict[str, Any]]
    deductions: dict[str, Amount]
    expiries: list[dict[str, Any]]
    adjustments: list[dict[str, Any]] = Field(description="what of closed months was booked in this one")
    showback: dict[str, list[dict[str, Any]]]
    imported: list[dict[str, Any]] = Field(description="usage of before costmeter, by day; no single calls")
    imported_costs: list[dict[str, Any]]
    counts: dict[str, int]
    rounding: dict[str, Any]
    usage_rounding: dict[str, Any]
