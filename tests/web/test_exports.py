"""The form of exports: what it downloads is the API's file, byte for byte, and what is wrong is told on it."""

from __future__ import annotations

import io
import random
from typing import Any

import httpx
import pytest

from costmeter.exports.beancount import write_beancount
from costmeter.reports.asked import scope_of
from costmeter.store.engine import reading
from tests.web.serving import Browser, Pages

PATH = "/statements/exports"
KINDS = ("charges", "usage", "focus", "journal")


@pytest.fixture(scope="module")
def browser(site: Pages) -> Browser:
    return site.browser(site.key("read"))


@pytest.fixture(scope="module")
def api(site: Pages) -> httpx.Client:
    return site.api(site.key("read"))


def wanted(chance: random.Random, kind: str) -> dict[str, str]:
    """A form as anybody might fill it in."""
    found = {"kind": kind, "format": chance.choice(("csv", "jsonl", "xlsx", "parquet"))}
    found |= chance.choice(({"account": "shop"}, {"account": "beijing"}, {"currency": "USD"}, {"currency": "CNY"}))
    if kind in ("charges", "usage") and chance.random() < 0.4:
        days = sorted(chance.sample(range(1, 28), 2))
        found |= {"from": f"2026-10-{days[0]:02}T03:00:00+08:00", "to": f"2026-11-{days[1]:02}T00:00:00Z"}
    else:
        found["month"] = chance.choice(("2026-09", "2026-10", "2026-11"))
    if kind == "focus":
        found |= {"focus_version": chance.choice(("1.2", "1.4")), "focus_mode": chance.choice(("accrual", "prepaid"))}
    elif found["format"] == "csv" and chance.random() < 0.7:
        found["excel"] = chance.choice(("de", "fr", "en", "de-CH"))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_the_apis(browser: Browser, api: httpx.Client, kind: str, seed: int) -> None:
    asked = wanted(random.Random(f"{kind} {seed}"), kind)
    empty = dict.fromkeys(("account", "currency", "month", "from", "to", "excel", "focus_mode"), "")  # as browsers send
    file = browser.get(PATH, params=empty | asked)
    told = api.get(f"/v1/exports/{kind}", params={name: text for name, text in asked.items() if name != "kind"})
    assert (file.status_code, told.status_code) == (200, 200), file.text
    assert file.content == told.content, asked
    for name in ("content-disposition", "content-type", "cache-control"):
        assert file.headers[name] == told.headers[name]
    assert file.headers["x-content-type-options"] == "nosniff"


def test_the_journal_for_beancount_is_the_command_lines(site: Pages, browser: Browser) -> None:
    asked = {"kind": "journal", "format": "beancount", "month": "2026-10", "account": "shop"}
    file = browser.get(PATH, params=asked)
    scope = scope_of(month="2026-10", start=None, end=None, account="shop", currency=None, where=None)
    out = io.StringIO()
    with reading(site.engine) as connection:
        assert write_beancount(connection, scope, out) > 0
    assert file.text == out.getvalue()
    assert file.headers["content-disposition"] == 'attachment; filename="journal-2026-10.beancount"'


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"kind": "invoices"}, 422, "charges, usage, focus, journal"),
        ({"kind": "charges"}, 422, "give either a month, or from and to"),
        ({"kind": "charges", "month": "2026-10", "account": "", "format": "csv"}, 422, "never summed; choose one"),
        ({"kind": "charges", "month": "October", "account": "shop"}, 422, "YYYY-MM"),
        ({"kind": "charges", "from": "yesterday", "to": "today", "account": "shop"}, 422, "RFC 3339"),
        ({"kind": "charges", "month": "2026-10", "account": "nobody"}, 404, "no account"),
        ({"kind": "charges", "month": "2026-10", "account": "shop", "format": "docx"}, 422, "csv, jsonl"),
        ({"kind": "charges", "month": "2026-10", "account": "shop", "format": "beancount"}, 422, "of the journal"),
        ({"kind": "usage", "month": "2026-10", "account": "shop", "excel": "xx"}, 422, "use one of"),
        ({"kind": "usage", "month": "2026-10", "account": "shop", "excel": "de", "format": "xlsx"}, 422, "for csv"),
        ({"kind": "focus", "month": "2026-10", "account": "shop", "excel": "de"}, 422, "FOCUS is for programs"),
        ({"kind": "focus", "month": "2026-10", "account": "shop", "focus_version": "9"}, 422, "1.4, 1.2"),
        ({"kind": "journal", "from": "2026-10-01T00:00:00Z", "to": "2026-10-02T00:00:00Z", "account": "shop"}, 422,
         "one billing month"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_on_the_form(browser: Browser, asked: dict[str, str], status: int, says: str) -> None:
    answer = browser.get(PATH, params=asked)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text
    assert 'role="alert"' in answer.text
    for name, value in asked.items():
        if name in ("month", "from", "to"):
            assert f'name="{name}"' in answer.text
            assert f'value="{value}"' in answer.text, "what was filled in stays"
    assert 'value="None"' not in answer.text
    if asked["kind"] != "invoices":
        assert f'<option value="{asked["kind"]}" selected>' in answer.text


def test_the_form_is_on_the_page_of_statements_and_on_its_own(browser: Browser) -> None:
    for path in (PATH, "/statements?account=shop"):
        page = browser.get(path).text
        assert 'value="2026-10"' in page, "last month"
        assert '<option value="journal">' in page
        assert 'role="alert"' not in page
    assert '<option value="shop" selected>' in browser.get("/statements?account=shop").text


def test_a_key_exports_what_it_sees(site: Pages) -> None:
    asked: dict[str, Any] = {"kind": "charges", "month": "2026-10", "format": "csv"}
    key = site.key("read", accounts=["shop"], projects=["search"])
    browser = site.browser(key)
    page = browser.get(PATH).text
    assert "Of project <bdi>search</bdi>" in page
    assert "labs" not in page
    file = browser.get(PATH, params=asked)
    assert file.content == site.api(key).get("/v1/exports/charges", params=asked).content
    rows = file.text.splitlines()[1:]
    assert rows
    assert all(",shop,search," in row for row in rows)
    assert browser.get(PATH, params=asked | {"account": "labs"}).status_code == 403
    assert browser.get(PATH, params=asked | {"kind": "journal"}).status_code == 422, "a part does not balance"
    several = site.browser(site.key("read", accounts=["shop", "labs"]))
    refused = several.get(PATH, params=asked)
    assert (refused.status_code, "name one of labs, shop" in refused.text) == (403, True)
    assert '<option value="">All' not in refused.text
    assert site.browser().get(PATH, params=asked).headers["location"].startswith("/sign-in?next=")
