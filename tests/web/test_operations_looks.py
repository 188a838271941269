"""The pages of operations in a real browser: readable in each size and colour scheme, and usable without scripts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.web.books import NOW
from tests.web.operating import operate
from tests.web.serving import Pages, paged
from tests.web.test_looks import LOOKS, check_looks, looking

PATHS = ("/operations", "/jobs", "/quarantine?state=all", "/keys?state=all", "/audit")


@pytest.fixture(scope="module")
def busy(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    path = tmp_path_factory.mktemp("busy") / "costmeter.sqlite3"
    shutil.copy(books, path)
    operate(f"sqlite:///{path}")
    with paged(f"sqlite:///{path}", NOW) as pages:
        yield pages


def open_all(page: Page, url: str, path: str) -> None:
    """Opens a page with everything that it folds away."""
    page.goto(f"{url}{path}")
    for one in page.locator("summary").all():
        one.click()


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_with_data(chromium: Browser, busy: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, busy, busy.key("admin"), size=size, color_scheme=scheme) as looked:
        for path in PATHS:
            open_all(looked.page, busy.url, path)
            check_looks(looked.page)
            assert looked.page.locator("nav [aria-current=page]").count() == 2, "in both navigations"


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_without_data(chromium: Browser, bare: Pages, size: str, scheme: Any) -> None:
    with looking(chromium, bare, bare.key("admin"), size=size, color_scheme=scheme) as looked:
        for path in ("/operations", "/jobs", "/quarantine"):
            open_all(looked.page, bare.url, path)
            check_looks(looked.page)


def test_a_key_is_made_and_revoked_without_scripts(chromium: Browser, busy: Pages) -> None:
    admin = busy.key("admin")
    with looking(chromium, busy, admin, java_script_enabled=False, size="phone") as looked:
        page = looked.page
        page.goto(f"{busy.url}/keys")
        page.get_by_role("link", name="Create a key").click()
        page.wait_for_url(re.compile("/keys/new"))
        page.get_by_label("Name: what it is for").fill("from-a-phone")
        page.get_by_label("read", exact=False).first.check()
        page.get_by_label("Your key, once more").fill(admin)
        page.get_by_role("button", name="Create the key").click()
        page.get_by_role("heading", name="The new key").wait_for()
        assert page.locator("[data-of=key]").inner_text().startswith("cm_")
        page.get_by_role("link", name="Back to the keys").click()
        page.get_by_role("link", name="Revoke from-a-phone").click()
        page.get_by_label("Your key, once more").fill(admin)
        page.get_by_role("button", name="Revoke the key").click()
        page.get_by_text("The key is revoked.").wait_for()


def test_items_are_chosen_and_discarded(chromium: Browser, busy: Pages) -> None:
    admin = busy.key("admin")
    with looking(chromium, busy, admin) as looked:
        page = looked.page
        page.goto(f"{busy.url}/quarantine?account=shop&timezone=Asia/Shanghai")
        shared = page.url
        boxes = page.get_by_role("checkbox")
        boxes.nth(1).check()
        boxes.nth(2).check()
        page.get_by_role("button", name="Discard those chosen").click()
        page.get_by_role("heading", name="Discard 2 items").wait_for()
        check_looks(page)
        page.go_back()
        page.wait_for_url(shared)
        page.go_forward()
        page.get_by_label("Why they are not to be recorded").fill("sent twice")
        page.get_by_label("Your key, once more").fill(f"{admin}0")
        page.get_by_role("button", name="Discard").click()
        page.get_by_role("alert").wait_for()
        check_looks(page)
        assert page.get_by_label("Why they are not to be recorded").input_value() == "sent twice"
        page.get_by_label("Your key, once more").fill(admin)
        page.get_by_role("button", name="Discard").click()
        page.get_by_text("The items are discarded.").wait_for()
        check_looks(page)
        page.goto(shared)
        assert boxes.count() == 3
        assert page.get_by_label("Time zone").input_value() == "Asia/Shanghai"
        looked.said = [one for one in looked.said if "403" not in one]  # a form that is refused is an error of the page


@pytest.mark.parametrize("form", ["/keys/new", "/keys/rotate", "/keys/limit", "/keys/revoke", "/quarantine/replay"])
def test_forms_look_right_on_a_phone(chromium: Browser, busy: Pages, form: str) -> None:
    admin = busy.key("admin")
    api = busy.api(admin)
    item = next(one for one in api.get("/v1/quarantine").json()["data"] if one["kind"] == "conflict")["item"]
    key = next(one for one in api.get("/v1/keys").json()["data"] if one["name"] == "u-17")["key_id"]
    asked = {"/keys/new": "", "/quarantine/replay": f"?item={item}"}.get(form, f"?key={key}")
    with looking(chromium, busy, admin, size="phone", color_scheme="dark") as looked:
        looked.page.goto(f"{busy.url}{form}{asked}")
        check_looks(looked.page)
        if form.startswith("/quarantine"):
            looked.page.goto(f"{busy.url}/quarantine/items/{item}")
            check_looks(looked.page)
