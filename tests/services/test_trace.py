"""An hour of real traffic, 12,031 calls, recorded twice by two accounts and counted once.

The trace is placed at 2025-03-31T16:01:00Z: it crosses the edge to off-peak at 16:30:00, and all of it is March in UTC
and April in Shanghai. Its calls go to deepseek-chat and deepseek-reasoner in turn. What must come out is worked out
here from the vendor's rates in plain integers.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from costmeter.core.periods import format_instant
from costmeter.reports.spend import spend_report
from costmeter.services.add_credit import NewCredit, add_credit
from costmeter.services.record_calls import Tally
from costmeter.store import accounts, balances
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow, EventRow
from tests.make import an_event, at, outcome, post, record, rows, set_up_account
from tests.services.invariants import check_books

START = at("2025-03-31T16:01:00Z")
OFF_PEAK = at("2025-03-31T16:30:00Z")
OPENING = at("2025-03-01T00:00:00Z")
NOW = "2025-03-31T17:30:00Z"
ZONES = {"utc": "UTC", "shanghai": "Asia/Shanghai"}
MODELS = ("deepseek-chat", "deepseek-reasoner")
# USD per million tokens (cache hit, cache miss, output) are these units of 10^-12 USD a token.
RATES = {
    ("deepseek-chat", "standard"): (70_000, 270_000, 1_100_000),
    ("deepseek-chat", "off_peak"): (35_000, 135_000, 550_000),
    ("deepseek-reasoner", "standard"): (140_000, 550_000, 2_190_000),
    ("deepseek-reasoner", "off_peak"): (35_000, 135_000, 550_000),
}
CHUNK = 2_000


class Line(NamedTuple):
    """One call of the trace, priced by hand."""

    number: int
    model: str
    completed_at: Any
    band: str
    tokens: tuple[int, int, int]
    cost: int

    def body(self, account: str) -> dict[str, Any]:
        hit, miss, output = self.tokens
        instant = format_instant(self.completed_at)
        more = {"account": account, "model": self.model, "response_id": f"r-{self.number}"}
        return an_event(f"call-{self.number}", instant, hit=hit, miss=miss, output=output, **more)


class Recorded(NamedTuple):
    """A database that holds the trace, and what was said when it was recorded."""

    engine: Engine
    tallies: list[Tally]
    posted: int
    grants: dict[str, int]
    top_ups: dict[str, int]


@pytest.fixture(scope="module")
def trace(shared: Path) -> list[Line]:
    with (shared / "traces" / "mooncake_conversation_usage.csv").open(newline="", encoding="utf-8") as file:
        return [a_line(number, row) for number, row in enumerate(csv.DictReader(file))]


def a_line(number: int, row: dict[str, str]) -> Line:
    model, completed_at = MODELS[number % 2], START + timedelta(milliseconds=int(row["offset_ms"]))
    band = "off_peak" if completed_at >= OFF_PEAK else "standard"
    hit = int(row["prompt_cache_hit_tokens"])
    tokens = hit, int(row["prompt_tokens"]) - hit, int(row["completion_tokens"])
    cost = sum(count * rate for count, rate in zip(tokens, RATES[model, band], strict=True))
    return Line(number, model, completed_at, band, tokens, cost)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, trace: list[Line]
) -> Iterator[Recorded]:
    """The trace recorded, posted and sent again, by an account in UTC and one in Shanghai.

    Both have a grant that runs out in the middle of a call. The top-up of the first covers the rest, that of the
    second runs out as well.
    """
    engine = open_engine(a_database(request, tmp_path_factory))
    total = sum(line.cost for line in trace)
    grants = {"utc": total // 3 + 1, "shanghai": total // 7 + 1}
    top_ups = {"utc": total, "shanghai": total // 2 + 3}
    for account, zone in ZONES.items():
        set_up_account(engine, account, timezone=zone, now=NOW)
        for kind, amount in (("granted", grants[account]), ("topped_up", top_ups[account])):
            new = NewCredit(account, kind, amount, effective_at=OPENING)
            add_credit(engine, new, by="finance", home=Home(), now=at(NOW))
    tallies = [send(engine, trace)]
    posted = sum(post(engine, account, NOW) for account in ZONES)
    tallies.append(send(engine, trace))
    posted += sum(post(engine, account, NOW) for account in ZONES)
    yield Recorded(engine, tallies, posted, grants, top_ups)
    engine.dispose()


def a_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database that the tests of this module share."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("trace") / "costmeter.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    server: str = request.getfixturevalue("postgres_template")
    name = f"trace_{uuid4().hex}"
    administrator = open_engine(server.format("postgres"))
    with administrator.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE costmeter_template"))
    administrator.dispose()
    return server.format(name)


def send(engine: Engine, trace: list[Line]) -> Tally:
    tally = Tally()
    for account in ZONES:
        for start in range(0, len(trace), CHUNK):
            bodies = (line.body(account) for line in trace[start : start + CHUNK])
            tally.include(record(engine, *bodies, now=NOW))
    return tally


def charges_of(recorded: Recorded, account: str) -> list[dict[str, Any]]:
    """The charges of an account in the order of the trace."""
    names = {r["event_key"]: r["event_id"] for r in rows(recorded.engine, EventRow, where=EventRow.account == account)}
    found = rows(recorded.engine, ChargeRow, where=ChargeRow.account == account)
    return sorted(found, key=lambda row: int(names[row["event_key"]].removeprefix("call-")))


def test_the_trace_is_what_it_was_placed_to_be(trace: list[Line]) -> None:
    assert len(trace) == 12_031
    assert Counter(line.band for line in trace).keys() == {"standard", "off_peak"}
    assert all(first.completed_at <= second.completed_at for first, second in pairwise(trace))
    assert trace[-1].completed_at < at("2025-03-31T17:00:00Z")


def test_recorded_twice_it_is_counted_once(recorded: Recorded, trace: list[Line]) -> None:
    calls = 2 * len(trace)
    assert [outcome(tally) for tally in recorded.tallies] == [(calls, 0, 0, 0), (0, calls, 0, 0)]
    assert recorded.posted == calls


@pytest.mark.parametrize("account", ZONES)
def test_each_call_costs_what_the_vendors_rates_say(recorded: Recorded, trace: list[Line], account: str) -> None:
    charges = charges_of(recorded, account)
    assert [(row["cost"], row["band"]) for row in charges] == [(line.cost, line.band) for line in trace]


@pytest.mark.parametrize("account", ZONES)
def test_granted_and_topped_up_parts_are_the_closed_form(recorded: Recorded, trace: list[Line], account: str) -> None:
    """In order of completion the part of a call is the overlap of its stretch of cost with the credit's."""
    grant, both = recorded.grants[account], recorded.grants[account] + recorded.top_ups[account]
    expected, before = [], 0
    for line in trace:
        after = before + line.cost
        granted = min(grant, after) - min(grant, before)
        topped_up = min(both, after) - min(both, before) - granted
        expected.append((granted, topped_up, line.cost - granted - topped_up, 0))
        before = after
    parts = [
        tuple(row[p] for p in ("granted", "topped_up", "overdraft", "untracked"))
        for row in charges_of(recorded, account)
    ]
    assert parts == expected
    assert sum(granted > 0 and topped_up > 0 for granted, topped_up, _, _ in parts) == 1, "one call is split"


@pytest.mark.parametrize("account", ZONES)
def test_the_pools_are_the_closed_form_in_total(recorded: Recorded, trace: list[Line], account: str) -> None:
    total = sum(line.cost for line in trace)
    grant, top_up = recorded.grants[account], recorded.top_ups[account]
    with reading(recorded.engine) as connection:
        found = balances.balance_at(connection, accounts.get(connection, account), at(NOW))
    assert (found.granted, found.topped_up) == (0, grant + top_up - total)
    assert (found.topped_up < 0) == (account == "shanghai")


@pytest.mark.parametrize(
    ("account", "month", "day"), [("utc", "2025-03", "2025-03-31"), ("shanghai", "2025-04", "2025-04-01")]
)
def test_totals_by_month_band_and_day_are_those_of_the_trace(
    recorded: Recorded, trace: list[Line], account: str, month: str, day: str
) -> None:
    expected: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for line in trace:
        sums = expected[line.model, line.band, day]
        for position, number in enumerate((1, line.cost, *line.tokens)):
            sums[position] += number
    names = ("calls", "cost", "cache_hit_tokens", "cache_miss_tokens", "output_tokens")
    with reading(recorded.engine) as connection:
        report = spend_report(connection, Scope(month=month, account=account), by=("model", "band", "day"))
        other = "2025-04" if month == "2025-03" else "2025-03"
        nothing = spend_report(connection, Scope(month=other, account=account))
        in_month = spend_report(connection, Scope(month=month))
    found = {(r["model"], r["band"], r["day"]): [r[name] for name in names] for r in report.rows.to_dict("records")}
    assert found == expected
    whole = [sum(sums[position] for sums in expected.values()) for position in range(5)]
    assert [report.totals[name] for name in names] == whole
    assert (nothing.totals["calls"], len(nothing.rows)) == (0, 0)
    assert [in_month.totals[name] for name in names] == whole, "each account's calls are in a month of its own"


def test_savings_are_those_of_the_trace(recorded: Recorded, trace: list[Line]) -> None:
    cache = sum(line.tokens[0] * (RATES[line.model, line.band][1] - RATES[line.model, line.band][0]) for line in trace)
    standard = sum(
        sum(count * rate for count, rate in zip(line.tokens, RATES[line.model, "standard"], strict=True))
        for line in trace
    )
    with reading(recorded.engine) as connection:
        totals = spend_report(connection, Scope(month="2025-03", account="utc")).totals
    assert totals["cache_savings"] == cache
    assert totals["off_peak_savings"] == standard - totals["cost"]


def test_the_books_hold(recorded: Recorded) -> None:
    check_books(recorded.engine)
