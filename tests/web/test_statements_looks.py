"""The pages of statements in a real browser: readable in every size and colour, and walked through as finance does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.web.books import NOW
from tests.web.closed import WHY, close_months
from tests.web.serving import Pages, paged
from tests.web.test_looks import check_looks, looking


@pytest.fixture(scope="module")
def closed(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    path = tmp_path_factory.mktemp("closed") / "costmeter.sqlite3"
    shutil.copy(books, path)
    with paged(f"sqlite:///{path}", NOW) as pages:
        close_months(pages.engine)
        yield pages


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("phone", "light"), ("desktop", "dark")])
def test_with_data(chromium: Browser, closed: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, closed, closed.key("finance"), size=size, color_scheme=scheme) as looked:
        page = looked.page
        for path in (
            "/statements?account=labs",
            "/statements/labs/2026-10",
            "/statements/labs/2026-11",
            "/statements/beijing/2026-10/close",
            "/statements/shop/2026-11/close",
            "/statements/exports",
        ):
            page.goto(f"{closed.url}{path}")
            for one in page.locator("summary").all():
                one.click()
            check_looks(page)


def test_without_data(chromium: Browser, bare: Pages) -> None:
    key = bare.key("finance")
    with looking(chromium, bare, key, size="phone") as looked:
        page = looked.page
        page.goto(f"{bare.url}/statements")
        check_looks(page)
        bare.api(key).post("/v1/accounts", json={"account": "new"})
        for path in ("/statements?account=new", "/statements/new/2026-11"):
            page.goto(f"{bare.url}{path}")
            check_looks(page)


def test_a_month_is_found_looked_at_saved_and_closed(chromium: Browser, closed: Pages) -> None:
    key = closed.key("finance")
    with looking(chromium, closed, key) as looked:
        page = looked.page
        page.get_by_role("link", name="Statements").click()
        page.get_by_label("Account", exact=True).first.select_option("beijing")
        page.get_by_role("button", name="Show").click()
        page.wait_for_url(re.compile("account=beijing"))
        shared = page.url
        page.get_by_role("link", name="October 2026", exact=True).click()
        page.get_by_role("heading", name="Statement for October 2026").wait_for()
        with page.expect_download() as saved:
            page.get_by_role("link", name="CSV").click()
        assert saved.value.suggested_filename == "statement-beijing-2026-10.csv"
        page.go_back()
        page.wait_for_url(shared)
        page.get_by_role("link", name="Close October 2026").click()
        page.get_by_label("Why it is closed all the same").fill(WHY)
        page.get_by_label("Your key, once more").fill(closed.key("finance"))
        page.get_by_role("button", name="Close October 2026 by override").click()
        page.get_by_text("this is not the key that you signed in with").wait_for()
        check_looks(page)
        assert page.get_by_label("Why it is closed all the same").input_value() == WHY
        page.get_by_label("Your key, once more").fill(key)
        page.get_by_role("button", name="Close October 2026 by override").click()
        page.get_by_text("The month is closed. It never changes again").wait_for()
        page.goto(shared)
        digest = page.get_by_role("table", name="SHA-256").locator("code.digest").first
        digest.click()
        assert len(page.evaluate("getSelection().toString()")) == 64, "the whole of it is there to copy"
        looked.said[:] = [text for text in looked.said if "403 (Forbidden)" not in text]  # of the wrong key, rightly


def test_an_export_is_saved_and_what_is_wrong_is_told(chromium: Browser, closed: Pages) -> None:
    with looking(chromium, closed, closed.key("read"), java_script_enabled=False) as looked:
        page = looked.page
        page.goto(f"{closed.url}/statements?account=shop")
        page.get_by_label("What").select_option("journal")
        page.get_by_label("Format").select_option("xlsx")
        with page.expect_download() as saved:
            page.get_by_role("button", name="Download").click()
        assert saved.value.suggested_filename == "journal-2026-10.xlsx"
        page.get_by_label("Billing month").fill("")
        page.get_by_role("button", name="Download").click()
        page.get_by_text("give either a month, or from and to").wait_for()
        assert page.get_by_label("Format").input_value() == "xlsx"
        looked.said[:] = [text for text in looked.said if "422 (Unprocessable" not in text]
