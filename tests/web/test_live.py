"""An open page tells of what was posted meanwhile, and leaves alone what is in use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.make import an_event, record_and_post
from tests.web.books import NOW
from tests.web.reading import Read
from tests.web.serving import Pages, paged
from tests.web.test_looks import looking

EVENT: dict[str, Any] = {
    "hit": 0,
    "miss": 1_000_000,
    "output": 0,
    "account": "shop",
    "model": "deepseek-flash",
    "project": "search",
}


@pytest.fixture
def own(books: Path, tmp_path: Path) -> Iterator[Pages]:
    """Books that a test adds to."""
    shutil.copy(books, tmp_path / "costmeter.sqlite3")
    with paged(f"sqlite:///{tmp_path}/costmeter.sqlite3", NOW) as pages:
        yield pages


def call(site: Pages, event_id: str) -> None:
    """Records a call as an application does."""
    event = an_event(event_id, "2026-11-18T09:15:00Z", **EVENT)
    answer = site.api(site.key("ingest")).post("/v1/events", json=event)
    assert answer.status_code == 200, answer.text


def month(page: Page) -> str:
    return Read(page.content()).amount("month")


def shown(page: Page) -> str:
    return page.locator("[data-of=month]").inner_text()


def month_other_than(page: Page, before: str) -> str:
    """The month once it is shown otherwise: a call is among the arrivals when recorded, and in the sums when posted."""
    page.wait_for_function("before => document.querySelector('[data-of=month]').innerText !== before", arg=before)
    return month(page)


def told(site: Pages, key: str) -> str:
    """What the API says that the month cost."""
    asked = {"account": "shop", "month": "2026-11"}
    found: str = site.api(key).get("/v1/reports/spend", params=asked).json()["totals"]["cost"]
    return found


def test_a_call_is_on_the_page_without_a_reload(chromium: Browser, own: Pages) -> None:
    key = own.key("read")
    with looking(chromium, own, key) as looked:
        page = looked.page
        page.goto(f"{own.url}/?account=shop")
        page.evaluate("window.untouched = true")
        page.get_by_text("The same numbers as a table").click()
        before = shown(page)
        call(own, "new-1")
        row = page.get_by_role("table", name="The newest arrivals first").get_by_role("row").nth(1)
        expect(row.get_by_role("link")).to_have_attribute("href", "/calls/new-1?account=shop&timezone=UTC")
        assert month_other_than(page, before) == told(own, key)
        assert page.evaluate("window.untouched")
        assert page.locator("details").first.get_attribute("open") is not None


def test_what_is_in_use_stays_and_updates_can_be_paused(chromium: Browser, own: Pages) -> None:
    with looking(chromium, own, own.key("read")) as looked:
        page = looked.page
        page.goto(f"{own.url}/?account=shop")
        page.get_by_label("Time zone").fill("Asia/Sh")
        link = page.get_by_role("table", name="The newest arrivals first").get_by_role("link").first
        used = link.inner_text()
        link.focus()
        before = shown(page)
        call(own, "new-1")
        month_other_than(page, before)
        assert (link.inner_text(), page.get_by_label("Time zone").input_value()) == (used, "Asia/Sh")
        button = page.get_by_role("button", name="Pause updates")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        paused = shown(page)
        with page.expect_event("request", lambda request: "/?account=shop" in request.url):
            call(own, "new-2")
            assert shown(page) == paused
            button.click()  # and what came meanwhile is asked for
        expect(page.get_by_role("link", name="09:15:00").nth(1)).to_be_visible()
        month_other_than(page, paused)


def test_without_a_session_there_is_no_stream(own: Pages) -> None:
    assert own.browser().get("/live").status_code == 204


def test_a_stream_tells_what_was_posted_to_accounts_that_the_reader_sees(own: Pages) -> None:
    browser = own.browser(own.key("read", accounts=["labs"]))
    mark = browser.get("/").text.split('data-mark="', 1)[1].split('"', 1)[0]
    with browser.stream("GET", "/live", params={"seen": mark}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        record_and_post(own.engine, an_event("other", "2026-11-18T09:15:00Z", **EVENT), now=NOW)
        record_and_post(own.engine, an_event("own", "2026-11-18T09:15:00Z", **EVENT | {"account": "labs"}), now=NOW)
        events = events_of(lines)
        found = next(events)
        assert found != mark
        assert [*events] == [], "one posting is told once"
    with browser.stream("GET", "/live", headers={"Last-Event-ID": mark}) as answer:
        assert next(events_of(answer.iter_lines())) == found, "what came between two streams is told by the next"


def test_a_key_that_was_revoked_is_told_nothing_more(own: Pages) -> None:
    browser = own.browser(own.key("read"))
    assert own.api(own.key("admin")).post("/v1/keys/read-1/revoke", json={}).status_code == 200
    assert browser.get("/live").status_code == 204


def events_of(lines: Iterator[str]) -> Iterator[str]:
    """The ids of a stream's events, until it ends."""
    for line in lines:
        if line.startswith("id: "):
            yield line.removeprefix("id: ")
