"""The pages of months and statements say what the API's statements say, and hand out the same files."""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from costmeter.core.money import format_amount, parse_total
from costmeter.core.periods import month_after
from costmeter.web.statements import MOST
from tests.make import an_event, record_and_post, top_up
from tests.web.books import NOW
from tests.web.closed import WHY, close_months
from tests.web.reading import Read, plain
from tests.web.serving import Browser, Pages, paged
from tests.web.test_overview import ask

FIRST = {"shop": "2026-09", "labs": "2026-10", "beijing": "2026-10"}
BANDS = {"peak": "Peak", "off_peak": "Off-peak", None: "No price"}
METERS = {"input.cache_hit": "Input, cache hit", "input.cache_miss": "Input, cache miss", "output": "Output"}
PARTS = ("granted", "topped_up", "overdraft", "untracked")
MEASURES = ("cost", "cache_savings", "off_peak_savings", "off_peak_missed")


@pytest.fixture(scope="module")
def closed(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Books with months that are closed; a test changes nothing but keys."""
    path = tmp_path_factory.mktemp("closed") / "costmeter.sqlite3"
    shutil.copy(books, path)
    with paged(f"sqlite:///{path}", NOW) as pages:
        close_months(pages.engine)
        yield pages


@pytest.fixture(scope="module")
def browser(closed: Pages) -> Browser:
    return closed.browser(closed.key("read"))


@pytest.fixture(scope="module")
def api(closed: Pages) -> httpx.Client:
    return closed.api(closed.key("read"))


def months(account: str) -> list[str]:
    found = [FIRST[account]]
    while found[-1] != NOW[:7]:
        found.append(month_after(found[-1]))
    return found


EVERY = [(account, month) for account in FIRST for month in months(account)]


def looked_at(browser: Browser, path: str, **asked: str) -> Read:
    answer = browser.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return Read(answer.text)


def known(amount: str | None) -> str:
    return "unpriced" if amount is None else amount


def pair(balance: dict[str, str]) -> list[str]:
    return [balance[name] for name in ("granted", "topped_up", "total")]


def paid(row: dict[str, Any]) -> list[str]:
    return [str(row["calls"]), row["cost"], *(row[name] for name in PARTS)]


@pytest.mark.parametrize("account", FIRST)
def test_each_month_of_the_list_is_its_statement(browser: Browser, api: httpx.Client, account: str) -> None:
    seen = looked_at(browser, "/statements", account=account)
    rows = seen.body("months-table")
    statements = [ask(api, f"statements/{account}/{month}") for month in reversed(months(account))]
    assert len(rows) == len(statements)
    for row, statement in zip(rows, statements, strict=True):
        adjusted = format_amount(sum(parse_total(one["cost"]) for one in statement["adjustments"]))
        assert row[2:6] == [
            statement["opening"]["total"], statement["deductions"]["cost"], adjusted,
            statement["closing_balance"]["total"],
        ]  # fmt: skip
        assert row[1].startswith("Closed") == (statement["state"] == "closed")
    closings = [statement["closing"] for statement in statements if statement["closing"]]
    seals = [[closing["statement_sha256"], closing["sha256"]] for closing in closings]
    assert ([row[3:5] for row in seen.body("seals-table")] if seals else []) == seals


def test_the_list_says_what_can_be_closed_and_by_whom_it_was(closed: Pages, browser: Browser) -> None:
    labs = browser.get("/statements", params={"account": "labs", "timezone": "Asia/Shanghai"}).text
    assert Read(labs).body("seals-table")[0][:3] == ["October 2026", "2026-11-06 17:00:00", "key finance-1"]
    assert Read(labs).body("seals-table")[0][5] == WHY
    assert "by override" in labs
    shop = browser.get("/statements", params={"account": "shop"}).text
    assert "October 2026 is ready to be closed" in shop
    assert "/close" not in shop, "a key that may only read closes nothing"
    finance = closed.browser(closed.key("finance")).get("/statements", params={"account": "shop"}).text
    assert 'href="/statements/shop/2026-10/close?timezone=UTC"' in finance
    beijing = browser.get("/statements", params={"account": "beijing"}).text
    assert "Something stands against closing October 2026" in beijing
    assert "1 call is unpriced" in beijing


@pytest.mark.parametrize(("account", "month"), EVERY)
def test_every_number_of_a_statement_is_the_apis(browser: Browser, api: httpx.Client, account: str, month: str) -> None:
    seen = looked_at(browser, f"/statements/{account}/{month}")
    told = ask(api, f"statements/{account}/{month}")
    assert seen.amount("opening") == told["opening"]["total"]
    assert seen.amount("closing") == told["closing_balance"]["total"]
    assert seen.amount("cost") == told["deductions"]["cost"]
    assert seen.amount("calls") == str(told["counts"]["calls"])
    movements = [("Opening balance", told["opening"]), *((one["kind"], one) for one in told["movements"])]
    assert [row[1:] for row in seen.body("balance-table")] == [
        *(pair(one) for _, one in movements), pair(told["closing_balance"]),
    ]  # fmt: skip
    credits = [one["amount"] for one in told["credits"]]
    assert ([row[-1] for row in seen.body("credits-table")] if credits else []) == credits
    assert seen.marked["state"].startswith("The month is open" if told["closing"] is None else "Closed")
    for name, count in told["counts"].items():
        if name != "calls" and count:
            assert seen.amount(f"count.{name}") == str(count)
    check_usage(seen, told)
    check_lessons(seen, ask(api, "reports/lessons", account=account, month=month))
    for name in ("sha256", "statement_sha256") if told["closing"] else ():
        assert seen.marked[name] == told["closing"][name]


def check_usage(seen: Read, told: dict[str, Any]) -> None:
    if not told["usage"]:
        assert "usage-table" not in seen.tables
        return
    rows = []
    for one in told["usage"]:
        rows.append([f"{one['model']} {BANDS[one['band']]}", str(one["calls"]), "", known(one["cost"])])
        rows += [[METERS[line["meter"]], "", str(line["quantity"]), known(line["amount"])] for line in one["lines"]]
    *shown, total = seen.body("usage-table")
    assert shown == rows
    assert total[-1] == told["deductions"]["cost"]
    assert [seen.amount(f"paid.{part}") for part in PARTS] == [told["deductions"][part] for part in PARTS]
    for by in ("project", "api_key"):
        named = sorted([one["name"] or "(none)", *paid(one)] for one in told["showback"][by])
        assert sorted(seen.body(f"{by}-table")) == named
    adjusted = [[one["month"], one["model"], *paid(one)] for one in told["adjustments"]]
    assert (seen.body("adjustments-table") if adjusted else []) == adjusted


def check_lessons(seen: Read, told: dict[str, Any]) -> None:
    if not told["rows"]:
        assert "lessons-table" not in seen.tables
        return
    *shown, total = seen.body("lessons-table")
    rows = [
        [
            row["project"] or "(none)",
            row["model"],
            *("unpriced" if row["unpriced"] == row["calls"] else row[name] for name in MEASURES),
        ]
        for row in told["rows"]
    ]
    assert sorted(row[:6] for row in shown) == sorted(rows)
    assert total[1:5] == [told["totals"][name] for name in MEASURES]
    for by in ("project", "model"):
        movers = [[one["name"] or "(none)", one["before"], one["now"], one["change"]] for one in told["movers"][by]]
        assert ([row[:4] for row in seen.body(f"moved-{by}")] if movers else []) == movers


@pytest.mark.parametrize(("account", "month"), EVERY)
def test_the_checks_are_sums_of_what_is_shown(browser: Browser, account: str, month: str) -> None:
    seen = looked_at(browser, f"/statements/{account}/{month}")
    terms, _, told = plain(seen.marked["equation"]).partition("=")
    signed = re.sub(r"([+-]) ", r"\1", terms).replace("+", "").split()
    assert format_amount(sum(parse_total(one) for one in signed)) == told.strip() == seen.amount("closing")
    assert {row[3] for row in seen.body("checks-table")} == {"agrees"}
    assert all(row[1] == row[2] for row in seen.body("checks-table"))


def test_instants_are_on_the_clock_that_the_reader_chose(browser: Browser) -> None:
    page = browser.get("/statements/labs/2026-10", params={"timezone": "Asia/Shanghai"}).text
    assert '<time datetime="2026-11-06T09:00:00Z"><span>2026-11-06</span> <span>17:00:00</span></time>' in page
    assert 'href="/statements?account=labs&amp;timezone=Asia%2FShanghai"' in page


def test_an_override_is_told_in_full(browser: Browser) -> None:
    page = browser.get("/statements/labs/2026-10").text
    assert "Closed by an override of <bdi>key finance-1</bdi>" in page
    assert f"<bdi>{WHY}</bdi>" in page
    assert "<li>1 call is unpriced" in page
    assert "/close" not in page


@pytest.mark.parametrize("seed", range(8))
def test_a_file_has_the_bytes_of_the_apis(browser: Browser, api: httpx.Client, seed: int) -> None:
    chance = random.Random(seed)
    (account, month), form = chance.choice(EVERY), ("json", "csv", "pdf", "html")[seed % 4]
    file = browser.get(f"/statements/{account}/{month}.{form}")
    told = api.get(f"/v1/statements/{account}/{month}", params={"format": form})
    assert (file.status_code, file.content) == (200, told.content)
    assert file.headers["content-type"] == told.headers["content-type"]
    assert file.headers["content-disposition"] == f"attachment; filename*=UTF-8''statement-{account}-{month}.{form}"
    assert file.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/statements?account=nobody", 404, "no account"),
        ("/statements?account=shop&before=March", 422, "YYYY-MM"),
        ("/statements?account=shop&timezone=Mars", 422, "no IANA time zone"),
        ("/statements/shop/2026-13", 422, "YYYY-MM"),
        ("/statements/nobody/2026-10", 404, "no account"),
        ("/statements/shop/2026-10?timezone=Mars", 422, "no IANA time zone"),
        ("/statements/shop/2026-10.docx", 422, "json, csv, html, pdf"),
        ("/statements/nobody/2026-10.pdf", 404, "no account"),
    ],
)
def test_what_there_is_not_says_so_on_a_page(browser: Browser, path: str, status: int, says: str) -> None:
    answer = browser.get(path)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text
    assert "<h1>" in answer.text


def test_without_what_makes_a_pdf_the_page_says_what_to_install(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    answer = browser.get("/statements/shop/2026-10.pdf")
    assert answer.status_code == 501
    assert "This is not installed here" in answer.text
    assert "pip install &#39;costmeter[finance]&#39;" in answer.text
    assert browser.get("/statements/shop/2026-10.csv").status_code == 200


def test_who_sees_what(closed: Pages) -> None:
    labs = closed.browser(closed.key("read", accounts=["labs"]))
    page = labs.get("/statements").text
    assert "Account <bdi>labs</bdi>" in page
    assert "shop" not in page
    assert labs.get("/statements/labs/2026-10").status_code == 200
    for path in ("/statements?account=shop", "/statements/shop/2026-10", "/statements/shop/2026-10.json"):
        assert labs.get(path).status_code == 403
    project = closed.browser(closed.key("read", accounts=["labs"], projects=["search"]))
    assert project.get("/statements").headers["location"] == "/statements/exports"
    for path in ("/statements/labs/2026-10", "/statements/labs/2026-10.csv"):
        assert project.get(path).status_code == 403
    stranger = closed.browser()
    for path in ("/statements", "/statements/labs/2026-10", "/statements/labs/2026-10.csv"):
        assert stranger.get(path).headers["location"].startswith("/sign-in?next=")


def test_either_database_says_the_same(database_url: str) -> None:
    with paged(database_url, NOW) as pages:
        top_up(pages.engine, "5.00", "2026-10-01T00:00:00Z", now=NOW)
        record_and_post(pages.engine, an_event("one", "2026-10-18T12:00:00Z", model="deepseek-flash"), now=NOW)
        browser = pages.browser(pages.key("read"))
        rows = looked_at(browser, "/statements").body("months-table")
        assert [row[1:6] for row in rows] == [
            ["Open", "4.40", "0.00", "0.00", "4.40"], ["Ready to close", "0.00", "0.60", "0.00", "4.40"],
        ]  # fmt: skip
        seen = looked_at(browser, "/statements/default/2026-10")
        assert [seen.amount(name) for name in ("opening", "cost", "closing")] == ["0.00", "0.60", "4.40"]


def test_an_account_of_any_name(bare: Pages) -> None:
    name = 'a/b?c "2026"'
    event = an_event("one", "2026-10-18T12:00:00Z", model="deepseek-flash", account=name)
    record_and_post(bare.engine, event, now=NOW)
    browser = bare.browser(bare.key("read"))
    links = re.findall(r'href="(/statements/[^"]+2026-10[^"]*)"', browser.get("/statements").text)
    assert len(links) == 4
    for link in links:
        assert browser.get(link).status_code == 200, link
    saved = browser.get(links[1]).headers["content-disposition"]
    assert saved == "attachment; filename*=UTF-8''statement-a%2Fb%3Fc%20%222026%22-2026-10.pdf"


def test_books_without_anything(bare: Pages) -> None:
    browser = bare.browser(bare.key("read"))
    assert "There is no account yet." in browser.get("/statements").text
    bare.api(bare.key("finance")).post("/v1/accounts", json={"account": "new"})
    page = browser.get("/statements", params={"account": "new"}).text
    assert "Nothing is booked in this account yet." in page
    assert looked_at(browser, "/statements/new/2026-10").amount("closing") == "0.00"


def test_what_is_left_out_is_said(bare: Pages) -> None:
    more: dict[str, Any] = {"model": "deepseek-flash"}
    calls = [
        an_event(f"c{n}", "2026-10-18T12:00:00Z", project=f"p{n}", output=1000 + n, **more) for n in range(MOST + 2)
    ]
    record_and_post(bare.engine, *calls, now=NOW)
    browser = bare.browser(bare.key("read"))
    page = browser.get("/statements/default/2026-10").text
    rows = Read(page).body("project-table")
    assert [row[0] for row in rows] == [f"p{n}" for n in reversed(range(2, MOST + 2))], "what cost the most"
    assert "2 others are not shown here; they are in the files." in page
    assert "2 others are in the total, and not shown here." in page
    bare.clock[0] = bare.clock[0].replace(year=2028)
    browser = bare.browser(bare.key("read"))
    first = Read(browser.get("/statements").text).body("months-table")
    link = re.findall(r'href="(/statements\?[^"]*before=[^"]*)"', browser.get("/statements").text)[0]
    older = Read(browser.get(link.replace("&amp;", "&")).text).body("months-table")
    assert (len(first), first[0][0], older[0][0]) == (12, "November 2028", "November 2027")
