"""Books of a month and more, served; and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import missing
from tests.web.books import NOW, fill
from tests.web.serving import Pages, paged

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip


@pytest.fixture(scope="session")
def books(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with 45 days of calls, to be copied."""
    path = tmp_path_factory.mktemp("books") / "costmeter.sqlite3"
    shutil.copy(sqlite_template, path)
    fill(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def site(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Its pages, for tests that change nothing but keys."""
    path = tmp_path_factory.mktemp("site") / "costmeter.sqlite3"
    shutil.copy(books, path)
    with paged(f"sqlite:///{path}", NOW) as pages:
        yield pages


@pytest.fixture
def bare(sqlite_url: str) -> Iterator[Pages]:
    """The pages of books that a test fills itself."""
    with paged(sqlite_url, NOW) as pages:
        yield pages


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing("chromium is not installed; it is in the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(found), args=[*ARGUMENTS])
        yield browser
        browser.close()
