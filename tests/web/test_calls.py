"""The list of calls: the API's calls by the API's filters, page by page, each leading to its own page and back."""

from __future__ import annotations

import random
import re
from html import unescape
from typing import Any

import httpx
import pytest

from costmeter.core.events import STATUSES
from costmeter.reports.calls import STATES
from costmeter.services.freeze_account import freeze_account
from costmeter.web import calls
from tests.make import an_event, an_unmetered, at, record, record_and_post
from tests.web.books import NOW
from tests.web.reading import Read, plain
from tests.web.serving import Browser, Pages, paged
from tests.web.test_call import FAILED_CALL, FLASH
from tests.web.test_explore import look
from tests.web.test_overview import BANDS

WORDS = {"failed": "Failed", "unmetered": "Unmetered", "unpriced": "Unpriced", "unposted": "Not posted"}


@pytest.fixture(scope="module")
def browser(site: Pages) -> Browser:
    return site.browser(site.key("read"))


@pytest.fixture(scope="module")
def api(site: Pages) -> httpx.Client:
    return site.api(site.key("read"))


def listed(browser: Browser, asked: Any) -> list[list[str]]:
    seen = Read(look(browser, asked, "/calls"))
    return seen.body("calls-table") if "calls-table" in seen.tables else []


def links(page: str) -> list[str]:
    return [unescape(link) for link in re.findall(r'<tr><th scope="row"><a href="([^"]*)"', page)]


def told(call: dict[str, Any]) -> list[str]:
    """What the list writes of a call of the API, after the instant."""
    charge = call["charge"]
    state = charge["status"] if charge else call["status"] if call["status"] != "ok" else "unposted"
    names = [call[name] or "(none)" for name in ("project", "user", "api_key", "model")]
    band = BANDS[charge["band"]] if charge and charge["band"] else ""
    return [*names, band, charge["cost"] if state == "priced" else WORDS[state]]


@pytest.mark.parametrize("seed", range(8))
def test_every_call_is_the_apis(browser: Browser, api: httpx.Client, seed: int) -> None:
    chance = random.Random(seed)
    asked: dict[str, Any] = {"account": chance.choice(("shop", "labs", "beijing"))}
    asked["where"] = chance.sample(("project=search", "band=peak", "model=deepseek-v4-pro", "user=u-17"), seed % 3)
    if chance.random() < 0.4:
        asked["status"] = chance.choice(STATES)
    asked |= chance.choice((
        {}, {"month": "2026-11"}, {"from": "2026-11-10T00:00:00Z"}, {"to": "2026-10-20T12:00:00+08:00"},
    ))  # fmt: skip
    page = look(browser, asked, "/calls")
    expected = api.get("/v1/events", params={**asked, "limit": 50}).json()
    rows = Read(page).body("calls-table") if expected["data"] else []
    assert [row[1:] for row in rows] == [told(call) for call in expected["data"]]
    assert ("Older calls" in page) == (expected["next_cursor"] is not None)
    assert "Newer calls" not in page


def test_pages_have_every_call_once_and_lead_back(browser: Browser, api: httpx.Client) -> None:
    asked = {"account": "shop", "where": "project=search", "timezone": "Asia/Shanghai"}
    every = api.get("/v1/events", params={"account": "shop", "project": "search", "limit": 1000}).json()["data"]
    page, pages = look(browser, asked, "/calls"), []
    while True:
        pages.append(Read(page).body("calls-table"))
        older = re.search(r'<a href="([^"]*)" rel="next"', page)
        if older is None:
            break
        page = look(browser, None, unescape(older[1]))
    assert len(pages) == -(-len(every) // calls.ROWS) > 1
    assert [row[1:] for rows in pages for row in rows] == [told(call) for call in every]
    for rows in reversed(pages[:-1]):
        newer = re.search(r'<a href="([^"]*)" rel="prev"', page)
        assert newer
        page = look(browser, None, unescape(newer[1]))
        assert Read(page).body("calls-table") == rows
    assert "Newer calls" not in page


def content(page: str) -> str:
    """A page without its navigation, whose links take some filters along."""
    return page.split("<main", 1)[1]


def test_a_call_leads_back_to_the_list_that_one_comes_from(browser: Browser) -> None:
    asked = {"account": "shop", "where": ["project=search", "band=peak"], "month": "2026-11", "status": "ok"}
    page = look(browser, asked, "/calls")
    call = look(browser, None, links(page)[0])
    back = re.search(r'<p class="back"><a href="([^"]*)">Calls</a>', call)
    assert back
    assert content(look(browser, None, unescape(back[1]))) == content(page)
    latest = links(look(browser, {"account": "shop"}, "/"))[-1]
    assert "Overview</a></p>" in look(browser, None, latest)


@pytest.mark.parametrize("listed", ["//evil.example", "https://evil.example", '"><b>', "\r\nx"])
def test_the_way_back_stays_here(browser: Browser, listed: str) -> None:
    page = look(browser, {"account": "shop", "listed": listed}, "/calls/example-1")
    back = re.search(r'<p class="back"><a href="([^"]*)">', page)
    assert back
    assert back[1].startswith("/calls?")
    assert "<b>" not in page


def test_states_are_told_apart(bare: Pages) -> None:
    """Provisional is what depends on a calendar that is not published; the others have no cost."""
    events = [
        FAILED_CALL,
        an_unmetered("b", "2026-11-17T12:00:00Z", **FLASH),
        an_event("c", "2026-11-17T12:00:00Z", model="deepseek-x"),
        an_event("d", "2026-11-17T12:00:00Z", **FLASH),
    ]
    record_and_post(bare.engine, *events, now=NOW)
    freeze_account(bare.engine, "default", by="verify", reason="promise 6", now=at(NOW))
    record(bare.engine, an_event("e", "2026-11-17T12:00:00Z", **FLASH), now=NOW)
    browser = bare.browser(bare.key("read"))
    assert [row[-1] for row in listed(browser, {})] == ["Not posted", "0.60", "Unpriced", "Unmetered", "Failed"]
    for status, word in WORDS.items():
        assert [row[-1] for row in listed(browser, {"status": status})] == [word]
    assert [row[-1] for row in listed(browser, {"status": "ok"})] == ["Not posted", "0.60", "Unpriced"]
    assert listed(browser, {"status": "provisional"}) == []
    assert {*STATES} == {*STATUSES, *WORDS, "provisional"}


def test_a_provisional_cost_says_so(bare: Pages) -> None:
    event = an_event("a", "2027-01-01T02:00:00Z", **FLASH)
    record_and_post(bare.engine, event, now="2027-01-01T02:01:00Z")
    browser = bare.browser(bare.key("read"))
    (row,) = listed(browser, {"status": "provisional"})
    charge = bare.api(bare.key("read")).get("/v1/events/a").json()["charge"]
    assert (charge["status"], row[-1]) == ("provisional", f"{charge['cost']} Provisional")


def test_instants_are_on_the_clock_of_the_reader(browser: Browser) -> None:
    asked = {"account": "shop", "from": "2026-11-17", "to": "2026-11-17", "timezone": "Asia/Shanghai"}
    days = {row[0].split()[0] for row in listed(browser, asked)}
    assert days == {"2026-11-17"}
    assert "2026-11-17 17:30:00" in [row[0] for row in listed(browser, asked)]


def test_of_several_accounts_one_is_chosen(site: Pages, browser: Browser) -> None:
    page = look(browser, {"where": "project=search", "status": "ok"}, "/calls")
    assert "Calls are listed by account." in page
    choice = re.search(r'<a href="(/calls\?account=labs[^"]*)"', page)
    assert choice
    assert "project=search" in plain(unescape(choice[1])).replace("%3D", "=")
    asked = {"account": "labs", "where": "project=search", "status": "ok"}
    assert content(look(browser, None, unescape(choice[1]))) == content(look(browser, asked, "/calls"))
    assert "Account <bdi>labs</bdi>" in look(site.browser(site.key("read", accounts=["labs"])), {}, "/calls")


def test_who_may_see_what(site: Pages) -> None:
    of_two = site.browser(site.key("read", accounts=["labs", "beijing"]))
    assert "shop" not in look(of_two, {}, "/calls")
    assert of_two.get("/calls", params={"account": "shop"}).status_code == 403
    of_project = site.browser(site.key("read", accounts=["shop"], projects=["search"]))
    assert {row[1] for row in listed(of_project, {})} == {"search"}
    assert of_project.get("/calls", params={"where": "project=support"}).status_code == 403


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"status": "lost"}, 422, "use one of ok, failed"),
        ({"month": "March"}, 422, "YYYY-MM"),
        ({"month": "2026-11", "to": "2026-11-02"}, 422, "either a month, or from and to"),
        ({"from": "yesterday!"}, 422, "YYYY-MM-DD"),
        ({"where": "colour=red"}, 422, "KEY=VALUE"),
        ({"before": "zz"}, 422, "follow the links"),
        ({"after": "00"}, 422, "follow the links"),
        ({"timezone": "Mars/Olympus"}, 422, "no IANA time zone"),
        ({"account": "nobody"}, 404, "no account"),
    ],
)
def test_what_means_nothing_says_so_on_a_page(browser: Browser, asked: Any, status: int, says: str) -> None:
    answer = browser.get("/calls", params={"account": "shop", **asked})
    assert answer.status_code == status
    assert says in unescape(answer.text)


def test_books_without_anything(bare: Pages) -> None:
    assert "There is no account yet." in look(bare.browser(bare.key("read")), {}, "/calls")


def test_either_database_says_the_same(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "ROWS", 2)
    with paged(database_url, NOW) as pages:
        events = [an_event(f"{n}", f"2026-11-18T0{n}:00:00Z", user=f"u-{n}", **FLASH) for n in range(1, 6)]
        record_and_post(pages.engine, *events, now=NOW)
        browser = pages.browser(pages.key("read"))
        page = look(browser, {"month": "2026-11", "where": "band=peak"}, "/calls")
        assert [row[2] for row in Read(page).body("calls-table")] == ["u-3", "u-2"]
        older = re.search(r'<a href="([^"]*)" rel="next"', page)
        assert older
        page = look(browser, None, unescape(older[1]))
        assert [row[2] for row in Read(page).body("calls-table")] == ["u-1"]
        newer = re.search(r'<a href="([^"]*)" rel="prev"', page)
        assert newer
        assert [row[2] for row in Read(look(browser, None, unescape(newer[1]))).body("calls-table")] == ["u-3", "u-2"]
