"""Explore and the list of calls in a real browser: readable in any size and light, and found again by their address."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.make import an_event
from tests.web.serving import Pages
from tests.web.test_looks import check_looks, looking

SCREENS = [("phone", "dark"), ("desktop", "light")]
EXPLORED = ("account=shop&month=2026-11&by=day,project", "by=project,model&timezone=Asia/Shanghai&where=band%3Dpeak")


@pytest.mark.parametrize(("size", "scheme"), SCREENS)
def test_with_data(chromium: Browser, site: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, site, site.key("read"), size=size, color_scheme=scheme) as looked:
        page = looked.page
        for asked in EXPLORED:
            page.goto(f"{site.url}/explore?{asked}")
            if "day" in asked:
                page.get_by_text("The same numbers as a table").click()
                assert page.locator(".chart:visible svg").count() == 1
                fills = page.eval_on_selector_all(
                    ".chart svg .mark-rect path", "all => all.map(one => getComputedStyle(one).fill)"
                )
                assert len({*fills}) == 4, "projects"
            else:
                (longest, *_) = page.eval_on_selector_all(
                    ".bar", "all => all.map(one => one.getBoundingClientRect().width)"
                )
                assert longest > 100
            check_looks(page)
        page.goto(f"{site.url}/calls?account=shop&month=2026-11")
        check_looks(page)


@pytest.mark.parametrize(("size", "scheme"), SCREENS)
def test_without_data(chromium: Browser, bare: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, bare, bare.key("read"), size=size, color_scheme=scheme) as looked:
        for path in ("/explore", "/calls"):
            looked.page.goto(f"{bare.url}{path}")
            check_looks(looked.page)


def test_from_the_overview_down_to_a_call_and_back_without_scripts(chromium: Browser, site: Pages) -> None:
    with looking(chromium, site, site.key("read"), java_script_enabled=False) as looked:
        page = looked.page
        page.goto(f"{site.url}/?account=shop")
        page.get_by_role("table", name="by price band").get_by_role("link", name="Off-peak").click()
        page.wait_for_url(re.compile(r"/explore\?.*where=band%3Doff_peak"))
        page.get_by_label("By", exact=True).select_option("project")
        page.get_by_label("and by").first.select_option("")
        page.get_by_label("Metric").select_option("calls")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("heading", name="Calls by project").wait_for()
        shared = page.url
        assert "where=band%3Doff_peak" in shared
        table = page.get_by_role("table", name="By project")
        table.get_by_role("link", name="support").click()
        page.get_by_role("heading", name="Calls by day and model").wait_for()
        page.go_back()
        page.wait_for_url(shared)
        table.get_by_role("row", name="support").get_by_role("link").last.click()
        page.wait_for_url(re.compile(r"/calls\?.*project%3Dsupport"))
        listing = page.url
        page.get_by_role("table", name="The newest arrivals first").get_by_role("link").first.click()
        page.get_by_role("heading", name="How the cost came about").wait_for()
        page.locator(".back").get_by_role("link", name="Calls").click()
        page.wait_for_url(listing)
        page.goto(f"{site.url}/explore")
        page.goto(shared)
        assert page.get_by_label("Metric").input_value() == "calls"
        with page.expect_download() as download:
            page.get_by_role("link", name="Download as CSV").click()
        assert download.value.suggested_filename == "costmeter-spend.csv"


def test_what_was_empty_fills_without_a_reload(chromium: Browser, bare: Pages) -> None:
    with looking(chromium, bare, bare.key("read")) as looked:
        page = looked.page
        page.goto(f"{bare.url}/explore?by=project")
        page.get_by_text("No call that was measured is among these.").wait_for()
        page.evaluate("window.untouched = true")
        event = an_event("first", "2026-11-18T09:15:00Z", project="search", model="deepseek-flash")
        assert bare.api(bare.key("ingest")).post("/v1/events", json=event).status_code == 200
        page.get_by_role("table", name="By project").get_by_role("link", name="search").wait_for()
        assert page.locator(".bar").count() == 1
        assert page.evaluate("window.untouched")
