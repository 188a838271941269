"""Makes the pictures of the pages in docs/pictures: python -m tests.web.pictures [NAME...]"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from costmeter.store import schema
from costmeter.store.engine import open_engine
from tests.web.books import NOW, fill
from tests.web.budget_books import add_budgets
from tests.web.closed import close_months
from tests.web.conftest import ARGUMENTS
from tests.web.operating import operate
from tests.web.serving import Pages, paged

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
IN_ALL_LOOKS = ("overview", "explore", "call", "balance", "statements", "budgets", "prices", "operations")
COLOURS = 224  # of a picture: a page has few, and the file is small


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/costmeter.sqlite3"
        engine = open_engine(url)
        schema.upgrade(engine)
        fill(url)
        add_budgets(engine)
        engine.dispose()
        with paged(url, NOW) as pages:
            close_months(pages.engine)
            key = pages.key("admin")
            _draw(pages, key, _paths(pages, key))
            operate(url)
            _draw(pages, key, _operations_paths(pages, key))


def _draw(pages: Pages, key: str, paths: dict[str, str]) -> None:
    asked = sys.argv[1:]
    shown = {name: path for name, path in paths.items() if not asked or name in asked}
    if not shown:
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*ARGUMENTS])
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": height})
                page = context.new_page()
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                page.goto(f"{pages.url}/sign-in")
                page.get_by_label("Key").fill(key)
                page.get_by_role("button", name="Sign in").click()
                page.get_by_role("heading", name="Overview").wait_for()
                for name, path in shown.items():
                    if name not in IN_ALL_LOOKS and (size, scheme) != ("desktop", "light"):
                        continue
                    page.goto(f"{pages.url}{path}")
                    _keep(page, f"{name}-{size}-{scheme}")
                context.close()
        browser.close()


def _paths(pages: Pages, key: str) -> dict[str, str]:
    """The pages that are drawn, by the names of their pictures."""
    return {
        "overview": "/?account=shop",
        "statements": "/statements?account=shop",
        "statement": "/statements/labs/2026-10",
        "close": "/statements/beijing/2026-10/close",
        "budgets": "/budgets?account=shop",
        "budget": "/budgets/support?account=shop",
        "budget-form": "/budgets/support/edit?account=shop",
        "alerts": "/alerts?account=shop",
        "balance": "/balance?account=shop&from=2026-09-18&month=2026-10",
        "prices": "/prices?account=shop&completed_at=2026-11-18T09:20&cache_hit=512000&cache_miss=51000&output=11600",
        "explore": "/explore?account=shop&from=2026-11-12&to=2026-11-18&by=day,model",
        "explore-bars": "/explore?by=project,model&timezone=Asia/Shanghai&where=band%3Dpeak",
        "calls": "/calls?account=shop&from=2026-11-15&to=2026-11-18",
        "call": f"/calls/{_call_of_two_credits(pages, key)}?account=shop",
    }


def _operations_paths(pages: Pages, key: str) -> dict[str, str]:
    """Those that are drawn of a bad morning: of the others it would tell what is not theirs."""
    items = pages.api(key).get("/v1/quarantine").json()["data"]
    conflict = next(item["item"] for item in items if item["kind"] == "conflict")
    return {
        "operations": "/operations",
        "jobs": "/jobs",
        "quarantine": "/quarantine",
        "quarantine-item": f"/quarantine/items/{conflict}",
        "keys": "/keys?state=all",
        "audit": "/audit",
    }


def _call_of_two_credits(pages: Pages, key: str) -> str:
    """The call in which the grant ran out."""
    calls = pages.api(key).get("/v1/events", params={"account": "shop", "limit": 1000}).json()["data"]
    found: str = next(
        call["event_id"]
        for call in calls
        if call["charge"] and "0.00" not in (call["charge"]["granted"], call["charge"]["topped_up"])
    )
    return found


def _keep(page: Page, name: str) -> None:
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as picture:
        picture.convert("RGB").quantize(COLOURS).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
