"""Every page with a hundred thousand calls behind it, of a hundred projects, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from benchmarks.growth.fill import ACCOUNT, fill
from benchmarks.pages import PAGES
from benchmarks.posting import give_credits
from tests.conftest import database_of
from tests.web.reading import Read
from tests.web.serving import Pages, paged
from tests.web.test_looks import check_looks, looking

CALLS, PROJECTS, LAST = 100_000, 100, "2025-03-31T23:59:59Z"


@pytest.fixture(scope="module")
def many(postgres_template: str) -> Iterator[Pages]:
    with database_of(postgres_template) as url:
        give_credits(url, 1)
        fill(url, CALLS, projects=PROJECTS)
        with paged(url, LAST) as pages:
            yield pages


def test_each_page_is_complete_and_readable(chromium: Browser, many: Pages) -> None:
    with looking(chromium, many, many.key("admin")) as looked:
        for name, path in PAGES.items():
            looked.page.goto(f"{many.url}{path}")
            assert looked.page.locator("h1").inner_text() not in ("Something went wrong", "This cannot be told"), name
            check_looks(looked.page)


def test_their_sums_are_the_apis(many: Pages) -> None:
    key = many.key("read")
    asked = {"account": ACCOUNT, "month": "2025-03"}
    totals = many.api(key).get("/v1/reports/spend", params=asked).json()["totals"]
    assert totals["calls"] == CALLS
    browser = many.browser(key)
    assert Read(browser.get("/", params={"account": ACCOUNT}).text).amount("month") == totals["cost"]
    statement = Read(browser.get(f"/statements/{ACCOUNT}/2025-03").text)
    assert (statement.amount("cost"), statement.amount("calls")) == (totals["cost"], str(CALLS))
    explored = browser.get("/explore", params={**asked, "by": "project"}).text
    assert Read(explored).body("rows-table")[-1].count(totals["cost"]) >= 1
