"""What a limited key is not told, and addresses that ask for too much."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from costmeter.api.limits import Limits
from costmeter.web import live
from tests.make import an_event, record_and_post
from tests.web.books import NOW
from tests.web.changing import send
from tests.web.serving import Pages
from tests.web.test_quarantine import own

__all__ = ["own"]


@pytest.mark.parametrize("path", ["/", "/explore", "/calls", "/operations", "/statements/exports"])
def test_a_key_of_projects_is_told_of_no_account(site: Pages, path: str) -> None:
    browser = site.browser(site.key("read", projects=["nothing"]))
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    for name in ("labs", "shop", "beijing", "3 accounts", "2 accounts"):
        assert name not in answer.text, name
    assert 'data-mark=""' in answer.text, "how much was posted is of everybody"
    assert browser.get("/live").status_code == 204


def test_streams_are_so_many_and_leave_the_others_room(own: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST", 1)
    browser, other = own.browser(own.key("read")), own.browser(own.key("read"))
    with browser.stream("GET", "/live") as first:
        lines = first.iter_lines()
        assert next(lines).startswith("retry")
        assert other.get("/live").status_code == 204
        assert other.get("/").status_code == 200


@pytest.mark.parametrize(("path", "passes"), [("/live", True), ("/v1/events", False)])
def test_the_limit_of_requests_leaves_streams_out(path: str, passes: bool) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    async def ignore(*_: Any) -> Any:
        return {"type": "http.request", "body": b""}

    asked = {"type": "http", "path": path, "headers": [], "method": "GET"}
    asyncio.run(Limits(app, at_once=0)(asked, ignore, ignore))
    assert seen == [path] * passes


def test_all_items_are_not_recorded_by_one_id(own: Pages) -> None:
    key = own.key("finance")
    browser, of = own.browser(key), "/quarantine/replay?all=1&account=shop"
    answer = send(browser, "/quarantine/replay", key, {"all": "1", "account": "shop", "event_id": "hijack"}, of=of)
    assert answer.status_code == 422
    assert "gives one conflict an id of its own" in answer.text
    events = own.api(key).get("/v1/events/hijack", params={"account": "shop"})
    assert events.status_code == 404


def test_the_outcome_is_that_of_the_account_that_was_meant(own: Pages) -> None:
    key = own.key("finance", accounts=["labs", "shop"])
    browser, of = own.browser(key), "/quarantine/replay?all=1&account=shop"
    answer = send(browser, "/quarantine/replay", key, {"all": "1", "account": "shop"}, of=of)
    assert answer.status_code == 303
    assert "account=shop" in answer.headers["location"]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/alerts", {"page": "000000001" + "9" * 30}),
        ("/alerts", {"sent": "1" * 5_000}),
        ("/budgets", {"page": "1" * 5_000}),
        ("/audit", {"since": "9999-12-31"}),
        ("/audit", {"since": "0001-01-01", "timezone": "Asia/Shanghai"}),
        ("/quarantine/outcome", {"items": " ".join(["00"] * 101)}),
    ],
)
def test_addresses_that_ask_for_too_much_are_told_what_is_right(site: Pages, path: str, asked: dict[str, str]) -> None:
    answer = site.browser(site.key("admin")).get(path, params=asked)
    assert answer.status_code == 422, answer.text


def test_a_period_beyond_the_calendar_is_that_of_now(bare: Pages) -> None:
    record_and_post(bare.engine, an_event("a", "2026-11-17T12:00:00Z", model="deepseek-flash"), now=NOW)
    api = bare.api(bare.key("admin"))
    new = {"account": "default", "budget": "b", "per": "month", "amount": "5.00"}
    assert api.post("/v1/budgets", json=new).status_code == 201
    page = bare.browser(bare.key("read")).get("/budgets/b", params={"before": "9999-12-29T23:00:00Z"})
    assert page.status_code in (200, 404), page.text


def test_who_may_not_tell_is_not_told_of_receivers(bare: Pages) -> None:
    def shown(key: str) -> httpx.Response:
        return bare.browser(key).get("/alerts")

    assert "channels-table" in shown(bare.key("admin")).text
    assert "channels-table" not in shown(bare.key("finance")).text
