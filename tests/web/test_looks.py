"""The pages in a real browser: readable, still, and complete in light and dark, on a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request

from tests.web.serving import Pages

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
LOOKS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


class Looked:
    """What went on while pages were looked at: what the console said, and whom the browser asked."""

    def __init__(self, page: Page) -> None:
        self.page, self.said, self.hosts = page, list[str](), set[str]()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # what a page is left before is no fault of it
            self.said.append(f"{request.url} failed: {request.failure}")


@contextmanager
def looking(chromium: Browser, site: Pages, key: str | None, *, size: str = "desktop", **more: Any) -> Iterator[Looked]:
    """A browser's window, signed in by the form; in the end it has said nothing, and asked nobody else."""
    width, height = SIZES[size]
    context = chromium.new_context(viewport={"width": width, "height": height}, **more)
    try:
        looked = Looked(context.new_page())
        looked.page.goto(f"{site.url}/sign-in")
        if key is not None:
            looked.page.get_by_label("Key").fill(key)
            looked.page.get_by_role("button", name="Sign in").click()
            looked.page.wait_for_url(f"{site.url}/")
        yield looked
        assert looked.said == []
        assert looked.hosts == {urlsplit(site.url).netloc}
    finally:
        context.close()


def check_looks(page: Page) -> None:
    """Nothing is wrong by axe, headings are in order, and nothing but tables is wider than the window."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    levels = [int(level) for level in page.eval_on_selector_all("h1,h2,h3", "all => all.map(one => one.tagName[1])")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    wide, window = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= window


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_with_data(chromium: Browser, site: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, site, site.key("read"), size=size, color_scheme=scheme) as looked:
        page = looked.page
        page.get_by_text("The same numbers as a table").click()
        check_looks(page)
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (int(ground[4:].split(",")[0]) < 60) == (scheme == "dark")
        drawn = page.locator(".chart:visible svg")
        assert drawn.count() == 1
        fills = page.eval_on_selector_all(
            ".chart svg .mark-rect path", "all => all.map(one => getComputedStyle(one).fill)"
        )
        assert len({*fills}) == 4, "two models, at peak and off-peak hours"
        page.get_by_role("link", name="Projects").click()
        page.wait_for_url(re.compile("by=project$"))
        assert drawn.count() == 1
        page.goto(f"{site.url}/calls/example-1?account=shop")
        check_looks(page)


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_without_data(chromium: Browser, bare: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, bare, None, size=size, color_scheme=scheme) as looked:
        check_looks(looked.page)
        looked.page.get_by_label("Key").fill(bare.key("read"))
        looked.page.get_by_role("button", name="Sign in").click()
        looked.page.wait_for_url(f"{bare.url}/")
        check_looks(looked.page)


def test_it_works_without_scripts(chromium: Browser, site: Pages) -> None:
    with looking(chromium, site, site.key("read"), java_script_enabled=False) as looked:
        page = looked.page
        page.get_by_label("Account", exact=True).select_option("labs")
        page.get_by_label("Day", exact=True).fill("2026-11-12")
        page.get_by_label("Time zone", exact=True).fill("Asia/Shanghai")
        page.get_by_role("button", name="Show").click()
        page.wait_for_url(re.compile("account=labs"))
        shared = page.url
        assert "Account labs · USD · 12 November 2026 · Asia/Shanghai" in page.locator(".lead").inner_text()
        page.get_by_role("table", name="The newest arrivals first").get_by_role("link").first.click()
        page.wait_for_url(re.compile("/calls/"))
        assert page.get_by_role("table", name="of the band").is_visible()
        page.go_back()
        page.wait_for_url(shared)
        page.goto(f"{site.url}/")
        page.goto(shared)
        assert page.get_by_label("Account", exact=True).input_value() == "labs"
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{site.url}/sign-in")
        page.go_back()
        page.wait_for_url(re.compile(r"/sign-in\?next="))  # nothing was kept of what was seen


def test_by_the_keyboard_alone(chromium: Browser, site: Pages) -> None:
    with looking(chromium, site, site.key("read")) as looked:
        page = looked.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "account"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px"


def test_a_link_of_another_site_leads_to_the_page(chromium: Browser, site: Pages) -> None:
    with looking(chromium, site, site.key("read")) as looked:
        page, wanted = looked.page, f"{site.url}/?account=shop"
        elsewhere = site.url.replace("127.0.0.1", "localhost")
        page.goto(f"{elsewhere}/sign-in")
        page.evaluate("to => { location.href = to }", wanted)
        page.wait_for_url(wanted)
        page.get_by_role("heading", name="Overview").wait_for()
        looked.hosts.discard(urlsplit(elsewhere).netloc)
