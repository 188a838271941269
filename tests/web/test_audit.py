"""The audit log on its page: the API's entries, by filters and in pages."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from costmeter.core.periods import parse_instant
from costmeter.reports.audit import PAGE
from tests.make import grant, top_up
from tests.web.books import NOW
from tests.web.operating import operate
from tests.web.reading import Read
from tests.web.serving import Browser, Pages, paged


@pytest.fixture(scope="module")
def kept(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    path = tmp_path_factory.mktemp("audit") / "costmeter.sqlite3"
    shutil.copy(books, path)
    operate(f"sqlite:///{path}")
    with paged(f"sqlite:///{path}", NOW) as pages:
        yield pages


def entries(api: httpx.Client, **asked: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/v1/audit", params={"limit": 1_000, **asked}).json()["data"]
    return found


def looked_at(browser: Browser, **asked: str) -> list[list[str]]:
    answer = browser.get("/audit", params=asked)
    assert answer.status_code == 200, answer.text
    return Read(answer.text).body("audit-table") if "audit-table" in answer.text else []


@pytest.mark.parametrize("seed", range(8))
def test_entries_are_the_apis(kept: Pages, seed: int) -> None:
    chance = random.Random(seed)
    key = kept.key("finance")
    api, browser = kept.api(key), kept.browser(key)
    asked = {}
    if chance.random() < 0.5:
        asked["by"] = chance.choice(("root", "FINANCE", "ad", "nobody", "%", "_"))
    if chance.random() < 0.5:
        asked["action"] = chance.choice(("key.create", "credit.add", "account.freeze", "nothing.done"))
    if chance.random() < 0.5:
        asked["account"] = chance.choice(("shop", "labs"))
    if chance.random() < 0.5:
        asked["since"] = chance.choice(("2025-03-11", "2026-11-18", "2026-11-19"))
    told = entries(api, **{name: value for name, value in asked.items() if name == "account"})
    expected = [
        one
        for one in told
        if asked.get("by", "").lower() in one["by"].lower()
        and asked.get("action") in (None, one["action"])
        and parse_instant(one["at"]) >= parse_instant(f"{asked.get('since', '2000-01-01')}T00:00:00Z")
    ]
    shown = looked_at(browser, **asked)
    assert [row[1:5] for row in shown] == [
        [one["by"], one["action"], one["account"] or "(none)", one["subject"]] for one in expected[:PAGE]
    ]
    assert [row[5] for row in shown] == [one["reason"] or "" for one in expected[:PAGE]]
    for row, one in zip(shown, expected, strict=False):
        for name, value in one["change"].items():
            text = value if isinstance(value, str) else json.dumps(value)
            assert name in row[6]
            assert " ".join(text.split()) in row[6]


def test_since_is_a_day_of_the_readers_zone(bare: Pages) -> None:
    for name, now in (("a", "2026-11-16T15:59:59Z"), ("b", "2026-11-16T16:00:00Z")):
        top_up(bare.engine, "1.00", "2026-11-01T00:00:00Z", reference=name, now=now)
    browser = bare.browser(bare.key("finance"))
    for timezone, found in (("UTC", []), ("Asia/Shanghai", ["b"])):
        rows = looked_at(browser, since="2026-11-17", action="credit.add", timezone=timezone)
        assert [row[4] for row in rows] == found


def test_many_changes_come_in_pages(bare: Pages) -> None:
    for number in range(PAGE + 5):
        grant(bare.engine, "1.00", "2026-11-01T00:00:00Z", reference=f"r{number}", now=NOW)
    browser = bare.browser(bare.key("finance"))
    first = browser.get("/audit", params={"action": "credit.add"}).text
    more = unescape(first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0])
    assert "action=credit.add" in more
    found = [row[4] for page in (first, browser.get(more).text) for row in Read(page).body("audit-table")]
    assert found == [f"r{number}" for number in reversed(range(PAGE + 5))]


def test_who_the_api_does_not_tell_is_not_told(kept: Pages) -> None:
    assert kept.browser(kept.key("read")).get("/audit").status_code == 403
    assert kept.browser(kept.key("finance", projects=["search"])).get("/audit").status_code == 403
    assert 'href="/audit"' not in kept.browser(kept.key("read")).get("/operations").text
    key = kept.key("finance", accounts=["shop", "labs"])
    browser = kept.browser(key)
    for account in ("shop", "labs"):
        shown = looked_at(browser, account=account)
        assert {row[3] for row in shown} == {account}
        assert len(shown) == len(entries(kept.api(key), account=account))
    assert {row[3] for row in looked_at(browser)} == {"labs"}, "the first"
    assert browser.get("/audit", params={"account": "beijing"}).status_code == 403
    assert "key.create" not in browser.get("/audit").text, "what belongs to no account is not theirs"


@pytest.mark.parametrize(
    ("asked", "says"), [({"since": "long ago"}, "YYYY-MM-DD"), ({"before": "xyz"}, "follow the link")]
)
def test_a_filter_that_means_nothing_says_so(kept: Pages, asked: Any, says: str) -> None:
    answer = kept.browser(kept.key("finance")).get("/audit", params=asked)
    assert answer.status_code == 422
    assert says in answer.text
