"""Balance and Prices in a real browser: readable on a desk and on a phone, in light and dark, and moving."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.make import an_event, record_and_post
from tests.web.books import NOW
from tests.web.serving import Pages
from tests.web.test_live import own
from tests.web.test_looks import LOOKS, check_looks, looking

__all__ = ["own"]
REFUSED = "Failed to load resource: the server responded with a status of 422 (Unprocessable Entity)"
QUOTE = "completed_at=2026-11-18T09:20&output=1000&model=deepseek-flash&timezone=Asia/Kolkata&week=2025-03-10"


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_with_data(chromium: Browser, site: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, site, site.key("finance"), size=size, color_scheme=scheme) as looked:
        page = looked.page
        page.goto(f"{site.url}/balance?account=shop")
        page.get_by_text("The same numbers as a table").first.click()
        page.get_by_text("As DeepSeek's API writes a balance").click()
        check_looks(page)
        drawn = page.locator(".chart:visible svg")
        assert drawn.count() == 2
        fills = page.eval_on_selector_all(
            ".chart svg .mark-area path", "all => all.map(one => getComputedStyle(one).fill)"
        )
        assert len({*fills}) == 2, "granted and topped up"
        page.goto(f"{site.url}/prices?account=shop&{QUOTE}")
        page.get_by_text("Every tariff, with its source").click()
        check_looks(page)
        assert drawn.count() == 3
        if size == "phone":
            for path in ("/balance/credits/new", "/balance/credits/void", "/balance/observations/2"):
                page.goto(f"{site.url}{path}?account=shop&reference=welcome")
                check_looks(page)


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_without_data(chromium: Browser, bare: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, bare, bare.key("finance"), size=size, color_scheme=scheme) as looked:
        for path in ("/balance", "/prices", "/balance/credits/new"):
            looked.page.goto(f"{bare.url}{path}")
            check_looks(looked.page)
        record_and_post(bare.engine, an_event("a", "2026-11-17T12:00:00Z", model="deepseek-flash"), now=NOW)
        looked.page.goto(f"{bare.url}/balance")
        check_looks(looked.page)


def test_a_top_up_is_entered_and_taken_back_without_scripts(chromium: Browser, own: Pages) -> None:
    key = own.key("finance")
    with looking(chromium, own, key, java_script_enabled=False) as looked:
        page = looked.page
        page.goto(f"{own.url}/balance?account=shop&timezone=Asia/Shanghai")
        shared = page.url
        page.get_by_role("link", name="Add a credit").click()
        page.get_by_label("Amount").fill("100.0000000000001")
        page.get_by_label("Reference").fill("invoice-1019")
        page.get_by_label("Effective").fill("2026-11-18T08:00")
        page.get_by_label("Your key, once more").fill(key)
        page.get_by_role("button", name="Add this credit").click()
        expect(page.get_by_role("alert")).to_contain_text("finer than 10^-12")
        looked.said.remove(REFUSED)
        assert page.get_by_label("Effective").input_value() == "2026-11-18T08:00"
        page.get_by_label("Amount").fill("100")
        page.get_by_label("Your key, once more").fill(key)
        page.get_by_role("button", name="Add this credit").click()
        expect(page.get_by_role("status")).to_have_text("The credit is added.")
        row = page.get_by_role("table", name="the newest first, on the clock").first.get_by_role("row").nth(1)
        expect(row).to_contain_text("invoice-1019")
        expect(row).to_contain_text("2026-11-18 08:00:00")
        row.get_by_role("link", name="Void").click()
        page.get_by_label("Why it is taken back").fill("a trial")
        page.get_by_label("Your key, once more").fill(key)
        page.get_by_role("button", name="Void this credit").click()
        expect(page.get_by_role("status")).to_contain_text("is taken back")
        page.goto(shared)
        assert page.get_by_label("Account", exact=True).input_value() == "shop"
        page.get_by_role("link", name="October 2026").click()
        page.wait_for_url(re.compile("month=2026-10"))
        page.go_back()
        page.wait_for_url(shared)


def test_a_quote_can_be_shared_and_gone_back_from(chromium: Browser, site: Pages) -> None:
    with looking(chromium, site, site.key("read"), java_script_enabled=False) as looked:
        page = looked.page
        page.goto(f"{site.url}/prices?account=shop")
        before = page.url
        page.get_by_label("Model", exact=True).select_option("deepseek-flash")
        page.get_by_role("button", name="Show").click()
        page.get_by_label("Output tokens").fill("1 000 000")
        page.get_by_role("button", name="Price it").click()
        expect(page.locator("[data-of=quote]")).to_have_text("1.20")
        shared = page.url
        page.go_back()
        page.go_back()
        page.wait_for_url(before)
        page.goto(shared)
        expect(page.locator("[data-of=quote]")).to_have_text("1.20")
        assert page.get_by_label("Model", exact=True).input_value() == "deepseek-flash"


def test_the_balance_moves_while_one_looks(chromium: Browser, own: Pages) -> None:
    with looking(chromium, own, own.key("read")) as looked:
        page = looked.page
        page.goto(f"{own.url}/balance?account=shop")
        before = page.locator("[data-of=total_balance]").inner_text()
        event = an_event("new", "2026-11-18T09:15:00Z", account="shop", model="deepseek-flash")
        record_and_post(own.engine, event, now=NOW)
        expect(page.locator("[data-of=total_balance]")).not_to_have_text(before)
