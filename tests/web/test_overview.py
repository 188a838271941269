"""Every number on the overview is the API's, whatever the filters; and who may see what."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from costmeter.core.money import format_amount, parse_total
from costmeter.core.periods import day_period, format_instant, zone
from costmeter.core.watch import Thresholds
from costmeter.services.watch import watch
from tests.make import an_event, at, book, record_and_post, top_up
from tests.services import watching
from tests.web.books import NOW
from tests.web.reading import Read
from tests.web.serving import Browser, Pages, paged

CURRENCIES = {"shop": "USD", "labs": "USD", "beijing": "CNY"}
BANDS = {"peak": "Peak", "off_peak": "Off-peak", None: "No price"}


@pytest.fixture(scope="module")
def browser(site: Pages) -> Browser:
    return site.browser(site.key("read"))


@pytest.fixture(scope="module")
def api(site: Pages) -> httpx.Client:
    return site.api(site.key("read"))


def looked_at(browser: Browser, asked: dict[str, str]) -> Read:
    answer = browser.get("/", params=asked)
    assert answer.status_code == 200, answer.text
    return Read(answer.text)


def ask(api: httpx.Client, path: str, **asked: Any) -> dict[str, Any]:
    answer = api.get(f"/v1/{path}", params={name: value for name, value in asked.items() if value})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def filters(chance: random.Random) -> dict[str, str]:
    """Some filters, as anybody might set them."""
    found = {"timezone": chance.choice(("UTC", "Asia/Shanghai", "America/St_Johns")), "by": "model"}
    found |= chance.choice(({}, {"account": "shop"}, {"account": "labs"}, {"account": "beijing"}, {"currency": "CNY"}))
    if chance.random() < 0.4:
        found["project"] = chance.choice(("search", "support", "nothing"))
    if chance.random() < 0.7:
        found["day"] = (date(2026, 11, 17) - timedelta(days=chance.randrange(60))).isoformat()
    if chance.random() < 0.4:
        found["by"] = "project"
    return found


@pytest.mark.parametrize("seed", range(10))
def test_every_number_is_the_apis(site: Pages, browser: Browser, api: httpx.Client, seed: int) -> None:
    asked = filters(random.Random(seed))
    seen = looked_at(browser, asked)
    timezone, account, project = asked["timezone"], asked.get("account"), asked.get("project")
    currency = CURRENCIES[account] if account else asked.get("currency", "USD")
    day = asked.get("day") or at(NOW).astimezone(zone(timezone)).date().isoformat()
    scope = {"account": account, "currency": currency, "where": project and f"project={project}"}

    first, last = (day_period(date.fromisoformat(day) - timedelta(days=ago), timezone) for ago in (29, 0))
    assert first.start
    assert last.start
    assert last.end
    to = format_instant(last.end)
    today = ask(api, "reports/spend", **scope, **{"from": format_instant(last.start)}, to=to, timezone=timezone)
    assert seen.amount("today") == today["totals"]["cost"]

    month = ask(api, "reports/spend", **scope, month=day[:7], by="band")
    assert seen.amount("month") == month["totals"]["cost"]
    for name in ("cache_savings", "off_peak_savings"):
        assert seen.amount(name) == month["totals"][name]
    for name in ("unpriced", "unmetered", "quarantined", "unposted", "provisional"):
        count = month["totals"][name]
        assert seen.marked.get(name, "0").split()[0] == str(count), name
    shown = [
        [BANDS[row["band"]], str(row["calls"]), row["cost"] if row["band"] else "unpriced"] for row in month["rows"]
    ]
    assert (seen.body("by-band") if shown else []) == shown

    by = asked["by"]
    days = ask(api, "reports/spend", **scope, **{"from": format_instant(first.start)}, to=to, timezone=timezone,
               by=f"day,{by},band")  # fmt: skip
    rows = [
        [
            row["day"],
            row[by] or "(none)",
            BANDS[row["band"]],
            str(row["calls"]),
            row["cost"] if row["band"] else "unpriced",
        ]
        for row in days["rows"]
    ]
    if rows:
        *told, total = seen.body("days-table")
        assert Counter(map(tuple, told)) == Counter(map(tuple, rows))
        assert total[-1] == days["totals"]["cost"]
    else:
        assert "days-table" not in seen.tables


@pytest.mark.parametrize("account", [None, *CURRENCIES])
def test_forecast_balance_and_lessons_are_the_apis(browser: Browser, api: httpx.Client, account: str | None) -> None:
    seen = looked_at(browser, {"account": account} if account else {})
    names = [account] if account else ["labs", "shop"]
    if account is None:
        told = ask(api, "reports/digest", kind="daily", currency="USD")["forecast"]
    else:
        told = ask(api, "reports/forecast", account=account)
    assert seen.amount("forecast") == told["forecast"]["amount"]
    for number, name in enumerate(names, 1):
        runway = ask(api, "reports/forecast", account=name)["runway"]
        rows = seen.body(f"balance-{number}")
        assert [row[1] for row in rows] == [runway[kind]["balance"] for kind in ("granted", "topped_up", "total")]
        days, until = runway["total"]["days"], runway["total"]["runs_out_on"]
        lasts = f"{days} day{'s' * (days != 1)} to {until}"
        assert rows[2][2] == ("overdrawn" if rows[2][1].startswith("-") else lasts)
    lessons = [ask(api, "reports/lessons", account=name, month="2026-11")["totals"] for name in names]
    assert seen.amount("off_peak_missed") == format_amount(sum(parse_total(one["off_peak_missed"]) for one in lessons))
    if account:
        assert seen.marked["cache"] == f"{lessons[0]['cache_hit_percent']} %"


def test_the_latest_calls_are_the_apis(browser: Browser, api: httpx.Client) -> None:
    seen = looked_at(browser, {"account": "shop"})
    calls = ask(api, "events", account="shop", limit=10)["data"]
    rows = seen.body("calls-table")
    assert [row[3] for row in rows] == [call["model"] for call in calls]
    assert rows[0][5] == "unmetered"
    assert [row[5] for row in rows[1:]] == [call["charge"]["cost"] for call in calls[1:]]


def test_two_currencies_are_never_summed(browser: Browser, api: httpx.Client) -> None:
    usd, cny = (looked_at(browser, {"currency": one}) for one in ("USD", "CNY"))
    for seen, currency in ((usd, "USD"), (cny, "CNY")):
        assert currency in seen.marked["month"]
        month = ask(api, "reports/spend", month="2026-11", currency=currency)
        assert seen.amount("month") == month["totals"]["cost"]
    assert looked_at(browser, {}).amount("month") == usd.amount("month"), "one of them is shown at first"


def test_the_badge_tells_the_band_and_when_it_ends(browser: Browser) -> None:
    page = browser.get("/", params={"timezone": "Asia/Shanghai"}).text
    assert '<span class="badge band-peak">Peak</span>' in page
    assert 'off-peak in 40\u00a0min, at <time datetime="2026-11-18T10:00:00Z">18:00</time>' in page


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"account": "nobody"}, 404, "no account"),
        ({"timezone": "Mars/Olympus"}, 422, "no IANA time zone"),
        ({"day": "2026-11-19"}, 422, "choose a day"),
        ({"day": "tomorrow"}, 422, "YYYY-MM-DD"),
        ({"currency": "EUR"}, 422, "USD, CNY"),
        ({"by": "user"}, 422, "model, project"),
    ],
)
def test_a_filter_that_means_nothing_says_so_on_a_page(browser: Browser, asked: Any, status: int, says: str) -> None:
    answer = browser.get("/", params=asked)
    assert answer.status_code == status
    assert says in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "<h1>" in answer.text


def test_empty_filters_are_none(browser: Browser) -> None:
    empty = dict.fromkeys(("account", "currency", "project", "timezone", "day", "by"), "")
    assert looked_at(browser, empty).marked == looked_at(browser, {}).marked


def test_a_key_of_accounts_sees_those_only(site: Pages) -> None:
    of_one = site.browser(site.key("read", accounts=["labs"]))
    page = of_one.get("/").text
    assert "Account <bdi>labs</bdi>" in page
    assert "shop" not in page
    assert of_one.get("/", params={"account": "shop"}).status_code == 403
    of_two = site.browser(site.key("read", accounts=["shop", "beijing"]))
    assert "Account <bdi>beijing</bdi>" in of_two.get("/").text, "the first one"
    assert "labs" not in of_two.get("/", params={"account": "shop"}).text
    unborn = site.browser(site.key("read", accounts=["unborn"]))
    assert unborn.get("/").status_code == 404


def test_a_key_of_projects_sees_no_whole_account(site: Pages) -> None:
    key = site.key("read", accounts=["shop"], projects=["search"])
    seen = Read(site.browser(key).get("/").text)
    month = ask(site.api(key), "reports/spend", month="2026-11", account="shop")
    assert seen.amount("month") == month["totals"]["cost"]
    assert "balance-1" not in seen.tables
    assert {row[2] for row in seen.body("calls-table")} == {"search"}
    assert site.browser(key).get("/", params={"project": "support"}).status_code == 403
    of_two = site.browser(site.key("read", projects=["search", "support"]))
    assert "project <bdi>search</bdi>" in of_two.get("/").text
    assert "project <bdi>support</bdi>" in of_two.get("/", params={"project": "support"}).text


def test_books_without_anything(bare: Pages) -> None:
    page = bare.browser(bare.key("read")).get("/").text
    for said in ("There is no account yet.", "There is no call yet.", "No call from 2026-10-20 to 2026-11-18."):
        assert said in page
    assert "not the whole truth" not in page


def test_what_needs_somebody_is_told_first(sqlite_url: str) -> None:
    with paged(sqlite_url, watching.FIRST) as pages:
        watching.overdraw(pages.engine)
        watching.observe(pages.engine, "0.50", "2025-03-09T00:00:00Z")
        assert watch(pages.engine, book=book(), thresholds=Thresholds(), now=at(watching.FIRST)).raised
        watching.freeze(pages.engine)
        page = pages.browser(pages.key("read")).get("/").text
        for said in ("is frozen", "balance of <bdi>default</bdi> differs by", "overdrawn by 0.10 USD"):
            assert said in page
        of_project = pages.browser(pages.key("read", accounts=["default"], projects=["p"])).get("/").text
        assert "not the whole truth" not in of_project, "that is of the whole account"


def test_either_database_says_the_same(database_url: str) -> None:
    with paged(database_url, NOW) as pages:
        top_up(pages.engine, "5.00", "2026-11-01T00:00:00Z", now=NOW)
        record_and_post(pages.engine, an_event("one", "2026-11-18T08:00:00Z", model="deepseek-flash"), now=NOW)
        browser = pages.browser(pages.key("read"))
        seen = Read(browser.get("/").text)
        assert [seen.amount(name) for name in ("today", "month")] == ["1.20", "1.20"]
        assert seen.body("balance-1")[2][1] == "3.80"
        call = Read(browser.get("/calls/one").text)
        assert call.amount("cost") == "1.20"
        assert [row[-1] for row in call.body("booked-table")] == ["1.20"]


def test_more_accounts_than_are_told_together(bare: Pages) -> None:
    calls = [an_event(f"c{n}", "2026-11-17T12:00:00Z", account=f"a{n}", model="deepseek-flash") for n in range(6)]
    record_and_post(bare.engine, *calls, now=NOW)
    browser = bare.browser(bare.key("read"))
    page = browser.get("/").text
    assert page.count("Choose an account") == 2
    assert Read(page).amount("month") == "3.60"
    assert Read(browser.get("/", params={"account": "a3"}).text).amount("month") == "0.60"


def test_projects_beyond_those_with_a_colour_are_told_together(bare: Pages) -> None:
    calls = [
        an_event(f"c{n}", "2026-11-17T12:00:00Z", project=f"p{n}", model="deepseek-flash", output=n * 100_000)
        for n in range(1, 11)
    ]
    record_and_post(bare.engine, *calls, now=NOW)
    page = bare.browser(bare.key("read")).get("/", params={"by": "project"}).text
    assert "3 others" in page
    *rows, total = Read(page).body("days-table")
    told = bare.api(bare.key("read")).get("/v1/reports/spend", params={"month": "2026-11", "by": "project"}).json()
    cost = {row["project"]: row["cost"] for row in told["rows"]}
    assert {row[1]: row[-1] for row in rows[:-1]} == {f"p{n}": cost[f"p{n}"] for n in range(4, 11)}
    rest = format_amount(sum(parse_total(cost[f"p{n}"]) for n in (1, 2, 3)))
    assert rows[-1][1:] == ["others", "Off-peak", "3", rest]
    assert total[-1] == told["totals"]["cost"]
