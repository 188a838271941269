"""Every number on the page of a balance is the API's, whatever the filters; and who may see what."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from costmeter.core.periods import MICROSECOND, day_period, format_instant, zone
from costmeter.services.explain_observation import explain_observation
from costmeter.services.void_credit import void_credit
from costmeter.web.balance import DAYS
from tests.make import MILLION, an_event, at, give, grant, post, record, record_and_post, top_up
from tests.services import watching
from tests.services.test_close_month import close
from tests.web.books import NOW, observe
from tests.web.reading import Read, plain
from tests.web.serving import Browser, Pages, paged
from tests.web.test_overview import ask

ACCOUNTS = ("shop", "labs", "beijing")
ZONES = ("UTC", "Asia/Shanghai", "America/St_Johns")


@pytest.fixture(scope="module")
def browser(site: Pages) -> Browser:
    return site.browser(site.key("read"))


@pytest.fixture(scope="module")
def api(site: Pages) -> httpx.Client:
    return site.api(site.key("read"))


def looked_at(browser: Browser, **asked: str) -> Read:
    answer = browser.get("/balance", params=asked)
    assert answer.status_code == 200, answer.text
    return Read(answer.text)


def last_instant(day: date, timezone: str) -> str:
    end = day_period(day, timezone).end
    assert end is not None
    return format_instant(min(end - MICROSECOND, at(NOW)))


@pytest.mark.parametrize("seed", range(8))
def test_every_number_is_the_apis(browser: Browser, api: httpx.Client, seed: int) -> None:
    chance = random.Random(seed)
    account, timezone = chance.choice(ACCOUNTS), chance.choice(ZONES)
    today = at(NOW).astimezone(zone(timezone)).date()
    last = today - timedelta(days=chance.choice((0, 0, 3, 30)))
    first = last - timedelta(days=chance.randrange(80))
    month = chance.choice(("2026-11", "2026-10", "2026-09", "2026-01"))
    asked = {"from": first.isoformat(), "to": last.isoformat(), "month": month}
    seen = looked_at(browser, account=account, timezone=timezone, **asked)

    rows = seen.body("days-table")
    days = [last - timedelta(days=ago) for ago in range((last - first).days + 1)]
    assert [row[0] for row in rows] == [day.isoformat() for day in days]
    for place in {0, len(days) - 1, *chance.sample(range(len(days)), min(6, len(days)))}:
        told = ask(api, f"accounts/{account}/balance", at=last_instant(days[place], timezone))["balance_infos"][0]
        names = ("granted_balance", "topped_up_balance", "total_balance")
        assert rows[place][1:] == [told[name] for name in names], days[place]

    start, end = day_period(first, timezone).start, day_period(last, timezone).end
    assert start is not None
    assert end is not None
    interval = {"from": format_instant(start), "to": format_instant(end)}
    spent = ask(api, "reports/spend", account=account, **interval)
    assert seen.amount("untracked") == spent["totals"]["untracked"]

    statement = ask(api, f"statements/{account}/{month}")
    moved = [
        ["Beginning", *statement["opening"].values()],
        *([row["text"], row["granted"], row["topped_up"], row["total"]] for row in statement["movements"]),
        ["Now" if month == "2026-11" else "End", *statement["closing_balance"].values()],
    ]
    assert seen.body("month-table") == moved


@pytest.mark.parametrize("account", ACCOUNTS)
def test_what_there_is_now_is_the_apis(browser: Browser, api: httpx.Client, account: str) -> None:
    seen = looked_at(browser, account=account)
    balance, detail = ask(api, f"accounts/{account}/balance"), ask(api, f"accounts/{account}")
    info = balance["balance_infos"][0]
    for name in ("total_balance", "granted_balance", "topped_up_balance"):
        assert seen.amount(name) == info[name]
    assert json.loads(seen.marked["as-deepseek"]) == balance
    assert seen.amount("overdraft") == detail["overdraft"]
    assert seen.marked["unposted"] == str(detail["unposted"])
    runway = ask(api, "reports/forecast", account=account)["runway"]["total"]
    assert seen.marked["days"].split()[0] == str(runway["days"])
    credits = ask(api, f"accounts/{account}/credits")["data"][::-1]
    told = [
        [one["reference"] or f"number {one['credit_id']}", one["amount"], one["remaining"], one["expires_at"] is None]
        for one in credits
    ]
    shown = [[row[0], row[2], row[3], row[5] == "never"] for row in seen.body("credits-table")]
    assert shown == told


def test_it_shows_the_last_days_at_first(browser: Browser) -> None:
    rows = looked_at(browser, account="shop").body("days-table")
    assert [rows[0][0], len(rows)] == ["2026-11-18", DAYS]


def test_what_deepseek_said(browser: Browser) -> None:
    rows = looked_at(browser, account="shop").body("observed-table")
    assert [row[4] for row in rows] == ["agrees", "settled later", "agrees"]
    page = browser.get("/balance/observations/2", params={"account": "shop"})
    seen = Read(page.text)
    theirs, ours, difference = seen.body("beside-table")
    assert [theirs[3], ours[3], difference[3]] == rows[1][1:4]
    assert [row[3] for row in seen.body("why-table")] == ["all of it"]
    assert "Settled later" in page.text
    assert browser.get("/balance/observations/9", params={"account": "shop"}).status_code == 404
    assert browser.get("/balance/observations/x", params={"account": "shop"}).status_code == 422


def test_a_difference_is_open_until_somebody_explains_it(bare: Pages) -> None:
    browser = bare.browser(bare.key("read"))
    top_up(bare.engine, "5.00", "2026-11-01T00:00:00Z", now=NOW)
    observe(bare.engine, NOW, "default", (0, 450))
    page = browser.get("/balance/observations/1").text
    assert "<strong>Open.</strong>" in page
    assert "costmeter reconcile explain 1" in page
    explain_observation(bare.engine, "default", 1, by="ada", reason="a <b>gift</b>", now=at(NOW))
    page = browser.get("/balance/observations/1").text
    assert "Explained" in page
    assert "a &lt;b&gt;gift&lt;/b&gt;" in page
    assert looked_at(browser).body("observed-table")[0][1:] == ["4.50", "5.00", "-0.50", "explained"]


def test_overdraft_void_credits_and_grants_that_expire_soon(bare: Pages) -> None:
    engine, browser = bare.engine, bare.browser(bare.key("read"))
    top_up(engine, "0.25", "2026-11-01T00:00:00Z", now=NOW, reference="first")
    top_up(engine, "9.00", "2026-11-01T00:00:00Z", now=NOW, reference="wrong")
    grant(engine, "0.05", "2026-11-02T00:00:00Z", "2026-11-25T09:20:00Z", now=NOW)
    grant(engine, "0.05", "2026-11-18T09:20:00Z", "2026-11-25T09:20:00Z", now=NOW, reference="soon")
    grant(engine, "0.05", "2026-11-18T09:20:00Z", "2026-11-25T09:20:01Z", now=NOW, reference="later")
    event = an_event("a", "2026-11-17T12:00:00Z", model="deepseek-flash", output=MILLION)
    record_and_post(engine, event, an_event("b", "2026-10-17T12:00:00Z", model="deepseek-flash"), now=NOW)
    void_credit(engine, "default", "wrong", reason="not ours", by="ada", now=at(NOW))
    record(engine, an_event("c", "2026-11-18T09:00:00Z", model="deepseek-flash"), now=NOW)
    answer = browser.get("/balance").text
    seen = Read(answer)
    assert "overdrawn" in answer
    assert seen.amount("topped_up_balance") == f"-{seen.amount('overdraft')}" == "-0.30"
    assert (seen.amount("untracked"), seen.marked["unposted"]) == ("0.60", "1")
    assert seen.marked["tracked_from"].startswith("2026-11-01")
    credits = {row[0].split()[0]: row for row in seen.body("credits-table")}
    assert [name for name, row in credits.items() if "soon" in row[5]] == ["soon"]
    assert "not ours" in credits["wrong"][0]
    assert seen.body("days-table")[1][2] == "-0.30"
    movements = [row[0] for row in seen.body("month-table")]
    assert movements == ["Beginning", "Credits added", "Credits voided", "Usage of the month", "Now"]


def test_a_frozen_account_is_said_to_be(bare: Pages) -> None:
    watching.freeze(bare.engine)
    answer = bare.browser(bare.key("read")).get("/balance").text
    assert "This account is frozen since" in answer
    assert "promise 6" in answer
    assert "costmeter account release" in answer


def test_a_closed_month_is_as_its_statement_was_kept(bare: Pages) -> None:
    give(bare.engine, "topped_up", "5.00", "2025-03-01T00:00:00Z", now="2025-03-01T00:00:00Z")
    record_and_post(bare.engine, an_event("a"))
    post(bare.engine, now="2025-04-02T00:00:00Z")
    close(bare.engine)
    seen = looked_at(bare.browser(bare.key("read")), month="2025-03")
    assert seen.body("month-table")[-1] == ["End", "0.00", "3.90", "3.90"]


def test_many_credits_and_observations_come_by_and_by(bare: Pages) -> None:
    for number in range(26):
        top_up(bare.engine, "1.00", "2026-11-01T00:00:00Z", now=NOW, reference=f"r{number:02}")
    for _ in range(11):
        observe(bare.engine, NOW, "default", (0, 2600))
    browser = bare.browser(bare.key("read"))
    answer = browser.get("/balance").text
    rows = Read(answer).body("credits-table")
    assert [rows[0][0], rows[-1][0], len(rows)] == ["r25", "r01", 25]
    older = answer.split(">Older credits<")[0].rsplit('href="', 1)[1].split("#")[0].replace("&amp;", "&")
    assert [row[0] for row in Read(browser.get(older).text).body("credits-table")] == ["r00"]
    older = answer.split(">Older observations<")[0].rsplit('href="', 1)[1].split("#")[0].replace("&amp;", "&")
    assert len(Read(answer).body("observed-table")) == 10
    assert len(Read(browser.get(older).text).body("observed-table")) == 1


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"account": "nobody"}, 404, "no account"),
        ({"timezone": "Mars/Olympus"}, 422, "no IANA time zone"),
        ({"to": "2026-11-19"}, 422, "choose a day"),
        ({"from": "tomorrow"}, 422, "YYYY-MM-DD"),
        ({"from": "2026-11-10", "to": "2026-11-09"}, 422, "is after the last day"),
        ({"from": "2025-11-01"}, 422, "at most 366 days"),
        ({"month": "2026-12"}, 422, "has not begun"),
        ({"month": "May"}, 422, "YYYY-MM"),
        ({"credits_before": "9" * 19}, 422, "use the links"),
        ({"seen_before": "-1"}, 422, "use the links"),
    ],
)
def test_a_filter_that_means_nothing_says_so_on_a_page(browser: Browser, asked: Any, status: int, says: str) -> None:
    answer = browser.get("/balance", params={"account": "shop"} | asked)
    assert answer.status_code == status
    assert says in answer.text
    assert "<h1>" in answer.text


def test_a_year_can_be_shown(browser: Browser) -> None:
    rows = looked_at(browser, account="shop", **{"from": "2025-11-18"}).body("days-table")
    assert (len(rows), rows[-1][3]) == (366, "0.00")


def test_one_day_is_told_without_a_chart(browser: Browser) -> None:
    asked = {"account": "shop", "from": "2026-11-18", "to": "2026-11-18"}
    answer = browser.get("/balance", params=asked).text
    assert len(Read(answer).body("days-table")) == 1
    assert 'class="chart wide"' not in answer


def test_an_accounts_own_address_leads_to_it(browser: Browser) -> None:
    answer = browser.get("/accounts/labs?timezone=Asia/Shanghai")
    assert (answer.status_code, answer.headers["location"]) == (303, "/balance?timezone=Asia%2FShanghai&account=labs")
    assert "Account <bdi>labs</bdi>" in browser.get(answer.headers["location"]).text


def test_a_key_sees_its_own_accounts_and_no_parts_of_them(site: Pages) -> None:
    of_one = site.browser(site.key("read", accounts=["labs"]))
    answer = of_one.get("/balance").text
    assert "Account <bdi>labs</bdi>" in answer
    assert "shop" not in answer
    for path in ("/balance?account=shop", "/accounts/shop", "/balance/observations/1?account=shop"):
        assert of_one.get(path, follow_redirects=True).status_code == 403
    of_project = site.browser(site.key("read", accounts=["shop"], projects=["search"]))
    for path in ("/balance", "/balance?account=shop", "/balance/observations/1?account=shop"):
        assert of_project.get(path).status_code == 403
    assert site.browser().get("/balance").headers["location"] == "/sign-in?next=%2Fbalance"


def test_only_finance_is_offered_a_change(site: Pages) -> None:
    for role, offered in (("read", False), ("finance", True), ("admin", True)):
        answer = site.browser(site.key(role)).get("/balance?account=shop").text
        assert ("/balance/credits/new" in answer, "/balance/credits/void" in answer) == (offered, offered)


def test_books_without_anything(bare: Pages) -> None:
    browser = bare.browser(bare.key("read"))
    assert "There is no account yet." in browser.get("/balance").text
    record_and_post(bare.engine, an_event("a", "2026-11-17T12:00:00Z", model="deepseek-flash"), now=NOW)
    answer = browser.get("/balance").text
    for said in ("No credit was ever added", "There is no credit yet.", "costmeter reconcile balance"):
        assert said in answer
    assert Read(answer).amount("untracked") == "0.60"


def test_either_database_says_the_same(database_url: str) -> None:
    with paged(database_url, NOW) as pages:
        top_up(pages.engine, "5.00", "2026-11-01T00:00:00Z", now=NOW)
        call = an_event("one", "2026-11-17T08:00:00Z", model="deepseek-flash")
        record_and_post(pages.engine, call, now=NOW)
        observe(pages.engine, NOW, "default", (0, 380))
        seen = looked_at(pages.browser(pages.key("read")))
        assert [row[3] for row in seen.body("days-table")[:3]] == ["3.80", "3.80", "5.00"]
        assert [row[3] for row in seen.body("month-table")] == ["0.00", "5.00", "-1.20", "3.80"]
        assert seen.body("observed-table")[0][1:] == ["3.80", "3.80", "0.00", "agrees"]
        assert plain(seen.marked["total_balance"]) == "3.80"
