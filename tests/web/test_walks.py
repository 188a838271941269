"""The eight questions of docs/finance.md: each is answered by a page, three clicks or fewer from the overview."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.web.books import NOW
from tests.web.budget_books import add_budgets
from tests.web.closed import close_months
from tests.web.reading import Read
from tests.web.serving import Pages, paged
from tests.web.test_looks import looking

MOST = 3  # clicks


@pytest.fixture(scope="module")
def closed(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    path = tmp_path_factory.mktemp("closed") / "costmeter.sqlite3"
    shutil.copy(books, path)
    with paged(f"sqlite:///{path}", NOW) as pages:
        close_months(pages.engine)
        add_budgets(pages.engine)
        yield pages


class Walk:
    """Somebody who begins at the overview of an account and clicks; every click is counted."""

    def __init__(self, page: Page, site: Pages, account: str, key: str) -> None:
        self.page, self.clicks = page, 0
        self._api = site.api(key)
        page.goto(f"{site.url}/?account={account}")

    def click(self, name: str | re.Pattern[str], *, within: str = "body") -> Walk:
        self.page.locator(within).get_by_role("link", name=name, exact=isinstance(name, str)).first.click()
        self.page.wait_for_load_state()
        self.clicks += 1
        assert self.clicks <= MOST
        return self

    def seen(self) -> Read:
        return Read(self.page.content())

    def ask(self, path: str, **asked: str) -> Any:
        answer = self._api.get(f"/v1/{path}", params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def walk(chromium: Browser, closed: Pages) -> Iterator[Walk]:
    key = closed.key("finance")
    with looking(chromium, closed, key) as looked:
        yield Walk(looked.page, closed, "labs", key)


def test_1_what_did_we_spend(walk: Walk) -> None:
    told = walk.ask("reports/spend", account="labs", month="2026-11")
    assert walk.seen().amount("month") == told["totals"]["cost"]


def test_2_by_whom(walk: Walk) -> None:
    shown = walk.click("Statements", within="nav").click(re.compile("October 2026")).seen()
    told = walk.ask("reports/spend", account="labs", month="2026-10", by="project")
    assert shown.amount("cost") == told["totals"]["cost"]
    costs = {row["project"] or "(none)": row["cost"] for row in told["rows"]}
    assert {row[0]: next(cell for cell in row if cell == costs[row[0]]) for row in shown.body("project-table")} == costs


def test_3_why_did_it_change(walk: Walk) -> None:
    shown = walk.click("Statements", within="nav").click(re.compile("October 2026")).seen()
    told = walk.ask("reports/lessons", account="labs", month="2026-10")
    moved = told["movers"]["project"][0]
    assert {moved["name"], moved["before"], moved["now"], moved["change"]} <= {*shown.body("moved-project")[0]}


def test_4_is_the_bill_right(chromium: Browser, closed: Pages) -> None:
    key = closed.key("finance")
    with looking(chromium, closed, key) as looked:
        walk = Walk(looked.page, closed, "shop", key)
        assert len(walk.click("Balance", within="nav").seen().body("observed-table")) == 3
        walk.page.go_back()
        walk.click(re.compile("2026-11-1"), within="[data-live=calls]")
        assert walk.page.get_by_role("heading", level=1, name="Call").is_visible()


def test_5_what_is_left_and_how_long_does_it_last(walk: Walk) -> None:
    shown = walk.click("Balance", within="nav").seen()
    (info,) = walk.ask("accounts/labs/balance")["balance_infos"]
    assert shown.amount("total_balance") == info["total_balance"]
    assert shown.marked["days"].split()[0].isdigit()


def test_6_what_came_of_the_grants(chromium: Browser, closed: Pages) -> None:
    key = closed.key("finance")
    with looking(chromium, closed, key) as looked:
        rows = Walk(looked.page, closed, "shop", key).click("Balance", within="nav").seen().body("credits-table")
    assert any("welcome" in " ".join(row) and "40.00" in " ".join(row) for row in rows)


def test_7_what_did_the_cache_and_the_cheap_hours_save(walk: Walk) -> None:
    totals = walk.ask("reports/lessons", account="labs", month="2026-11")["totals"]
    seen = walk.seen()
    for name in ("cache_savings", "off_peak_savings", "off_peak_missed"):
        assert seen.amount(name) == totals[name]


def test_8_can_this_month_go_to_the_auditor(walk: Walk) -> None:
    walk.click("Statements", within="nav")
    shown = {row[0]: row for row in walk.seen().body("seals-table")}
    told = walk.ask("statements/labs/2026-10")
    assert any(str(told["closing"]["statement_sha256"]) in " ".join(row) for row in shown.values())
    with walk.page.expect_download() as download:
        walk.page.get_by_role("link", name=re.compile("PDF")).first.click()
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")
