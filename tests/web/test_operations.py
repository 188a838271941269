"""The page of operations: its numbers are the API's, and each thing that is wrong stands first with its remedy."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from costmeter import wiring
from costmeter.core.notice_kinds import KINDS
from costmeter.core.notices import RAISED, Notice, compose
from costmeter.core.periods import format_instant, zone
from costmeter.core.watch import JOB, QUARANTINE, SCHEDULER
from costmeter.recorder.lane import Lane
from costmeter.reports.operations import operations_report
from costmeter.reports.overview import View
from costmeter.services.freeze_account import freeze_account
from costmeter.services.verify import verify
from costmeter.store.engine import reading
from costmeter.store.schema import NEWEST
from tests.make import an_event, at, record, record_and_post
from tests.web.books import NOW
from tests.web.operating import OWNER, operate, run_jobs
from tests.web.reading import Read
from tests.web.serving import Browser, Pages, paged

FLASH: dict[str, Any] = {"model": "deepseek-flash", "account": "shop"}


@pytest.fixture(scope="module")
def busy(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Books of a bad morning; its tests change nothing but keys."""
    path = tmp_path_factory.mktemp("busy") / "costmeter.sqlite3"
    shutil.copy(books, path)
    operate(f"sqlite:///{path}")
    with paged(f"sqlite:///{path}", NOW) as pages:
        yield pages


def looked_at(browser: Browser, **asked: str) -> Read:
    answer = browser.get("/operations", params=asked)
    assert answer.status_code == 200, answer.text
    return Read(answer.text)


def concerns(browser: Browser, **asked: str) -> list[str]:
    """What stands first, by kind."""
    page = browser.get("/operations", params=asked).text
    return [part.split('"')[0] for part in page.split('data-kind="')[1:]]


def calls(api: httpx.Client, by: str, start: str, end: str, timezone: str, **scope: str) -> dict[str, int]:
    """The calls of each hour or day that the API tells, whatever the currency."""
    found: dict[str, int] = {}
    for currency in ("USD", "CNY"):
        asked = {"from": start, "to": end, "by": by, "timezone": timezone, "currency": currency, **scope}
        for row in api.get("/v1/reports/spend", params=asked).json()["rows"]:
            found[row[by]] = found.get(row[by], 0) + row["calls"]
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_calls_are_the_apis(busy: Pages, seed: int) -> None:
    chance = random.Random(seed)
    timezone = chance.choice(("UTC", "Asia/Shanghai", "America/St_Johns"))
    scope = chance.choice(({}, {"account": "shop"}, {"account": "beijing"}))
    key = busy.key("read")
    seen, api = looked_at(busy.browser(key), timezone=timezone, **scope), busy.api(key)
    tz = zone(timezone)
    now = at(NOW).astimezone(tz)
    hour = now.replace(minute=0, second=0)
    first, last = hour - timedelta(hours=23), hour + timedelta(hours=1)
    told = calls(api, "hour", format_instant(first), format_instant(last), timezone, **scope)
    *rows, total = seen.body("hours-table")
    shown = {row[0]: int(row[1]) for row in rows}
    assert len(shown) == 24
    expected = {at(hour).astimezone(tz).strftime("%Y-%m-%d %H:%M:%S"): count for hour, count in told.items()}
    assert {name: count for name, count in shown.items() if count} == {n: c for n, c in expected.items() if c}
    assert int(total[1]) == sum(told.values()) == int(seen.amount("hour-calls"))

    midnight = now.replace(hour=0, minute=0, second=0)
    days = calls(api, "day", format_instant(midnight - timedelta(days=29)),
                 format_instant(midnight + timedelta(days=1)), timezone, **scope)  # fmt: skip
    *rows, total = seen.body("days-table")
    assert len(rows) == 30
    assert {row[0]: int(row[1]) for row in rows if int(row[1])} == {day: count for day, count in days.items() if count}
    assert int(total[1]) == sum(days.values()) == int(seen.amount("day-calls"))


def metrics(api: httpx.Client) -> dict[str, float]:
    lines = api.get("/metrics").text.splitlines()
    return {line.split()[0]: float(line.split()[-1]) for line in lines if line.startswith("costmeter_")}


def test_the_state_is_what_prometheus_is_told(busy: Pages) -> None:
    key = busy.key("read")
    seen, told = looked_at(busy.browser(key)), metrics(busy.api(key))
    assert int(seen.amount("unposted")) == told["costmeter_unposted_calls"] == 1
    items = busy.api(key).get("/v1/quarantine").json()["data"]
    assert int(seen.amount("quarantined")) == len(items)
    assert told["costmeter_quarantined_items"] == sum(one["kind"] != "conflict" for one in items)
    assert [row[0] for row in seen.body("waiting-table")] == ["labs"]
    assert told["costmeter_frozen_accounts"] == 1
    assert seen.marked["schema"] == NEWEST
    assert seen.marked["poster"] == "works"
    assert seen.marked["newest"] == "waiting-1"
    assert int(seen.amount("whole")) == 1
    assert {row[0] for row in seen.body("verified-table")} == {"labs", "beijing"}


def test_what_is_wrong_stands_first(busy: Pages) -> None:
    browser = busy.browser(busy.key("read"))
    assert concerns(browser) == ["job", "job", "frozen", "quarantine", "conflicts"]
    page = browser.get("/operations").text
    assert page.index("What needs a hand") < page.index('<form class="filters"')
    for said in ("Job forecasts failed", "the database closed the connection", "Job prices found what needs a hand",
                 "5 items are in quarantine", "1 conflict is open", "costmeter account release"):  # fmt: skip
        assert said in unescape(page), said
    assert concerns(browser, account="shop") == ["job", "job", "quarantine", "conflicts"]
    assert OWNER in page


def test_everything_is_well(bare: Pages) -> None:
    record_and_post(bare.engine, an_event("one", "2026-11-18T09:10:00Z", **FLASH), now=NOW)
    verify(bare.engine, now=at(NOW))
    browser = bare.browser(bare.key("read"))
    assert concerns(browser) == ["no_scheduler"]
    run_jobs(bare.engine, at(NOW))
    with bare.engine.begin() as connection:
        connection.execute(text("DELETE FROM scheduler_run WHERE outcome <> 'done'"))
    page = browser.get("/operations").text
    assert "Nothing needs a hand." in page
    assert "Every ledger was found whole" in page
    assert "Every call is posted." in page


def test_books_without_anything(bare: Pages) -> None:
    seen = looked_at(bare.browser(bare.key("read")))
    assert [seen.marked[name] for name in ("unposted", "quarantined", "whole")] == ["0", "0", "0"]
    assert {row[1] for row in seen.body("hours-table")} == {"0"}


def test_a_call_that_waits_for_long_is_told(engine: Engine) -> None:
    """Where nobody posts: a server would."""
    record_and_post(engine, an_event("one", "2026-11-18T08:10:00Z", **FLASH), now=NOW)
    record(engine, an_event("two", "2026-11-18T08:20:00Z", **FLASH), now="2026-11-18T08:20:01Z")
    view = View(None, "USD", None, "UTC", date(2026, 11, 18), "model")
    for now, kinds in (("2026-11-18T08:35:00Z", []), ("2026-11-18T08:35:01Z", ["unposted"])):
        with reading(engine) as connection:
            told = operations_report(connection, view, None, at(now))
        assert [one["kind"] for one in told["concerns"]] == kinds
        assert told["books"]["posting"]["unposted"] == 1
        assert told["books"]["posting"]["last_booked_at"] == NOW
        assert told["books"]["newest_call"]["event_id"] == "two"
    freeze_account(engine, "shop", by="ada", reason="a test", now=at(NOW))
    with reading(engine) as connection:
        told = operations_report(connection, view, None, at(NOW))
    assert [one["kind"] for one in told["concerns"]] == ["frozen"], "which tells why it waits"


def test_what_the_spool_holds_is_told(bare: Pages) -> None:
    folder = wiring.spool_folder()
    folder.mkdir(parents=True)
    lane = Lane.open(folder)
    assert lane.write(b'{"a":1}')
    browser = bare.browser(bare.key("read"))
    seen = looked_at(browser)
    assert [row[2] for row in seen.body("lanes-table")] == ["records"]
    assert "of at most 1 GiB" in unescape(seen.marked["spool"]).replace("\u00a0", " ")
    assert "leftovers" not in concerns(browser)
    lane.discard()


def test_the_gateway_that_is_mounted_is_told(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("COSTMETER_GATEWAY_MOUNT", "/deepseek")
    monkeypatch.setenv("COSTMETER_GATEWAY_UPSTREAM", "http://127.0.0.1:9")
    with paged(sqlite_url, NOW) as pages:
        key = pages.key("read")
        browser = pages.browser(key)
        page = browser.get("/operations").text
        assert '<span class="id">/deepseek</span> to <span class="id">http://127.0.0.1:9</span>' in page
        assert Read(page).amount("gateway") == "0 0 not delivered yet, 0 dropped"
        assert "not mounted here" not in page


@pytest.mark.parametrize(
    ("limits", "sees", "sees_not"),
    [
        ({"accounts": ["shop"]}, ("unposted", "day-calls"), ("schema", "poster")),
        ({"accounts": ["shop"], "projects": ["search"]}, ("day-calls",), ("unposted", "schema")),
        ({"projects": ["search", "support"]}, ("day-calls",), ("unposted", "schema")),
    ],
)
def test_a_limited_key_sees_what_is_its_own(
    busy: Pages, limits: dict[str, list[str]], sees: tuple[str, ...], sees_not: tuple[str, ...]
) -> None:
    key = busy.key("read", **limits)
    browser = busy.browser(key)
    page = browser.get("/operations").text
    seen = Read(page)
    assert {*sees} <= seen.marked.keys()
    assert not {*sees_not} & seen.marked.keys()
    for foreign in (OWNER, "forecasts", *(("labs", "beijing") if "accounts" in limits else ())):
        assert foreign not in page
    midnight = at("2026-11-18T00:00:00Z")
    start, end = format_instant(midnight - timedelta(days=29)), format_instant(midnight + timedelta(days=1))
    scope = {"where": f"project={limits['projects'][0]}"} if "projects" in limits else {}
    told = calls(busy.api(key), "day", start, end, "UTC", **scope)
    assert int(seen.amount("day-calls")) == sum(told.values()) > 0
    if "accounts" in limits:
        assert browser.get("/operations", params={"account": "labs"}).status_code == 403


@pytest.mark.parametrize(
    ("asked", "status"), [({"account": "nobody"}, 404), ({"timezone": "Mars/Olympus"}, 422), ({"account": ""}, 200)]
)
def test_a_filter_that_means_nothing_says_so(busy: Pages, asked: Any, status: int) -> None:
    assert busy.browser(busy.key("read")).get("/operations", params=asked).status_code == status


def test_either_database_says_what_it_is(database_url: str) -> None:
    with paged(database_url, NOW) as pages:
        run_jobs(pages.engine, at(NOW))
        record_and_post(pages.engine, an_event("one", "2026-11-18T08:00:00Z", **FLASH), now=NOW)
        verify(pages.engine, now=at(NOW))
        record(pages.engine, an_event("ahead", "2026-11-19T08:00:00Z", **FLASH), now=NOW)
        browser = pages.browser(pages.key("read"))
        seen = looked_at(browser)
        kind = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[pages.engine.dialect.name]
        assert seen.marked["engine"].startswith(kind)
        assert ("partitions-table" in seen.tables) == (kind == "PostgreSQL")
        assert ("partitions" in concerns(browser)) == (seen.marked.get("months_ahead") == "0")
        assert [seen.marked[name] for name in ("quarantined", "whole", "newest")] == ["1", "1", "one"]
        assert seen.amount("day-calls") == seen.amount("hour-calls") == "1"


@pytest.mark.parametrize("kind", [QUARANTINE, SCHEDULER, JOB])
def test_what_messages_link_to_answers(busy: Pages, kind: str) -> None:
    """Who comes from a mail finds a page there."""
    facts = {"items": 2, "kinds": {"refused": 2}, "since": NOW, "last_finished_at": NOW, "last_job": "post"}
    facts |= {"job": "verify", "outcome": "failed", "finished_at": NOW, "said": "", "error": "x", "lease": None}
    notice = Notice("", "n", kind, RAISED, kind, facts, at(NOW))
    message = compose(notice, KINDS, site=busy.url)
    assert message.url is not None
    answer = busy.browser(busy.key("read")).get(message.url)
    assert answer.status_code == 200
    assert "<h1>" in answer.text
