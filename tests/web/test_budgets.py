"""Every number of the pages of budgets and alerts is the API's, whatever the filters; and who may see what."""

from __future__ import annotations

import random
import shutil
from calendar import month_name
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from costmeter.services.remove_budget import remove_budget
from tests.make import an_event, at, record_and_post
from tests.web.books import NOW
from tests.web.budget_books import BUDGETS, add_budgets, channels_file
from tests.web.reading import Read, plain
from tests.web.serving import Browser, Pages, paged
from tests.web.test_budget_changes import add


@pytest.fixture(scope="module")
def budgeted(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """The pages of books with budgets, for tests that change nothing but keys."""
    path = tmp_path_factory.mktemp("budgeted") / "costmeter.sqlite3"
    shutil.copy(books, path)
    with paged(f"sqlite:///{path}", NOW) as pages:
        add_budgets(pages.engine)
        yield pages


@pytest.fixture(scope="module")
def browser(budgeted: Pages) -> Browser:
    return budgeted.browser(budgeted.key("read"))


@pytest.fixture(scope="module")
def api(budgeted: Pages) -> httpx.Client:
    return budgeted.api(budgeted.key("read"))


def looked_at(browser: Browser, path: str, **asked: Any) -> Read:
    answer = browser.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return Read(answer.text)


def ask(api: httpx.Client, path: str, **asked: Any) -> Any:
    answer = api.get(f"/v1/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def words(text: str) -> str:
    return plain(text).removesuffix(" tokens")


def lasts(told: dict[str, Any], has_end: bool) -> str:
    """When a budget is used up, as people read it."""
    if told["is_used_up"]:
        return "used up"
    day = told["used_up_on"] or told["looked_ahead_to"]
    if day is None:
        return "\u2013"
    if has_end and not told["used_up_on"]:
        return "not in this period"
    year, month, number = day.split("-")
    said = f"{int(number)} {month_name[int(month)]} {year}"
    return said if told["used_up_on"] else f"not by {said}"


@pytest.mark.parametrize("account", [None, "shop", "labs", "beijing"])
def test_the_list_is_the_apis(browser: Browser, api: httpx.Client, account: str | None) -> None:
    asked = {} if account is None else {"account": account}
    seen, states = looked_at(browser, "/budgets", **asked), ask(api, "budgets", **asked)["data"]
    assert seen.marked["count"] == str(len(states)) == str(sum(account in (None, one[0]) for one in BUDGETS))
    used_up = [one for one in states if float(one["used_percent"] or 0) >= 100]
    assert seen.marked["used_up"] == str(len(used_up))
    assert seen.marked["crossed"] == str(sum(bool(one["crossed"]) for one in states) - len(used_up))
    for one in states:
        mark = f"{one['account']}/{one['budget']}"
        assert words(seen.marked[f"{mark}/amount"]) == one["amount"]
        if one["period"] is None:
            assert f"{mark}/spent" not in seen.marked
            continue
        for name in ("spent", "left"):
            assert words(seen.marked[f"{mark}/{name}"]) == one[name]
        assert seen.marked[f"{mark}/used"] == f"{one['used_percent']} %"
        assert (f"{mark}/reserved" in seen.marked) == one["stops"]
        told = ask(api, "reports/budget", account=one["account"], budget=one["budget"])["outlook"]
        if one["filters"].keys() <= {"project"}:
            assert words(seen.marked[f"{mark}/lasts"]) == lasts(told, one["period"]["to"] is not None)
            if told["forecast"]:
                assert words(seen.marked[f"{mark}/forecast"]) == told["forecast"]["amount"]
        else:
            assert f"{mark}/forecast" not in seen.marked


@pytest.mark.parametrize("seed", range(8))
def test_every_number_of_a_budget_is_the_apis(browser: Browser, api: httpx.Client, seed: int) -> None:
    chance = random.Random(seed)
    account, name, _ = chance.choice([one for one in BUDGETS if one[1] != "next year"])
    asked: dict[str, Any] = {"timezone": chance.choice(("UTC", "Asia/Shanghai", "America/St_Johns"))}
    if chance.random() < 0.3:
        asked["before"] = "2026-11-10T00:00:00Z"
    seen = looked_at(browser, f"/budgets/{quote(name)}", account=account, **asked)
    before = {"before": asked["before"]} if "before" in asked else {}
    told = ask(api, "reports/budget", account=account, budget=name, **before)
    for mark in ("spent", "left"):
        assert words(seen.marked[mark]) == told[mark]
    assert seen.marked["used"] == f"{told['used_percent']} %"
    assert words(seen.marked.get("reserved", told["reserved"])) == told["reserved"]
    outlook = told["outlook"]
    assert words(seen.marked["forecast"]) == (outlook["forecast"]["amount"] if outlook["forecast"] else "\u2013")
    assert words(seen.marked["lasts"]) == lasts(outlook, told["period"]["to"] is not None)
    steps = [[row["label"], row["spent"], row["so_far"], row["even"] or "\u2013"] for row in told["steps"]["rows"]]
    assert seen.body("steps-table") == steps[::-1]
    mostly = [[row["name"] or "(none)", row["spent"], f"{row['percent']} %"] for row in told["mostly"]["rows"]]
    assert seen.body("mostly-table")[: len(mostly)] == mostly
    periods = [[row["spent"], f"{row['used_percent']} %"] for row in told["periods"]]
    assert [row[2:] for row in seen.body("past-table")] == periods if periods else "past-table" not in seen.tables


def test_what_a_budget_spent_is_what_the_report_says_of_the_same_calls(browser: Browser, api: httpx.Client) -> None:
    """By the addresses of the links to Explore, whose parameters are those of the report."""
    page = browser.get("/budgets/search", params={"account": "shop"}).text
    link = next(
        part.split('"')[0] for part in page.split('href="') if part.startswith("/explore?") and "where=" in part
    )
    asked = parse_qs(urlsplit(link.replace("&amp;", "&")).query)
    assert asked["where"] == ["project=search"]
    assert asked.keys() == {"account", "where", "by", "from", "to", "timezone"}
    report = ask(api, "reports/spend", **{name: values[0] for name, values in asked.items()})
    assert report["totals"]["cost"] == Read(page).amount("spent")


@pytest.mark.parametrize(
    "asked",
    [{}, {"account": "shop"}, {"kind": "forecast"}, {"standing": "yes"}, {"kind": "unpriced"}, {"account": "labs"}],
)
def test_alerts_are_told_in_the_apis_words(browser: Browser, api: httpx.Client, asked: dict[str, str]) -> None:
    page = browser.get("/alerts", params=asked).text
    found = ask(api, "alerts", **{name: "true" if name == "standing" else one for name, one in asked.items()})["data"]
    told = " ".join(Read(page).marked.get("alerts", "").split())
    places = [told.index(f"{one['title']} {'recovered' if one['recovered_at'] else 'stands'}") for one in found]
    assert told.count(" raised ") == len(found)
    assert len(places) == len(found)
    for one in found:
        assert one["text"] in told
        assert f'href="{one["path"].replace("&", "&amp;")}"' in page


def test_every_link_of_an_alert_of_a_budget_leads_to_its_page(browser: Browser, api: httpx.Client) -> None:
    paths = {one["path"] for one in ask(api, "alerts")["data"]}
    assert "/budgets/u-17?account=shop" in paths
    for path in paths:
        assert browser.get(path).status_code == 200, path


def test_deliveries_and_channels_are_told_without_secrets(
    budgeted: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = budgeted.browser(budgeted.key("admin"))
    monkeypatch.setenv("COSTMETER_CHANNELS", str(channels_file(tmp_path)))
    page = browser.get("/alerts", params={"account": "shop"}).text
    seen = Read(page)
    assert [row[:2] for row in seen.body("channels-table")] == [["log", "log"], ["old-pager", "webhook"]]
    states = {(row[2], row[1]) for row in seen.body("sent-table")}
    assert states == {("log", "accepted"), ("old-pager", "given up"), ("finance", "waiting")}
    assert "token-of-the-hook" not in page
    assert "whsec_" not in page
    given_up = Read(browser.get("/alerts", params={"state": "given_up"}).text).body("sent-table")
    assert {row[1] for row in given_up} == {"given up"}
    assert all("answers 410" in row[0] for row in given_up)
    monkeypatch.setenv("COSTMETER_CHANNELS", str(tmp_path / "nowhere.toml"))
    broken = browser.get("/alerts")
    assert broken.status_code == 200
    assert "cannot be read" in broken.text


def test_reservations_are_those_of_the_budget(browser: Browser, api: httpx.Client) -> None:
    held = Read(browser.get("/budgets/support", params={"account": "shop"}).text).body("held-table")
    rows = ask(api, "reservations", account="shop", state="open")["data"]
    assert [row[3] for row in held] == [one["cost"] for one in rows] != []
    assert "held-table" not in Read(browser.get("/budgets/pilot", params={"account": "shop"}).text).tables


def test_a_key_of_accounts_sees_those_only(budgeted: Pages) -> None:
    of_one = budgeted.browser(budgeted.key("read", accounts=["labs"]))
    for path in ("/budgets", "/alerts"):
        page = of_one.get(path).text
        assert "shop" not in page
        assert "beijing" not in page
        assert of_one.get(path, params={"account": "shop"}).status_code == 403
    assert Read(of_one.get("/budgets").text).marked["count"] == "1"
    assert of_one.get("/budgets/tokens", params={"account": "labs"}).status_code == 200
    assert of_one.get("/budgets/all", params={"account": "shop"}).status_code == 403
    of_two = Read(budgeted.browser(budgeted.key("read", accounts=["labs", "beijing"])).get("/budgets").text)
    assert of_two.marked["count"] == "2"
    of_project = budgeted.browser(budgeted.key("read", accounts=["shop"], projects=["search"]))
    for path in ("/budgets", "/alerts", "/budgets/search?account=shop"):
        assert of_project.get(path).status_code == 403


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/budgets?account=nobody", 404, "no account"),
        ("/budgets?timezone=Mars", 422, "no IANA time zone"),
        ("/budgets?page=0", 422, "whole number"),
        ("/budgets?page=\u0661", 422, "whole number"),
        ("/budgets/nothing?account=shop", 404, "no budget"),
        ("/budgets/all?account=shop&before=yesterday", 422, "RFC 3339"),
        ("/budgets/all?account=shop&timezone=Mars", 422, "no IANA time zone"),
        ("/alerts?kind=moon", 422, "use one of budget, forecast"),
        ("/alerts?state=moon", 422, "use one of waiting, accepted, given_up"),
        ("/alerts?page=x", 422, "whole number"),
        ("/alerts?sent=-1", 422, "whole number"),
    ],
)
def test_a_filter_that_means_nothing_says_so_on_a_page(browser: Browser, path: str, status: int, says: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    assert says in answer.text
    assert "<h1>" in answer.text


def test_books_without_any(bare: Pages) -> None:
    browser = bare.browser(bare.key("read"))
    assert "There is no budget yet." in browser.get("/budgets").text
    page = browser.get("/alerts").text
    assert "Nothing was raised yet." in page
    assert "Nothing was told yet." in page
    assert "Add a budget" not in browser.get("/budgets").text, "a read key changes nothing"
    assert "Add a budget" in bare.browser(bare.key("finance")).get("/budgets").text


def test_many_budgets_come_in_pages(bare: Pages) -> None:
    for number in range(23):
        add(bare, f"b{number:02d}")
    browser = bare.browser(bare.key("read"))
    first = browser.get("/budgets")
    assert first.text.count("each month") == 20
    following = first.text.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    second = browser.get(following)
    assert second.text.count("each month") == 3
    assert 'rel="next"' not in second.text
    assert "There are no more." in browser.get("/budgets?page=3").text


def test_one_that_is_over_or_has_not_begun(books: Path, tmp_path: Path) -> None:
    shutil.copy(books, tmp_path / "costmeter.sqlite3")
    with paged(f"sqlite:///{tmp_path}/costmeter.sqlite3", NOW) as pages:
        add(pages, "over", account="shop", starts_at=at("2026-10-05T00:00:00Z"), ends_at=at("2026-11-10T00:00:00Z"))
        browser = pages.browser(pages.key("read"))
        page = browser.get("/budgets/over?account=shop").text
        assert "It ended at" in page
        assert len(Read(page).body("past-table")) == 2
        pages.wait(timedelta(days=-60))
        assert "It begins at" in browser.get("/budgets/over?account=shop").text


def test_the_alerts_of_one_that_was_removed_stay(books: Path, tmp_path: Path) -> None:
    shutil.copy(books, tmp_path / "costmeter.sqlite3")
    with paged(f"sqlite:///{tmp_path}/costmeter.sqlite3", NOW) as pages:
        add_budgets(pages.engine)
        remove_budget(pages.engine, "shop", "u-17", by="ada", now=at(NOW))
        browser = pages.browser(pages.key("read"))
        assert "Budget u-17: 125.7 % spent" in browser.get("/alerts").text
        assert browser.get("/budgets/u-17?account=shop").status_code == 404


def test_either_database_says_the_same(database_url: str) -> None:
    with paged(database_url, NOW) as pages:
        record_and_post(pages.engine, an_event("one", "2026-11-18T08:00:00Z", model="deepseek-flash"), now=NOW)
        add(pages, "all", amount="1.25")
        browser = pages.browser(pages.key("read"))
        seen = Read(browser.get("/budgets").text)
        assert (words(seen.marked["default/all/spent"]), seen.marked["crossed"]) == ("1.20", "1")
        assert Read(browser.get("/budgets/all").text).amount("left") == "0.05"
        assert "Budget all: 96.0 % spent" in browser.get("/alerts").text
