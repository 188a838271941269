"""What the service answers, typed. Amounts are decimal strings with all their digits, instants RFC 3339 in UTC."""

from __future__ import annotations

from typing import Any

import msgspec


class Refused(msgspec.Struct, frozen=True):
    """An event that was not recorded: its place among those sent, from 0, and why."""

    index: int
    kind: str
    error: str


class Recorded(msgspec.Struct, frozen=True):
    """What became of events. The first four counts add up to those sent; the others are parts of `accepted`."""

    accepted: int
    duplicates: int
    conflicts: int
    quarantined: int
    unpriced: int
    unmetered: int
    failed: int
    without_id: int
    results: list[Refused]


class Account(msgspec.Struct, frozen=True):
    """An account; `created` says whether a request made it."""

    account: str
    currency: str
    timezone: str
    created_at: str
    frozen_at: str | None
    created: bool | None = None


class Credit(msgspec.Struct, frozen=True):
    """A credit; `remaining` and `expired` are told by lists, `created` by adding it."""

    credit_id: int
    kind: str
    amount: str
    currency: str
    effective_at: str
    expires_at: str | None
    reference: str | None
    voided: dict[str, str] | None
    remaining: str | None = None
    expired: str | None = None
    created: bool | None = None


class BalanceInfo(msgspec.Struct, frozen=True):
    """What an account has in its currency."""

    currency: str
    total_balance: str
    granted_balance: str
    topped_up_balance: str


class Balance(msgspec.Struct, frozen=True):
    """DeepSeek's own shape, exact."""

    is_available: bool
    balance_infos: list[BalanceInfo]


class Call(msgspec.Struct, frozen=True):
    """A usage event with its charge in force; None where it has none, or is not posted yet."""

    event_id: str
    account: str
    model: str
    status: str
    completed_at: str
    started_at: str | None
    project: str | None
    user: str | None
    api_key: str | None
    tags: dict[str, str]
    usage: dict[str, Any] | None
    reason: str | None
    detail: dict[str, Any]
    charge: dict[str, Any] | None


class Entry(msgspec.Struct, frozen=True):
    """A balanced journal entry of the facts numbered `first_seq` to `seq`."""

    seq: int
    first_seq: int
    kind: str
    currency: str
    billing_month: str
    booked_at: str
    lines: dict[str, str]
    facts: str
    chain: str


class Spend(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """A spend report: rows by dimension, and their totals."""

    start: str
    end: str
    timezone: str
    currency: str | None
    by: list[str]
    rows: list[dict[str, Any]]
    totals: dict[str, Any]


class Forecast(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """What a month will come to, and how long the balance lasts; None with a `reason` where nothing can be told."""

    account: str
    month: str
    start: str
    end: str
    timezone: str
    as_of: str
    unit: str
    where: dict[str, str]
    spent: str | int
    unpriced: int
    forecast: dict[str, Any] | None
    reason: str | None
    last_month: dict[str, Any] | None
    runway: dict[str, Any] | None


class Quote(msgspec.Struct, frozen=True):
    """The price of one call, line by line."""

    model: str
    completed_at: str
    currency: str
    tariff: str
    band: str
    provisional: bool
    lines: list[dict[str, Any]]
    total: str


class BudgetPeriod(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """A budget by its number, and where its period starts."""

    number: int
    start: str


class Reservation(msgspec.Struct, frozen=True):
    """What somebody may spend until it expires; without an id where no budget stops the scope.

    `ended_now` is told where it was settled or released: False where it had ended before.
    """

    reservation_id: str | None
    account: str
    owner: str
    cost: str
    tokens: int
    state: str
    budgets: list[BudgetPeriod]
    reserved_at: str
    expires_at: str
    ended_at: str | None
    ended_now: bool | None = None


class Item(msgspec.Struct, frozen=True):
    """Something that could not be used, and why."""

    item: str
    account: str
    kind: str
    state: str
    error: str
    event_id: str | None
    received_at: str
    place: str
    body: dict[str, Any]
