"""Looking back: a report or balance as known at an instant is, to the digit, the one that was taken at that instant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import InputError, NotFoundError
from costmeter.core.periods import format_instant, parse_known_at
from costmeter.reports.spend import spend_report
from costmeter.store import accounts
from costmeter.store.balances import balance_at
from costmeter.store.engine import reading
from costmeter.store.known import count_unposted
from costmeter.store.scope import Scope
from costmeter.store.tables import EventRow
from tests.make import (
    an_event,
    an_unmetered,
    at,
    grant,
    post,
    record,
    record_and_post,
    set_up_account,
    top_up,
    usage,
)

DAY = timedelta(days=1)
START = at("2025-03-01T00:00:00Z")
SCOPES: dict[str, dict[str, Any]] = {
    "the month": {"month": "2025-03"},
    "its first days": {"start": START, "end": at("2025-03-05T00:00:00Z")},
    "one project": {"month": "2025-03", "where": ["project=search"]},
    "one account": {"month": "2025-03", "account": "default"},
}
# What happens on each day: calls, late calls, a call that is measured after all, credits, an expiry, a repayment.
HISTORY: dict[int, Callable[[Engine, str], Any]] = {
    1: lambda e, now: grant(e, "2.00", "2025-03-01T00:00:00Z", "2025-03-06T00:00:00Z", now=now),
    2: lambda e, now: record_and_post(e, an_event("half", "2025-03-02T01:00:00Z", output=500_000), now=now),
    3: lambda e, now: record(
        e,
        an_event("waits", "2025-03-03T01:00:00Z", project="search"),
        an_unmetered("torn", "2025-03-03T02:00:00Z"),
        an_unmetered("failed", "2025-03-03T03:00:00Z") | {"status": "failed", "http_status": 402},
        an_event("naive", "2025-03-03T02:00:00"),
        now=now,
    ),
    4: lambda e, now: post(e, now=now),
    5: lambda e, now: record_and_post(e, an_event("torn", "2025-03-03T02:00:01Z", output=10), now=now),
    6: lambda e, now: post(e, now=now),
    7: lambda e, now: record_and_post(e, an_event("late", "2025-03-02T02:00:00Z", project="search"), now=now),
    8: lambda e, now: top_up(e, "5.00", now, now=now),
    9: lambda e, now: record_and_post(e, an_event("other", "2025-03-09T01:00:00Z", account="team"), now=now),
    10: lambda e, now: record_and_post(
        e, an_event("strange", "2025-03-04T00:00:00Z", model="deepseek-9") | {"usage": usage(1, 2, 3)}, now=now
    ),
}


class Seen(NamedTuple):
    """What was told at an instant: each report as JSON, and the balance with what was not posted."""

    reports: dict[str, dict[str, Any]]
    balance: dict[str, Any]
    unposted: int


def see(engine: Engine, instant: str, known_at: str | None = None) -> Seen:
    known = None if known_at is None else at(known_at)
    with reading(engine) as connection:
        account = accounts.get(connection, "default", known)
        reports = {
            name: spend_report(connection, Scope.checked(**options, known_at=known), by=("account", "day")).as_dict()
            for name, options in SCOPES.items()
        }
        balance = balance_at(connection, account, at(instant), known).as_dict()
        return Seen(reports, balance, count_unposted(connection, known, EventRow.account == "default"))


@pytest.fixture
def seen(engine: Engine) -> dict[str, Seen]:
    """The history, and what was told in the middle of each of its days."""
    told = {}
    for day, happens in HISTORY.items():
        now = START + (day - 1) * DAY + DAY / 4
        happens(engine, format_instant(now))
        noon = format_instant(now + DAY / 4)
        told[noon] = see(engine, noon)
    return told


def test_what_was_told_then_is_told_again(engine: Engine, seen: dict[str, Seen]) -> None:
    assert {noon: see(engine, noon, known_at=noon) for noon in seen} == seen


def test_the_history_changes_what_is_told_every_day(seen: dict[str, Seen]) -> None:
    """Otherwise the comparison above would compare nothing."""
    told = [*seen.values()]
    assert all(before != after for before, after in pairwise(told))
    totals = [one.reports["the month"]["totals"] for one in told]
    for doubt in ("unposted", "unmetered", "quarantined", "unpriced", "overdraft"):
        assert len({total[doubt] for total in totals}) > 1, doubt


def test_what_is_known_now_is_what_is_told_without_an_instant(engine: Engine, seen: dict[str, Seen]) -> None:
    now = "2025-03-31T00:00:00Z"
    assert see(engine, now, known_at=now) == see(engine, now)


def test_the_two_instants_of_a_balance_are_independent(engine: Engine, seen: dict[str, Seen]) -> None:
    """What was had on the 2nd at noon, as told by and by: the late call of 1.10 was heard of on the 7th."""

    def told(known_at: str) -> list[str]:
        with reading(engine) as connection:
            account = accounts.get(connection, "default")
            found = balance_at(connection, account, at("2025-03-02T12:00:00Z"), at(known_at)).as_dict()
        return [found["balance_infos"][0][f"{kind}_balance"] for kind in ("granted", "topped_up")]

    assert told("2025-03-01T00:00:00Z") == ["0.00", "0.00"]
    assert told("2025-03-01T06:00:00Z") == ["2.00", "0.00"]
    assert told("2025-03-02T06:00:00Z") == ["1.45", "0.00"]
    assert told("2025-03-07T05:59:59.999999Z") == ["1.45", "0.00"]
    assert told("2025-03-07T06:00:00Z") == ["1.100011", "-0.750011"]  # calls booked before it had taken the rest


def test_an_account_that_was_not_there_is_not_found(engine: Engine, seen: dict[str, Seen]) -> None:
    scope = Scope(month="2025-03", account="team", known_at=at("2025-03-09T05:59:59Z"))
    with reading(engine) as connection, pytest.raises(NotFoundError, match="no account 'team' was known at 2025-03-09"):
        spend_report(connection, scope)


def test_an_account_of_another_currency_that_came_later_is_no_obstacle(engine: Engine) -> None:
    record_and_post(engine, an_event("a"), now="2025-03-10T00:00:00Z")
    set_up_account(engine, "asia", "CNY", now="2025-03-11T00:00:00Z")
    scope = Scope(month="2025-03", known_at=at("2025-03-10T12:00:00Z"))
    with reading(engine) as connection:
        assert spend_report(connection, scope).currency == "USD"
        with pytest.raises(InputError, match="never summed"):
            spend_report(connection, Scope(month="2025-03"))


def test_an_instant_to_come_is_refused() -> None:
    now = at("2025-03-10T00:00:00Z")
    assert parse_known_at("2025-03-10T00:00:00Z", now) == now
    with pytest.raises(InputError, match=r"^known_at '2025-03-10T00:00:01Z': is ahead of now, 2025-03-10T00:00:00Z; "):
        parse_known_at("2025-03-10T00:00:01Z", now)
