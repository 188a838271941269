"""The demo's day on the pages of `serve --local`, which the machine's own user sees without signing in."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Browser

from costmeter.cli.main import main
from tests.web.reading import Read
from tests.web.serving import paged
from tests.web.test_looks import SIZES, check_looks

NOW = "2025-03-11T09:00:00Z"
DAY = {"from": "2025-03-10T00:00:00Z", "to": "2025-03-11T00:00:00Z"}
pytestmark = pytest.mark.usefixtures("_own_environment")


@pytest.fixture(scope="module")
def demo_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("demo") / "output"
    assert main(["demo", "--folder", str(folder)]) == 0
    return f"sqlite:///{folder / 'costmeter.sqlite3'}"


def test_it_is_there_for_the_machines_user_and_for_nobody_else(demo_url: str) -> None:
    with paged(demo_url, NOW, local=True) as pages:
        browser = pages.browser()
        seen = Read(browser.get("/", params={"day": "2025-03-10"}).text)
        assert seen.amount("today") == browser.get("/v1/reports/spend", params=DAY).json()["totals"]["cost"]
        assert "Sign out" not in browser.get("/").text
        for headers in ({"Host": "evil.example"}, {"Sec-Fetch-Site": "same-site"}):
            answer = browser.get("/", headers=headers)
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2F")
        assert "open to the user who started it" in browser.get("/sign-in").text
        with httpx.Client(base_url=pages.url) as stranger:
            assert stranger.get("/", headers={"Sec-Fetch-Site": "cross-site"}).text.count("local user") == 0


@pytest.mark.parametrize("size", SIZES)
def test_it_looks_right(chromium: Browser, demo_url: str, size: str) -> None:
    width, height = SIZES[size]
    with paged(demo_url, NOW, local=True) as pages:
        context = chromium.new_context(viewport={"width": width, "height": height})
        page = context.new_page()
        page.goto(f"{pages.url}/?day=2025-03-10")
        check_looks(page)
        page.get_by_role("table", name="The newest arrivals first").get_by_role("link").first.click()
        page.wait_for_url("**/calls/**")
        check_looks(page)
        context.close()
