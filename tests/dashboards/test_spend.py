"""Every question of the dashboard *Spend* is answered by a real PostgreSQL, and its numbers are the reports'."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.core.periods import day_period, format_instant, month_of, zone
from costmeter.reports.spend import spend_report
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.store import accounts, balances
from costmeter.store.accounts import Account, Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.scope import Scope
from tests.conftest import database_of
from tests.dashboards.boards import ALL, as_sql, board, question, questions
from tests.make import an_event, an_unmetered, give, record, record_and_post

READER = "dashboard_reader"
RECIPE = Path(__file__).resolve().parents[2] / "docs" / "reporting.md"
EVERYTHING: Mapping[str, str | Sequence[str]] = {"currency": "USD", "account": ALL, "project": ALL}
CHOICES: tuple[dict[str, str | Sequence[str]], ...] = (
    {},
    {"currency": "CNY"},
    {"account": ["shop"]},
    {"account": ["labs", "o'brien"]},
    {"project": ["search", "(none)"]},
    {"account": ["shop", "labs"], "project": ["support"]},
)
HOMES = {"shop": Home("USD", "UTC"), "labs": Home("USD", "America/New_York"), "beijing": Home("CNY", "Asia/Shanghai")}
HOMES["o'brien"] = Home("USD", "Europe/Dublin")


@pytest.fixture(scope="module")
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def spent(postgres_template: str, now: datetime) -> Iterator[Engine]:
    """Books that no test changes."""
    with database_of(postgres_template) as url, filled(url, now) as engine:
        yield engine


@pytest.fixture(scope="module")
def reader(spent: Engine) -> Iterator[Engine]:
    with let_in(spent) as engine:
        yield engine


@contextmanager
def filled(url: str, now: datetime) -> Iterator[Engine]:
    """Accounts of two currencies and four zones with calls of a fortnight, until a moment ago."""
    engine = open_engine(url)
    for number, (account, home) in enumerate(HOMES.items()):
        start = format_instant(now - timedelta(days=20))
        give(engine, "topped_up", "300.00", start, account=account, home=home, now=format_instant(now))
        calls = []
        for hours in range(0, 14 * 24, 7 + number):
            instant = format_instant(now - timedelta(hours=hours, minutes=5))
            project = (None, "search", "support", 'it\'s "new"')[hours % 4]
            tokens = {"hit": 1000 * hours, "miss": 500_000 + hours, "output": 70_000}
            model = "deepseek-flash" if hours % 3 else "deepseek-v4-pro"
            calls.append(
                an_event(f"{account}-{hours}", instant, account=account, project=project, model=model, **tokens)
            )
        record_and_post(engine, *calls, now=format_instant(now), home=home)
        if account != "beijing":
            new = NewBudget(account, "all of it", "month", "500.00")
            add_budget(engine, new, by="finance", home=home, now=now)
    add_budget(
        engine, NewBudget("beijing", "tokens", "week", tokens=10**9), by="finance", home=HOMES["beijing"], now=now
    )
    a_moment_ago = format_instant(now - timedelta(minutes=30))
    record(engine, an_unmetered("lost", a_moment_ago, account="shop"), now=format_instant(now))
    record(engine, an_unmetered("lost too", a_moment_ago, account="beijing"), now=format_instant(now))
    yield engine
    engine.dispose()


@contextmanager
def let_in(spent: Engine) -> Iterator[Engine]:
    """The database as Grafana is let into it: by the role of the recipe, which reads the views and nothing else."""
    (recipe,) = re.findall(r"```sql\n(CREATE ROLE.*?)```", RECIPE.read_text(encoding="utf-8"), re.DOTALL)
    database = str(spent.url.database)
    name = f"{READER}_{database}"
    recipe = recipe.replace("costmeter_reader", name).replace("DATABASE costmeter", f"DATABASE {database}")
    with spent.begin() as connection:
        connection.exec_driver_sql(recipe)
    url = spent.url.set(query={**spent.url.query, "options": f"-c role={name}"})
    engine = open_engine(url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()
    with spent.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {name}")
        connection.exec_driver_sql(f"DROP ROLE {name}")


def asked(engine: Engine, text: str, now: datetime, chosen: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The answer to a question of the dashboard, as if it were asked at that instant, of 30 days."""
    sql = as_sql(text, now - timedelta(days=30), now, {**EVERYTHING, **(chosen or {})})
    with reading(engine) as connection:
        made = connection.exec_driver_sql(sql.replace("now()", f"timestamptz '{now.isoformat()}'"))
        return [dict(row) for row in made.mappings()]


def in_time(account: Account, now: datetime) -> Scope:
    """The whole days of an account that 30 days touch."""
    days = [edge.astimezone(zone(account.timezone)).date() for edge in (now - timedelta(days=30), now)]
    return Scope.checked(
        start=day_period(days[0], account.timezone).start,
        end=day_period(days[1], account.timezone).end,
        account=account.account,
    )


def today(account: Account, now: datetime) -> Scope:
    day = day_period(now.astimezone(zone(account.timezone)).date(), account.timezone)
    return Scope.checked(start=day.start, end=day.end, account=account.account)


def this_month(account: Account, now: datetime) -> Scope:
    return Scope.checked(month=month_of(now, account.timezone), account=account.account)


SCOPES = {"Today": today, "This month": this_month, "In the time shown": in_time}


def reported(engine: Engine, scope: Any, now: datetime, chosen: Mapping[str, Any], *by: str) -> list[dict[str, Any]]:
    """The rows of the reports of the accounts and projects that are chosen, amounts as decimals."""
    found = []
    with reading(engine) as connection:
        for account in accounts.listed(connection, None):
            if account.currency == chosen["currency"] and chosen["account"] in (ALL, account.account):
                told = spend_report(connection, scope(account, now), by=("project", *by), timezone=account.timezone)
                found += [{"account": account.account, **row} for row in told.as_dict()["rows"]]
    return [row for row in found if chosen["project"] == ALL or (row["project"] or "(none)") in chosen["project"]]


def total(rows: Sequence[Mapping[str, Any]], name: str = "cost") -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal(0))


@pytest.mark.parametrize("place", range(len(questions("spend"))), ids=[asked.panel for asked in questions("spend")])
def test_every_question_is_answered(place: int, reader: Engine, now: datetime) -> None:
    """As the reader of the recipe, and whatever is chosen."""
    panel, text, layout = questions("spend")[place]
    rows = asked(reader, text, now)
    assert rows, panel
    if layout == "time_series":
        assert [*rows[0]] == ["time", "metric", "value"]
        assert rows == sorted(rows, key=lambda row: row["time"])
    for chosen in CHOICES:
        asked(reader, text, now, chosen)


def test_every_choice_is_offered(reader: Engine, now: datetime) -> None:
    offered = {
        one["name"]: [next(iter(row.values())) for row in asked(reader, one["query"], now)]
        for one in board("spend")["templating"]["list"]
        if one["type"] == "query"
    }
    assert offered["currency"] == ["CNY", "USD"]
    assert offered["account"] == ["labs", "o'brien", "shop"]
    assert sorted(offered["project"]) == ["(none)", 'it\'s "new"', "search", "support"]


@pytest.mark.parametrize("panel", SCOPES)
def test_what_is_spent_is_what_reports_say(panel: str, reader: Engine, spent: Engine, now: datetime) -> None:
    for choice in CHOICES:
        chosen = {**EVERYTHING, **choice}
        expected = Decimal(0)
        for account in [chosen["account"]] if chosen["account"] == ALL else chosen["account"]:
            expected += total(reported(spent, SCOPES[panel], now, {**chosen, "account": account}))
        (row,) = asked(reader, question("spend", panel), now, choice)
        assert row["value"] == expected, choice
    (row,) = asked(reader, question("spend", panel), now)
    assert panel == "Today" or row["value"] > 0


@pytest.mark.parametrize("currency", ["USD", "CNY"])
@pytest.mark.parametrize(("panel", "by"), [("By project", "project"), ("By model", "model"), ("By account", "account")])
def test_what_is_told_by_day_is_what_reports_say(
    panel: str, by: str, currency: str, reader: Engine, spent: Engine, now: datetime
) -> None:
    chosen = {**EVERYTHING, "currency": currency}
    expected: dict[tuple[str, str], Decimal] = {}
    for row in reported(spent, in_time, now, chosen, "model", "day"):
        key = (row["day"], row[by] or "(none)")
        expected[key] = expected.get(key, Decimal(0)) + Decimal(row["cost"])
    told = asked(reader, question("spend", panel), now, chosen)
    assert {(f"{row['time']:%Y-%m-%d}", row["metric"]): row["value"] for row in told} == expected
    assert len(expected) > 10


def test_more_than_a_chart_can_tell_apart_are_one(postgres_url: str, now: datetime) -> None:
    when = format_instant(now - timedelta(minutes=2))
    many = [an_event(f"many-{n}", when, project=f"p{n:02d}", model="deepseek-flash") for n in range(30)]
    engine = open_engine(postgres_url)
    record_and_post(engine, *many, now=format_instant(now))
    told = asked(engine, question("spend", "By project"), now)
    named = {row["metric"] for row in told}
    assert len(named) == 12
    assert "(others)" in named
    assert sum(row["value"] for row in told) == total(reported(engine, in_time, now, EVERYTHING))
    engine.dispose()


def test_balances_budgets_and_shares_are_those_of_the_books(reader: Engine, spent: Engine, now: datetime) -> None:
    rows = {row["account"]: row for row in asked(reader, question("spend", "Balances"), now)}
    with reading(spent) as connection:
        for account in accounts.listed(connection, None):
            if account.currency == "USD":
                has = balances.balance_now(connection, account, datetime.now(UTC))
                assert rows[account.account]["total"] == Decimal(has.total).scaleb(-12)
    assert [*rows] == sorted(rows, key=lambda name: rows[name]["total"])
    month = {row["account"]: row for row in asked(reader, question("spend", "Budgets"), now)}
    for name in ("shop", "labs", "o'brien"):
        assert month[name]["spent"] == total(reported(spent, this_month, now, {**EVERYTHING, "account": name}))
    used = reported(spent, in_time, now, EVERYTHING)
    hits, misses = (sum(row[f"cache_{kind}_tokens"] for row in used) for kind in ("hit", "miss"))
    (row,) = asked(reader, question("spend", "Cache hits"), now)
    assert abs(row["value"] - Decimal(hits) / (hits + misses)) < Decimal("1e-12")
    (row,) = asked(reader, question("spend", "Saved by the cache"), now)
    assert row["value"] == total(used, "cache_savings")


def test_what_is_not_in_the_cost_is_told_of_the_chosen(reader: Engine, now: datetime) -> None:
    for choice, calls in (({}, 1), ({"currency": "CNY"}, 1), ({"account": ["labs"]}, 0)):
        told = asked(reader, question("spend", "Not in the cost"), now, choice)
        assert sum(row["value"] for row in told if row["metric"] == "unmetered") == calls
