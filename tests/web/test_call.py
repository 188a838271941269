"""The page of a call: what it says of every way in which a cost comes about, or does not."""

from __future__ import annotations

from datetime import timedelta
from html import escape, unescape
from typing import Any

import pytest

from costmeter.core.money import format_amount, parse_total
from costmeter.services.close_month import close_month
from costmeter.services.freeze_account import freeze_account
from tests.make import an_event, an_unmetered, at, grant, record, record_and_post, top_up
from tests.web.books import NOW
from tests.web.reading import Read, plain
from tests.web.serving import Pages

FLASH: dict[str, Any] = {"model": "deepseek-flash"}
FAILED_CALL = an_event("x", "2026-11-17T12:00:00Z", status="failed", http_status=503, **FLASH) | {"usage": None}


def seen(pages: Pages, event_id: str, account: str = "default", **more: str) -> tuple[str, Read]:
    answer = pages.browser(pages.key("read")).get(f"/calls/{event_id}", params={"account": account, **more})
    assert answer.status_code == 200, answer.text
    return answer.text, Read(answer.text)


def test_every_number_is_the_apis(site: Pages) -> None:
    browser, api = site.browser(site.key("read")), site.api(site.key("read"))
    calls = api.get("/v1/events", params={"account": "shop", "limit": 12}).json()["data"]
    for event_id in [call["event_id"] for call in calls if call["charge"]]:
        told = api.get(f"/v1/events/{event_id}", params={"account": "shop"}).json()["charge"]
        page = browser.get(f"/calls/{event_id}", params={"account": "shop"}).text
        read = Read(page)
        assert read.amount("cost") == told["cost"]
        *lines, total = read.body("lines")
        expected = [
            [str(one["quantity"]), one["unit"], one["rate"], str(one["per"]), one["amount"]] for one in told["lines"]
        ]
        shown = [[*row[1].split(), row[2].split()[0], row[2].split()[2], row[3]] for row in lines]
        assert shown == expected
        assert total == ["Cost", told["cost"]]
        assert sum(parse_total(row[3]) for row in lines) == parse_total(told["cost"])
        paid = {row[0]: row[-1] for row in read.body("paid-table")}
        assert [paid[{"granted": "Granted", "topped_up": "Topped up"}[one["kind"]]] for one in told["deductions"]] == [
            one["amount"] for one in told["deductions"]
        ]
        for said in (told["tariff"], told["tariff_in_full"]["checked"], told["edition"]):
            assert said in page


def test_a_call_that_two_credits_and_nobody_paid(bare: Pages) -> None:
    grant(bare.engine, "0.25", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", reference="welcome", now=NOW)
    top_up(bare.engine, "0.10", "2026-11-02T00:00:00Z", reference="invoice-1", now=NOW)
    record_and_post(bare.engine, an_event("both", "2026-11-07T12:00:00Z", **FLASH), now=NOW)
    rows = seen(bare, "both")[1].body("paid-table")
    assert [(row[0], row[-1]) for row in rows] == [
        ("Granted", "0.25"), ("Topped up", "0.10"), ("Overdraft", "0.25"), ("Cost", "0.60"),
    ]  # fmt: skip
    assert [row[1].split()[0] for row in rows[:2]] == ["welcome", "invoice-1"]
    assert rows[0][3] == "2026-12-01 00:00:00"
    assert rows[1][3] == "never"


def test_reversals_stay_to_be_seen(bare: Pages) -> None:
    top_up(bare.engine, "5.00", "2026-11-01T00:00:00Z", now=NOW)
    record_and_post(bare.engine, an_event("moved", "2026-11-07T12:00:00Z", **FLASH), now=NOW)
    grant(bare.engine, "0.50", "2026-11-02T00:00:00Z", now="2026-11-18T09:25:00Z")
    page, read = seen(bare, "moved")
    rows = read.body("booked-table")
    assert [(row[1], row[3], row[4], row[-1]) for row in rows] == [
        ("charge", "0.00", "0.60", "0.60"), ("reversal", "0.00", "-0.60", "-0.60"), ("charge", "0.50", "0.10", "0.60"),
    ]  # fmt: skip
    assert format_amount(sum(parse_total(row[-1]) for row in rows)) == read.amount("cost")
    assert "Nothing that was booked is changed" in page


def test_a_late_call_says_which_closed_month_it_is_of(bare: Pages) -> None:
    record_and_post(bare.engine, an_event("early", "2026-10-07T12:00:00Z", **FLASH), now=NOW)
    close_month(bare.engine, "default", "2026-10", by="ada", grace=timedelta(0), now=at(NOW))
    record_and_post(bare.engine, an_event("late", "2026-10-08T12:00:00Z", **FLASH), now=NOW)
    page, read = seen(bare, "late")
    assert "billing month November 2026" in page
    assert "for October 2026, which is closed" in page
    assert read.body("booked-table")[0][2] == "2026-11 adjusts 2026-10"
    assert read.body("paid-table")[0][0] == "Untracked"


def test_a_clock_in_doubt_says_how_much_depends_on_it(bare: Pages) -> None:
    near = an_event("near", "2026-11-17T03:59:59Z", detail={"clock_offset_seconds": 1.5}, **FLASH)
    record_and_post(bare.engine, near, now=NOW)
    page, read = seen(bare, "near")
    assert "1.5 s from the recorder" in page
    assert read.amount("cost") == "1.20"
    assert (
        plain(page.split("to a change: ")[1].split(" depend")[0].replace('<span class="amount">', "").split("<")[0])
        == "0.60"
    )


@pytest.mark.parametrize(
    ("event", "shown", "says"),
    [
        (an_event("x", "2026-11-17T12:00:00Z", model="deepseek-x"), "unpriced", "no model"),
        (an_unmetered("x", "2026-11-17T12:00:00Z", **FLASH), "unmetered", "DeepSeek may have charged for it"),
        (FAILED_CALL, "failed", "does not charge those"),
    ],
)  # fmt: skip
def test_a_call_without_a_cost_says_why(bare: Pages, event: dict[str, Any], shown: str, says: str) -> None:
    record_and_post(bare.engine, event, now=NOW)
    page, read = seen(bare, "x")
    assert read.marked["cost"] == shown
    assert says in page
    assert "lines" not in read.tables
    assert "paid-table" not in read.tables


def test_a_call_that_waits_to_be_posted(bare: Pages) -> None:
    top_up(bare.engine, "5.00", "2026-11-01T00:00:00Z", now=NOW)
    freeze_account(bare.engine, "default", by="verify", reason="promise 6", now=at(NOW))
    record(bare.engine, an_event("x", "2026-11-17T12:00:00Z", **FLASH), now=NOW)
    page, read = seen(bare, "x")
    assert read.marked["cost"] == "not posted yet"
    assert "unless its account is frozen" in page


def test_any_call_has_a_page(bare: Pages) -> None:
    """Whatever its id is made of; one without an id is known by another that it got."""
    ids = ["a/b", "a?b=c", "#1", "a b", "%2F", "ünï", "a&account=labs", "<b>", None]
    record_and_post(bare.engine, *(an_event(one, "2026-11-17T12:00:00Z", **FLASH) for one in ids), now=NOW)
    browser = bare.browser(bare.key("read"))
    latest = browser.get("/").text.split('id="calls-table"')[1]
    links = [part.split('"')[0] for part in latest.split('<th scope="row"><a href="')[1:]]
    assert len(links) == len(ids)
    for link, event_id in zip(links, reversed(ids), strict=True):
        answer = browser.get(unescape(link))
        assert answer.status_code == 200
        assert Read(answer.text).amount("cost") == "0.60"
        assert f"<bdi>{escape(event_id or '')}" in answer.text


def test_who_may_see_it(site: Pages) -> None:
    api = site.api(site.key("read"))
    calls = api.get("/v1/events", params={"account": "shop", "limit": 30}).json()["data"]
    mine, other = (next(call for call in calls if call["project"] == name) for name in ("search", "support"))
    path, asked = "/calls/{}", {"account": "shop"}
    of_account = site.browser(site.key("read", accounts=["labs"]))
    assert of_account.get(path.format(mine["event_id"]), params=asked).status_code == 403
    assert of_account.get(path.format(mine["event_id"])).status_code == 404
    of_project = site.browser(site.key("read", accounts=["shop"], projects=["search"]))
    assert of_project.get(path.format(other["event_id"])).status_code == 403
    page = of_project.get(path.format(mine["event_id"])).text
    assert "invoice-1017" not in page, "a credit is of the whole account"
    assert "invoice-1017" in site.browser(site.key("read")).get(path.format(mine["event_id"]), params=asked).text
    assert of_project.get(path.format("none")).status_code == 404
    assert of_project.get(path.format(mine["event_id"]), params={"timezone": "Mars"}).status_code == 422
