"""Budgets on the books of `books.py`: some within, one past a threshold, one used up, with what they told and hold."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from costmeter.alerts.log import LogChannel
from costmeter.core.deliveries import Channel
from costmeter.core.errors import RefusedError, UnreachableError
from costmeter.core.notices import Message
from costmeter.jobs.forecasts import tell_forecasts
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.keep_told import Outbox
from costmeter.services.reserve import Ask, reserve
from costmeter.store.accounts import Home
from tests.make import at, usd
from tests.web.books import NOW

BUDGETS: list[tuple[str, str, dict[str, Any]]] = [
    ("shop", "all", {"per": "month", "amount": "240.00", "forecasts": ["100%"]}),
    ("shop", "search", {"per": "week", "amount": "12.00", "where": ["project=search"], "thresholds": ["50%", "100%"]}),
    ("shop", "support", {"per": "month", "amount": "95.00", "where": ["project=support"], "stops": True}),
    ("shop", "u-17", {"per": "day", "amount": "12.50", "where": ["user=u-17"]}),
    ("shop", "burst", {"per": "5h", "amount": "60.00", "stops": True, "starts_at": at("2026-11-17T09:00:00Z")}),
    ("shop", "pilot", {"per": "all", "amount": "900.00", "starts_at": at("2026-10-05T00:00:00Z")}),
    ("shop", "next year", {"per": "year", "amount": "5000.00", "starts_at": at("2027-01-01T00:00:00Z")}),
    ("labs", "tokens", {"per": "month", "tokens": 900_000_000, "timezone": "Asia/Shanghai"}),
    ("beijing", "all", {"per": "quarter", "amount": "2000.00", "channels": ["finance"]}),
]


class Closed:
    """A channel whose receiver is gone for good."""

    name, kind = "old-pager", "webhook"

    def send(self, message: Message) -> None:
        raise RefusedError("pager.example answers 410: it is gone for good; take the channel out of its file")


class Away:
    """A channel whose receiver does not answer."""

    name, kind = "finance", "mail"

    def send(self, message: Message) -> None:
        raise UnreachableError("mail.example:465 cannot be reached: timed out")


def add_budgets(engine: Engine) -> None:
    """Add them, foresee them, reserve of one, and tell what there is to tell."""
    for account, name, said in BUDGETS:
        more = {"starts_at": at("2026-10-05T00:00:00Z")} | said
        add_budget(engine, NewBudget(account, name, **more), by="ada", home=Home(), now=at(NOW))
    tell_forecasts(engine, at(NOW))
    for number, cost in enumerate(("0.35", "1.20")):
        ask = Ask(
            "shop", usd(cost), 400_000, "gateway", "support", "u-17", None, "deepseek-flash", {}, f"hold-{number}"
        )
        reserve(engine, ask, now=at(NOW) - timedelta(minutes=number))
    channels: dict[str, Channel] = {"log": LogChannel("log"), "old-pager": Closed(), "finance": Away()}
    Outbox(engine, channels, {}, None, lambda: at(NOW)).empty()


def channels_file(folder: Path) -> Path:
    """A file of channels of two kinds, with secrets of its own."""
    (folder / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwVvx0Yy3kXqE=")
    path = folder / "channels.toml"
    path.write_text(
        '[log]\nkind = "log"\n[old-pager]\nkind = "webhook"\n'
        'url = "https://pager.example/hooks/token-of-the-hook"\nsecret_file = "secret"\n'
    )
    return path
