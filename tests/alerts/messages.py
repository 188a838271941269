"""Notices and messages for the tests: a budget of a month that has passed 80 %, and what becomes of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from costmeter.core.notice_kinds import KINDS
from costmeter.core.notices import RAISED, Message, Notice, Spend, compose
from costmeter.store.alerts import notify
from costmeter.store.engine import in_transaction
from costmeter.store.keys import key_text
from costmeter.store.tables import DeliveryRow, NoticeRow
from tests.make import at, rows

NOTICE_ID = "019a7f3c-1234-7abc-8def-0123456789ab"
NOW = "2025-03-19T07:30:00Z"
FACTS: dict[str, Any] = {
    "budget": "search", "number": 3, "filters": {"project": "search"}, "unit": "USD", "spent": "412.350000004507",
    "amount": "500.00", "threshold": "80%", "per": "month", "timezone": "Asia/Shanghai",
    "from": "2025-02-28T16:00:00Z", "to": "2025-03-31T16:00:00Z", "is_late": False, "stops": False,
}  # fmt: skip
DAYS = [(f"2025-03-{day:02d}", day * 2_000_000_000_000) for day in range(1, 20)]
SPEND = Spend(
    "user", [("u-17", 300 * 10**12), ("no user", 100 * 10**12), ("m. o'neil", 12 * 10**12)], 412 * 10**12, "day", DAYS
)


def a_notice(kind: str = "budget", event: str = RAISED, account: str = "default", **facts: Any) -> Notice:
    """A notice of the budget's facts, but for what is given."""
    return Notice(account, NOTICE_ID, kind, event, "budget 3", {**FACTS, **facts}, at(NOW))


def a_message(spend: Spend | None = SPEND, site: str | None = "https://costmeter.example", **changes: Any) -> Message:
    """The message of such a notice."""
    return compose(a_notice(**changes), KINDS, spend=spend, site=site)


def raise_notices(engine: Engine, *names: str, channels: list[str] | None = None, now: str = NOW) -> list[str]:
    """Keep a notice of a budget of each name; returns their ids."""
    keys = in_transaction(
        engine,
        lambda connection: [
            notify(
                connection,
                "default",
                "budget",
                RAISED,
                {**FACTS, "budget": name},
                now=at(now),
                channels=channels,
                subject="budget 3",
            )
            for name in names
        ],
    )
    return [key_text(key) for key in keys]


def deliveries(engine: Engine) -> list[dict[str, Any]]:
    """The rows of deliveries, oldest notice first."""
    return rows(engine, DeliveryRow, DeliveryRow.notice_id, DeliveryRow.channel)


def kept_notices(engine: Engine) -> list[dict[str, Any]]:
    return rows(engine, NoticeRow, NoticeRow.notice_id)
