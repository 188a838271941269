"""The shapes of answers as OpenAPI tells them. Amounts are decimal strings with all their digits, instants RFC 3339."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from costmeter.api.problems import KINDS

T = TypeVar("T")
Amount = str


class Problem(BaseModel):
    """RFC 9457. `type` leads to a page that explains it; further members say more, such as `field`."""

    type: str = Field(examples=["/problems/invalid-input"])
    title: str
    status: int
    detail: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with."""
    titles = {status: "; ".join(kind.title for kind in KINDS.values() if kind.status == status) for status in statuses}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": title, "content": {"application/problem+json": {"schema": schema}}}
        for status, title in titles.items()
    }


class Page(BaseModel, Generic[T]):
    """A page of a list; `next_cursor` is null at its end."""

    data: list[T]
    next_cursor: str | None


class Refused(BaseModel):
    """An event that was not recorded: its place among those sent, from 0."""

    index: int
    kind: str = Field(description="refused, malformed or conflict", examples=["refused"])
    error: str


class Recorded(BaseModel):
    """What became of events. The first four add up to those sent; the others are parts of `accepted`."""

    accepted: int
    duplicates: int
    conflicts: int
    quarantined: int
    unpriced: int
    unmetered: int
    failed: int
    without_id: int
    results: list[Refused]


class ChargeInShort(BaseModel):
    status: str = Field(description="priced, provisional or unpriced")
    currency: str
    tariff: str | None
    band: str | None
    billing_month: str
    adjusts: str | None
    cost: Amount | None = Field(description="null where there is no price, never 0")
    granted: Amount
    topped_up: Amount
    overdraft: Amount
    untracked: Amount
    cache_savings: Amount
    off_peak_savings: Amount
    revision: int
    booked_at: str
    flags: list[str]


class Line(BaseModel):
    meter: str
    quantity: int
    unit: str
    rate: str
    per: int
    amount: Amount


class Deduction(BaseModel):
    credit_id: int
    kind: str
    amount: Amount


class ChargeInFull(ChargeInShort):
    edition: str
    lines: list[Line]
    reason: str | None = Field(description="why there is no price")
    tariff_in_full: dict[str, Any] | None = Field(description="rates, bands, windows, source, and what is in doubt")
    deductions: list[Deduction]


class CallBase(BaseModel):
    event_id: str
    account: str
    project: str | None
    user: str | None
    api_key: str | None
    tags: dict[str, str]
    provider: str
    model: str
    requested_model: str | None
    response_id: str | None
    operation_id: str | None
    status: str
    started_at: str | None
    completed_at: str
    usage: dict[str, Any] | None
    http_status: int | None
    error_code: str | None
    reason: str | None
    detail: dict[str, Any]


class Call(CallBase):
    """A usage event with its charge in force; null where it has none, or is not posted yet."""

    charge: ChargeInShort | None


class CallDetail(CallBase):
    """A usage event, and how its cost came about."""

    charge: ChargeInFull | None


class Quote(BaseModel):
    model: str
    completed_at: str
    currency: str
    tariff: str
    band: str
    provisional: bool
    lines: list[Line]
    total: Amount


class Quotes(BaseModel):
    """One quote for each call, in order; where there is no price an `error` stands in its place."""

    quotes: list[Quote | dict[str, str]]


class Account(BaseModel):
    account: str
    currency: str
    timezone: str
    created_at: str
    frozen_at: str | None


class AddedAccount(Account):
    created: bool


class AccountDetail(Account):
    tracked_from: str | None
    credits: int
    overdraft: Amount
    entries_to: int
    unposted: int
    freezes: list[dict[str, Any]]


class Voided(BaseModel):
    at: str
    by: str
    reason: str


class Credit(BaseModel):
    credit_id: int
    kind: str
    amount: Amount
    currency: str
    effective_at: str
    expires_at: str | None
    reference: str | None
    origin: str = Field(description="credit, opening or correction")
    voided: Voided | None
    remaining: Amount | None = None
    expired: Amount | None = None


class AddedCredit(Credit):
    account: str
    created: bool


class BalanceInfo(BaseModel):
    currency: str
    total_balance: Amount
    granted_balance: Amount
    topped_up_balance: Amount


class Balance(BaseModel):
    """DeepSeek's own shape, exact; overdraft makes `topped_up_balance` negative."""

    is_available: bool
    balance_infos: list[BalanceInfo]


class Entry(BaseModel):
    """A balanced journal entry of the facts numbered `first_seq` to `seq`; `chain` seals it and all before it."""

    seq: int
    first_seq: int
    kind: str
    currency: str
    billing_month: str
    booked_at: str
    lines: dict[str, Amount]
    facts: str
    chain: str


class Spend(BaseModel):
    """What was charged, by dimensions; rows have one member a dimension, counts, tokens and amounts."""

    from_: str = Field(alias="from")
    to: str
    timezone: str
    currency: str | None
    by: list[str]
    rows: list[dict[str, Any]]
    totals: dict[str, Any]


class Prices(BaseModel):
    at: str
    edition: str
    prices: list[dict[str, Any]]


class Item(BaseModel):
    """Something that could not be used, and why; `body` has known fields only."""

    item: str
    account: str
    kind: str
    state: str
    field: str | None
    error: str
    event_id: str | None
    completed_at: str | None
    billing_month: str
    received_at: str
    body: dict[str, Any]
    dropped_fields: int
    place: str
    decided_at: str | None
    decided_by: str | None
    reason: str | None


class Replayed(Recorded):
    results: list[Refused] = Field(default=[], exclude=True)
    items: list[dict[str, Any]]


class Key(BaseModel):
    key_id: str
    name: str
    roles: list[str]
    accounts: list[str] | None
    projects: list[str] | None
    calls_per_minute: int | None
    calls_at_once: int | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    active: bool


class NewKey(Key):
    """A key with its text, which is shown this once."""

    key: str


class AuditEntry(BaseModel):
    entry: str
    at: str
    by: str
    action: str
    account: str | None
    subject: str
    change: dict[str, Any]
    reason: str | None
