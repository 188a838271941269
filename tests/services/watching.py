"""What is watched, made so, ended and made so again by real calls, credits, jobs and answers of DeepSeek."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from costmeter.core.watch import Limits, parse_low_balances
from costmeter.prices.read import read_edition
from costmeter.services.discard_items import discard_items
from costmeter.services.explain_observation import explain_observation
from costmeter.services.freeze_account import freeze_account
from costmeter.services.reconcile_balance import reconcile_balance
from costmeter.services.release_account import release_account
from costmeter.services.reprice import reprice
from costmeter.services.run_job import Done, run_job
from costmeter.services.take_lease import take_lease
from tests.late_prices import with_a_later_calendar, with_new_model
from tests.make import MILLION, an_event, an_unmetered, at, book, post, quarantined, record, record_and_post, top_up

FIRST, SECOND, THIRD = "2025-03-10T00:00:00Z", "2025-03-12T00:00:00Z", "2025-03-14T00:00:00Z"


@dataclass(frozen=True)
class Case:
    """One rule: what makes it so, what ends that, and what makes it so again, each with the instant of the look."""

    rule: str
    threshold: str
    begin: Callable[[Engine], Any]
    end: Callable[[Engine], Any]
    again: Callable[[Engine], Any]
    raised: Mapping[str, Any]
    recovered: Mapping[str, Any]
    account: str = "default"
    seen_at: tuple[str, str, str] = (FIRST, SECOND, THIRD)
    limits: Limits = field(default_factory=Limits)
    books: tuple[Any, Any, Any] = (book, book, book)


def call(engine: Engine, name: str, completed_at: str, millions: int = 1, **more: Any) -> None:
    """A posted call of 1.10 USD for each million output tokens."""
    event = an_event(name, completed_at, output=millions * MILLION, **more)
    record_and_post(engine, event, now=completed_at)


def days(engine: Engine, first: int, last: int, millions: int = 1) -> None:
    """A call at noon of each day of March 2025."""
    for day in range(first, last + 1):
        call(engine, f"day-{day}", f"2025-03-{day:02}T12:00:00Z", millions)


def refuse(engine: Engine, name: str, now: str) -> None:
    """A call from the future, of an account that is there."""
    assert record(engine, an_event(name, "2025-04-01T00:00:00Z"), now=now).quarantined == 1


def unmetered(engine: Engine, name: str, completed_at: str, count: int) -> None:
    said = {"input_tokens": 100, "output_tokens": 7, "method": "any"}
    calls = [an_unmetered(f"{name}-{number}", completed_at, estimate=said) for number in range(count)]
    assert record(engine, *calls, now=completed_at).accepted == count


def discard(engine: Engine, now: str) -> None:
    names = [item["item"].hex() for item in quarantined(engine) if item["state"] == "open"]
    discard_items(engine, names, by="ada", reason="a test", now=at(now))


def observe(engine: Engine, total: str, now: str) -> None:
    """DeepSeek says that so much is left, all of it topped up."""
    info = {"currency": "USD", "total_balance": total, "granted_balance": "0.00", "topped_up_balance": total}
    body = {"is_available": True, "balance_infos": [info]}
    reconcile_balance(engine, "default", lambda: body, book=book(), clock=lambda: at(now))


def explain(engine: Engine, now: str) -> None:
    explain_observation(engine, "default", 1, by="ada", reason="another program's calls", now=at(now))


def run(engine: Engine, now: str, outcome: str = "done", job: str = "tick") -> None:
    """A job at an instant of its schedule, by whoever has the lease."""

    def work() -> Done:
        if outcome == "failed":
            raise ValueError("the disk is away")
        return Done("did it", ["look here"] if outcome == "warned" else [])

    take_lease(engine, "one", now=at(now), until=at(now) + timedelta(seconds=60))
    ran = run_job(engine, job, at(now), work, owner="one", clock=lambda: at(now))
    assert ran is not None
    assert ran.outcome == outcome


def price(engine: Engine) -> None:
    """What was of a model without a price is priced by a book that knows it."""
    reprice(engine, book=with_new_model(), read_book=read_edition, by="ada", now=at(SECOND))


def low(balance: str, topped_up: str | None = None) -> dict[str, Any]:
    return {"currency": "USD", "balance": balance, "granted": "0.00", "topped_up": topped_up or balance}


def ended(outcome: str, now: str, said: str, error: str) -> dict[str, Any]:
    return {
        "job": "tick", "outcome": outcome, "finished_at": now, "scheduled_for": now, "said": said, "error": error,
    }  # fmt: skip


def one_of_ten(engine: Engine) -> None:
    """Twenty calls, two of which nobody measured."""
    record_and_post(engine, *(an_event(f"a{n}", "2025-03-09T12:00:00Z") for n in range(18)))
    unmetered(engine, "b", "2025-03-09T13:00:00Z", 2)


def three_unmetered(engine: Engine) -> None:
    call(engine, "a", "2025-03-09T12:00:00Z")
    unmetered(engine, "b", "2025-03-09T13:00:00Z", 3)


def differ(engine: Engine) -> None:
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    observe(engine, "4.50", "2025-03-09T00:00:00Z")


def overdraw(engine: Engine) -> None:
    top_up(engine, "1.00", "2025-03-01T00:00:00Z")
    call(engine, "a", "2025-03-05T12:00:00Z")


def spend(engine: Engine) -> None:
    """11 USD on each of the seven days before the 10th."""
    top_up(engine, "100.00", "2025-03-01T00:00:00Z")
    days(engine, 3, 9, 10)


def refuse_one(engine: Engine) -> None:
    call(engine, "a", "2025-03-05T12:00:00Z")
    refuse(engine, "b", "2025-03-06T00:00:00Z")


def freeze(engine: Engine) -> None:
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    freeze_account(engine, "default", by="verify", reason="promise 6", now=at("2025-03-09T00:00:00Z"))


def no_daily(**more: Any) -> Limits:
    """Limits of which only those are on that a case is about, where days with calls would raise others."""
    return Limits(runway_days=0, no_data_hours=0)._replace(**more)


NOON = "2025-03-10T12:00:00Z"
CASES = {
    "low balance": Case(
        "low_balance",
        "1.00 USD",
        lambda engine: top_up(engine, "0.50", "2025-03-01T00:00:00Z"),
        lambda engine: top_up(engine, "1.50", "2025-03-11T00:00:00Z", now=SECOND),
        lambda engine: call(engine, "a", "2025-03-13T12:00:00Z"),
        low("0.50"),
        low("2.00"),
        limits=no_daily(low_balance=parse_low_balances("1.00 USD, 0.25 USD, 9.00 CNY", "any")),
        seen_at=(FIRST, SECOND, "2025-03-13T12:00:01Z"),
    ),
    "overdrawn": Case(
        "low_balance",
        "overdrawn",
        overdraw,
        lambda engine: top_up(engine, "4.10", "2025-03-11T00:00:00Z", now=SECOND),
        lambda engine: call(engine, "b", "2025-03-13T12:00:00Z", 4),
        low("-0.10"),
        low("4.00"),
        limits=no_daily(),
        seen_at=(FIRST, SECOND, "2025-03-13T12:00:01Z"),
    ),
    "runway": Case(
        "low_balance",
        "3 days",
        spend,
        lambda engine: top_up(engine, "100.00", "2025-03-10T01:00:00Z", now="2025-03-10T01:00:00Z"),
        lambda engine: call(engine, "dear", "2025-03-10T02:00:00Z", 90),
        {**low("23.00"), "spent": "77.00", "of_days": 7, "days_left": "2.0"},
        {**low("123.00"), "spent": "77.00", "of_days": 7, "days_left": "11.1"},
        seen_at=(FIRST, "2025-03-10T01:00:00Z", "2025-03-10T03:00:00Z"),
    ),
    "no data": Case(
        "no_data",
        "24 hours",
        lambda engine: days(engine, 1, 7),
        lambda engine: days(engine, 9, 9),
        lambda engine: days(engine, 8, 8),
        {"last_call": "2025-03-07T12:00:00Z"},
        {"last_call": "2025-03-09T12:00:00Z"},
        seen_at=("2025-03-08T12:00:00Z", "2025-03-09T12:00:00Z", "2025-03-10T12:00:00Z"),
    ),
    "unpriced": Case(
        "unpriced",
        "1 call",
        lambda engine: call(engine, "a", "2025-03-05T12:00:00Z", model="deepseek-9"),
        price,
        lambda engine: call(engine, "b", "2025-03-13T12:00:00Z", model="deepseek-10"),
        {"calls": 1, "models": ["deepseek-9"], "since": "2025-03-05"},
        {"calls": 0, "models": [], "since": None},
    ),
    "quarantine": Case(
        "quarantine",
        "1 item",
        refuse_one,
        lambda engine: discard(engine, SECOND),
        lambda engine: refuse(engine, "c", "2025-03-13T00:00:00Z"),
        {"items": 1, "kinds": {"refused": 1}, "since": "2025-03-06T00:00:00Z"},
        {"items": 0, "kinds": {}, "since": None},
    ),
    "quarantine of nobody": Case(
        "quarantine",
        "1 item",
        lambda engine: refuse(engine, "b", "2025-03-06T00:00:00Z"),
        lambda engine: discard(engine, SECOND),
        lambda engine: refuse(engine, "c", "2025-03-13T00:00:00Z"),
        {"items": 1, "kinds": {"refused": 1}, "since": "2025-03-06T00:00:00Z"},
        {"items": 0, "kinds": {}, "since": None},
        account="",
    ),
    "unmetered": Case(
        "unmetered",
        "2 calls",
        three_unmetered,
        lambda engine: call(engine, "fine", "2025-03-11T12:00:00Z"),
        lambda engine: unmetered(engine, "c", "2025-03-13T13:00:00Z", 3),
        {
            "calls": 3,
            "of_calls": 4,
            "percent": "75.0",
            "estimated_input_tokens": 300,
            "estimated_output_tokens": 21,
        },
        {"calls": 0, "of_calls": 1, "percent": "0.0"},
        limits=no_daily(unmetered=2),
    ),
    "share of unmetered": Case(
        "unmetered",
        "9 percent",
        one_of_ten,
        lambda engine: record_and_post(engine, *(an_event(f"c{n}", "2025-03-09T14:00:00Z") for n in range(5))),
        lambda engine: unmetered(engine, "d", "2025-03-09T15:00:00Z", 3),
        {
            "calls": 2,
            "of_calls": 20,
            "percent": "10.0",
            "estimated_input_tokens": 200,
            "estimated_output_tokens": 14,
        },
        {"calls": 2, "of_calls": 25, "percent": "8.0"},
        limits=no_daily(unmetered_percent=9),
        seen_at=(FIRST, FIRST, FIRST),
    ),
    "difference": Case(
        "difference",
        "open",
        differ,
        lambda engine: explain(engine, SECOND),
        lambda engine: observe(engine, "4.00", "2025-03-13T00:00:00Z"),
        {
            "differences": 1,
            "currency": "USD",
            "observation": 1,
            "observed_at": "2025-03-09T00:00:00Z",
            "difference": "-0.50",
            "granted": "0.00",
            "topped_up": "-0.50",
        },
        {"differences": 0, "currency": "USD"},
    ),
    "unposted": Case(
        "unposted",
        "15 minutes",
        lambda engine: record(engine, an_event("a", "2025-03-09T12:00:00Z"), now="2025-03-09T23:45:00Z"),
        lambda engine: post(engine, now=SECOND),
        lambda engine: record(engine, an_event("b", "2025-03-13T12:00:00Z"), now="2025-03-13T12:00:00Z"),
        {"calls": 1, "since": "2025-03-09T23:45:00Z"},
        {"calls": 0, "since": None},
    ),
    "frozen": Case(
        "frozen",
        "frozen",
        freeze,
        lambda engine: release_account(engine, "default", by="ada", reason="restored", now=at(SECOND)),
        lambda engine: freeze_account(engine, "default", by="verify", reason="promise 2", now=at(THIRD)),
        {"since": "2025-03-09T00:00:00Z", "reason": "promise 6"},
        {"since": None, "reason": ""},
    ),
    "scheduler": Case(
        "scheduler",
        "15 minutes",
        lambda engine: run(engine, NOON),
        lambda engine: run(engine, "2025-03-10T12:16:00Z"),
        lambda engine: None,
        {"last_job": "tick", "last_finished_at": NOON, "lease": None},
        {"last_job": "tick", "last_finished_at": "2025-03-10T12:16:00Z"},
        account="",
        seen_at=("2025-03-10T12:15:00Z", "2025-03-10T12:16:00Z", "2025-03-10T12:31:00Z"),
    ),
    "job failed": Case(
        "job tick",
        "failed",
        lambda engine: run(engine, NOON, "failed"),
        lambda engine: run(engine, "2025-03-10T13:00:01Z"),
        lambda engine: run(engine, "2025-03-10T13:05:00Z", "failed"),
        ended("failed", NOON, "", "ValueError: the disk is away"),
        ended("done", "2025-03-10T13:00:01Z", "did it", ""),
        account="",
        seen_at=(NOON, "2025-03-10T13:00:01Z", "2025-03-10T13:05:00Z"),
    ),
    "job warned": Case(
        "job tick",
        "warned",
        lambda engine: run(engine, NOON, "warned"),
        lambda engine: run(engine, "2025-03-10T13:00:01Z"),
        lambda engine: run(engine, "2025-03-10T13:05:00Z", "warned"),
        ended("warned", NOON, "did it", "look here"),
        ended("done", "2025-03-10T13:00:01Z", "did it", ""),
        account="",
        seen_at=(NOON, "2025-03-10T13:00:01Z", "2025-03-10T13:05:00Z"),
    ),
    "calendar": Case(
        "calendar china",
        "60 days",
        lambda engine: None,
        lambda engine: None,
        lambda engine: None,
        {"calendar": "china", "published_to": "2027-01-01"},
        {"calendar": "china", "published_to": "2028-01-01"},
        account="",
        seen_at=("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", "2027-12-01T00:00:00Z"),
        books=(book, with_a_later_calendar, with_a_later_calendar),
    ),
}
