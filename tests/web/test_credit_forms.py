"""Credits are added and taken back by forms: under the key's name, once, and by nobody else."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.make import an_event, record_and_post, top_up
from tests.web.books import NOW
from tests.web.reading import Read
from tests.web.serving import Browser, Pages, paged

NEW, VOID = "/balance/credits/new", "/balance/credits/void"
CREDIT = {"account": "default", "kind": "topped_up", "amount": "100.00", "reference": "invoice-1", "timezone": "UTC"}
TAKEN = {"account": "default", "reference": "invoice-0", "reason": "entered twice", "timezone": "UTC"}


@pytest.fixture
def own(bare: Pages) -> Pages:
    top_up(bare.engine, "5.00", "2026-11-01T00:00:00Z", now=NOW, reference="invoice-0")
    return bare


def send(browser: Browser, key: str, path: str, said: dict[str, str], **more: str) -> httpx.Response:
    """Fill in the form of a page and send it."""
    asked = f"{path}?account=default&reference=invoice-0"
    return browser.submit(path, said | {"form": browser.form(asked), "key": key} | more)


def credits(pages: Pages) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pages.api(pages.key("read")).get("/v1/accounts/default/credits").json()["data"]
    return found


def audited(pages: Pages) -> list[tuple[str, str, str]]:
    """Who did what to which credit."""
    with pages.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT by_whom, action, subject FROM audit_entry ORDER BY entry").all()
    return [(row[0], row[1], row[2]) for row in rows if row[1].startswith("credit.")]


def test_a_credit_is_added_as_the_api_adds_it(own: Pages) -> None:
    key = own.key("finance")
    browser = own.browser(key)
    answer = send(browser, key, NEW, CREDIT | {"effective_at": "2026-11-02T08:00", "timezone": "Asia/Shanghai"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/balance?account=default&timezone=Asia%2FShanghai&did=credit_added"
    added = credits(own)[-1]
    assert (added["amount"], added["kind"], added["reference"]) == ("100.00", "topped_up", "invoice-1")
    assert added["effective_at"] == "2026-11-02T00:00:00Z"
    assert audited(own)[-1] == ("key finance-1", "credit.add", "invoice-1")
    page = browser.get(answer.headers["location"])
    assert "The credit is added." in page.text
    assert Read(page.text).body("credits-table")[0][0] == "invoice-1"


def test_sent_again_it_is_added_once(own: Pages) -> None:
    key = own.key("finance")
    browser = own.browser(key)
    assert send(browser, key, NEW, CREDIT).status_code == 303
    again = send(browser, key, NEW, CREDIT)
    assert "did=credit_known" in again.headers["location"]
    assert "was there already" in browser.get(again.headers["location"]).text
    other = send(browser, key, NEW, CREDIT | {"amount": "99.00"})
    assert other.status_code == 409
    assert "was used before for another credit" in other.text
    assert 'value="99.00"' in other.text
    assert [one["amount"] for one in credits(own)] == ["5.00", "100.00"]


def test_the_first_credit_makes_the_account(own: Pages) -> None:
    key = own.key("finance")
    browser = own.browser(key)
    assert send(browser, key, NEW, CREDIT | {"account": "new one"}).status_code == 303
    assert Read(browser.get("/balance", params={"account": "new one"}).text).amount("total_balance") == "100.00"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"amount": "a hundred"}, "amount"),
        ({"amount": "-1"}, "a credit gives more than 0"),
        ({"amount": ""}, "amount"),
        ({"kind": "gift"}, "granted, topped_up"),
        ({"reference": " "}, "reference: is missing"),
        ({"expires_at": "2026-12-01T00:00"}, "topped-up balance does not expire"),
        ({"kind": "granted", "expires_at": "2026-11-01T00:00"}, "must be after effective_at"),
        ({"effective_at": "soon"}, "effective_at"),
        ({"effective_at": "2026-03-29T02:30", "timezone": "Europe/Berlin"}, "no single instant"),
        ({"effective_at": "2026-10-25T02:30", "timezone": "Europe/Berlin"}, "no single instant"),
        ({"account": " "}, "account"),
    ],
)
def test_what_is_wrong_is_told_on_the_form_and_nothing_is_lost(own: Pages, changed: dict[str, str], says: str) -> None:
    key = own.key("finance")
    browser = own.browser(key)
    said = CREDIT | {"reference": "kept <i>"} | changed
    answer = send(browser, key, NEW, said)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert says in answer.text.split('role="alert"', 1)[1].split("</p>", 1)[0]
    if "reference" not in changed:
        assert 'value="kept &lt;i&gt;"' in answer.text
    assert len(credits(own)) == 1


def test_a_credit_is_voided_as_the_api_voids_it(own: Pages) -> None:
    record_and_post(own.engine, an_event("a", "2026-11-17T12:00:00Z", model="deepseek-flash"), now=NOW)
    key = own.key("finance")
    browser = own.browser(key)
    seen = Read(browser.get(VOID, params={"account": "default", "reference": "invoice-0"}).text)
    assert (seen.amount("amount"), seen.amount("remaining")) == ("5.00", "4.40")
    answer = send(browser, key, VOID, TAKEN)
    assert answer.status_code == 303
    page = browser.get(answer.headers["location"])
    assert "The credit is taken back" in page.text
    (credit,) = credits(own)
    assert credit["voided"] == {"at": NOW, "by": "key finance-1", "reason": "entered twice"}
    assert audited(own)[-1] == ("key finance-1", "credit.void", "invoice-0")
    form = browser.get(VOID, params={"account": "default", "reference": "invoice-0"})
    assert "It was voided before" in form.text
    assert 'name="key"' not in form.text


def test_a_void_without_a_reason_or_done_before_is_told_on_the_form(own: Pages) -> None:
    key = own.key("finance")
    browser = own.browser(key)
    token = browser.form(f"{NEW}?account=default")
    said = TAKEN | {"form": token, "key": key}
    refused = browser.submit(VOID, said | {"reason": " "})
    assert refused.status_code == 422
    assert "reason" in refused.text
    assert browser.submit(VOID, said).status_code == 303
    again = browser.submit(VOID, said)
    assert again.status_code == 409
    assert "was voided before" in again.text
    assert browser.submit(VOID, said | {"reference": "nothing"}).status_code == 404


@pytest.mark.parametrize(("path", "said"), [(NEW, CREDIT), (VOID, TAKEN)])
def test_nobody_else_changes_anything(own: Pages, path: str, said: dict[str, str]) -> None:
    key, other = own.key("finance"), own.key("finance")
    browser = own.browser(key)
    token, of_other = (one.form(f"{NEW}?account=default") for one in (browser, own.browser(other)))
    mine = own.browser(own.key("finance", accounts=["elsewhere"]))
    limited = own.browser(own.key("finance", accounts=["default"], projects=["search"]))
    reader = own.browser(own.key("read"))
    before = len(audited(own)), credits(own)
    for form in ({}, {"form": ""}, {"form": of_other}):
        assert browser.submit(path, said | {"key": key} | form).status_code == 403
    for wrong in ("", "cm_0", other):
        answer = browser.submit(path, said | {"form": token, "key": wrong})
        assert answer.status_code == 403
        assert "not the key that you signed in with" in answer.text
    elsewhere = browser.submit(path, said | {"form": token, "key": key}, **{"Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 403
    asked = {"account": "default", "reference": "invoice-0"}
    for one in (mine, limited, reader):
        assert one.get(path, params=asked).status_code == 403
        assert one.submit(path, said | {"form": token, "key": key}).status_code == 403
    assert own.browser().submit(path, said).headers["location"] == "/sign-in"
    for _ in range(2):
        assert browser.get(path, params=asked | said | {"key": key, "form": token}).status_code == 200
    assert (len(audited(own)), credits(own)) == before


def test_the_machines_own_user_gives_no_key(sqlite_url: str) -> None:
    with paged(sqlite_url, NOW, local=True) as pages:
        browser = pages.browser()
        answer = browser.get(NEW)
        assert 'name="key"' not in answer.text
        sent = browser.submit(NEW, CREDIT | {"form": browser.form(NEW)})
        assert sent.status_code == 303
        assert Read(browser.get(sent.headers["location"]).text).amount("total_balance") == "100.00"
