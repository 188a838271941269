"""The pages of budgets and alerts in a real browser: readable, whole without scripts, new without a reload."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.make import an_event
from tests.web.books import NOW
from tests.web.budget_books import add_budgets
from tests.web.serving import Pages, paged
from tests.web.test_looks import LOOKS, check_looks, looking

PAGES = ["/budgets", "/budgets/support?account=shop", "/budgets/u-17?account=shop", "/alerts"]
FORMS = ["/budgets/-/add", "/budgets/support/remove?account=shop", "/alerts/test?channel=log", "/alerts/retry"]


@pytest.fixture
def own(books: Path, tmp_path: Path) -> Iterator[Pages]:
    """Books with budgets that a test changes."""
    shutil.copy(books, tmp_path / "costmeter.sqlite3")
    with paged(f"sqlite:///{tmp_path}/costmeter.sqlite3", NOW) as pages:
        add_budgets(pages.engine)
        yield pages


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_with_data(chromium: Browser, own: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, own, own.key("admin"), size=size, color_scheme=scheme) as looked:
        page = looked.page
        for path in (*PAGES, *(FORMS if scheme == "light" else [])):
            page.goto(f"{own.url}{path}")
            for table in page.get_by_text("The same numbers as a table").all():
                table.click()
            check_looks(page)
        page.goto(f"{own.url}{PAGES[1]}")
        assert page.locator(".chart:visible svg").count() == 1
        fills = page.eval_on_selector_all(
            ".chart:not(.narrow-only) svg .mark-rect path", "all => all.map(one => getComputedStyle(one).fill)"
        )
        assert len({*fills}) == 2, "what was spent on a day, and before it"


@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_without_data(chromium: Browser, bare: Pages, size: str) -> None:
    with looking(chromium, bare, bare.key("admin"), size=size) as looked:
        for path in ("/budgets", "/alerts"):
            looked.page.goto(f"{bare.url}{path}")
            check_looks(looked.page)


def test_a_budget_is_made_without_scripts(chromium: Browser, own: Pages) -> None:
    key = own.key("finance")
    with looking(chromium, own, key, java_script_enabled=False) as looked:
        page = looked.page
        page.goto(f"{own.url}/budgets?account=labs")
        page.get_by_role("link", name="Add a budget").click()
        page.get_by_label("Name").fill("research")
        page.get_by_label("Amount").fill("lots")
        page.get_by_label("Only calls where").fill("project=research")
        page.get_by_label("Your key, once more").fill(key)
        page.get_by_role("button", name="Add the budget").click()
        assert "decimal string" in page.get_by_role("alert").inner_text()
        assert [one for one in looked.said if "422" not in one] == [], "which the browser says of the refused form"
        looked.said.clear()
        amount = page.get_by_label("Amount")
        assert amount.get_attribute("aria-invalid") == "true"
        assert page.get_by_label("Only calls where").input_value() == "project=research"
        amount.fill("20.00")
        page.get_by_label("Your key, once more").fill(key)
        page.get_by_role("button", name="Add the budget").click()
        page.wait_for_url(re.compile(r"/budgets/research\?account=labs&.*did=budget-added"))
        assert "The budget is added." in page.get_by_role("status").inner_text()
        shared = page.url
        page.get_by_role("link", name="All alerts of the account").click()
        page.wait_for_url(re.compile("/alerts"))
        assert (
            page.get_by_role("navigation", name="Pages")
            .get_by_role("link", name="Budgets")
            .get_attribute("aria-current")
        )
        page.go_back()
        page.wait_for_url(shared)
        assert "Calls of account labs with project research" in page.locator(".lead").inner_text()


def test_what_is_spent_is_new_without_a_reload(chromium: Browser, own: Pages) -> None:
    with looking(chromium, own, own.key("read")) as looked:
        page = looked.page
        page.goto(f"{own.url}/budgets?account=shop")
        spent = page.locator('[data-of="shop/all/spent"]')
        before = spent.inner_text()
        event = an_event("live", "2026-11-18T09:15:00Z", account="shop", model="deepseek-flash", miss=1_000_000)
        assert own.api(own.key("ingest")).post("/v1/events", json=event).status_code == 200
        expect(spent).not_to_have_text(before, timeout=30_000)
