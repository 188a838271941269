"""A month and more of calls as a small company has them, up to the morning of a Wednesday in November 2026."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from costmeter.core.money import format_amount, parse_total
from costmeter.core.periods import format_instant
from costmeter.services.reconcile_balance import reconcile_balance
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine
from tests.make import an_event, an_unmetered, at, balance, book, give, record, record_and_post

NOW = "2026-11-18T09:20:00Z"  # peak hours, which end at 10:00
MODELS = ("deepseek-flash", "deepseek-v4-pro")
PROJECTS = ("search", "support", "research", "checkout")
CENT = 10**10
HOURS = (1, 2, 3, 6, 8, 9, 11, 13, 15, 19)


def fill(url: str) -> None:
    """Two accounts in USD and one in CNY, with calls of 45 days, credits, and some of everything that is in doubt."""
    engine = open_engine(url)
    _credits(engine)
    record_and_post(engine, *_calls(), now=NOW)
    record_and_post(
        engine,
        an_event(
            "example-1",
            "2026-11-17T09:30:00Z",
            hit=512_000,
            miss=51_000,
            output=11_600,
            account="shop",
            project="search",
            model="deepseek-flash",
        ),
        now=NOW,
    )
    record(engine, an_unmetered("aborted-1", "2026-11-17T09:00:00Z", account="shop", model="deepseek-flash"), now=NOW)
    record_and_post(engine, an_event("strange-1", "2026-11-17T10:00:00Z", account="labs", model="deepseek-x"), now=NOW)
    record(engine, {"model": "deepseek-flash", "account": "shop", "completed_at": "yesterday"}, now=NOW)
    _observations(engine)
    engine.dispose()


def _credits(engine: Engine) -> None:
    give(engine, "granted", "40.00", "2026-09-20T00:00:00Z", expires_at="2026-12-01T00:00:00Z", reference="welcome",
         account="shop")  # fmt: skip
    give(engine, "topped_up", "400.00", "2026-10-01T00:00:00Z", reference="invoice-1017", account="shop")
    give(engine, "topped_up", "200.00", "2026-10-01T00:00:00Z", reference="invoice-1018", account="labs")
    give(engine, "topped_up", "90.00", "2026-10-01T00:00:00Z", account="beijing",
         home=Home("CNY", "Asia/Shanghai"))  # fmt: skip


def _observations(engine: Engine) -> None:
    """DeepSeek was asked thrice; once it had 1.25 less than the ledger, which was settled by the last answer."""
    for when, less in (("2026-11-03T00:00:00Z", 0), ("2026-11-10T06:00:00Z", 125), ("2026-11-17T00:00:00Z", 0)):
        granted, topped_up = (cents(amount) for amount in balance(engine, when, "shop"))
        observe(engine, when, "shop", (granted, topped_up - less))


def observe(engine: Engine, when: str, account: str, pots: tuple[int, int]) -> None:
    """DeepSeek says what is left, granted and topped up, in cents."""
    names = ("total_balance", "granted_balance", "topped_up_balance")
    info = {name: format_amount(one * CENT) for name, one in zip(names, (sum(pots), *pots), strict=True)}
    body = {"is_available": True, "balance_infos": [{"currency": "USD", **info}]}
    reconcile_balance(engine, account, lambda: body, book=book(), clock=lambda: at(when))


def cents(amount: str) -> int:
    """An amount in whole cents, as the vendor prints it."""
    return (parse_total(amount) + CENT // 2) // CENT


def _calls() -> list[dict[str, Any]]:
    chance, found = random.Random(7), []
    for day in reversed(range(45)):
        start = at("2026-11-18T00:00:00Z") - timedelta(days=day)
        quiet = start.weekday() >= 5
        for number, hour in enumerate(HOURS[:4] if quiet else HOURS):
            completed = start + timedelta(hours=hour, minutes=chance.randrange(60), seconds=chance.randrange(60))
            if completed < at(NOW):
                found.append(_call(chance, completed, f"call-{day:02d}-{number}"))
    return found


def _call(chance: random.Random, completed: Any, event_id: str) -> dict[str, Any]:
    account = chance.choice(("shop", "shop", "shop", "labs", "beijing"))
    more: dict[str, Any] = {
        "account": account,
        "project": chance.choice(PROJECTS),
        "model": chance.choice(MODELS),
        "user": "u-17",
    }
    tokens = {
        name: chance.randrange(top) for name, top in (("hit", 9_000_000), ("miss", 3_000_000), ("output", 900_000))
    }
    return an_event(event_id, format_instant(completed), **tokens, **more)
