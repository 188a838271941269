"""Closing a month by a page: what it says, who may, what refuses it, and that nothing else does it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from costmeter.services.freeze_account import freeze_account
from costmeter.store import closings
from costmeter.store.engine import reading
from tests.make import an_event, record_and_post, top_up
from tests.web.books import NOW
from tests.web.reading import Read
from tests.web.serving import Browser, Pages, paged
from tests.web.test_overview import ask

PATH = "/statements/default/2026-10/close"
WHY = "the call of the preview is priced with the next month"


@pytest.fixture
def october(sqlite_url: str) -> Iterator[Pages]:
    """A month that is ready to be closed."""
    with paged(sqlite_url, NOW) as pages:
        top_up(pages.engine, "5.00", "2026-10-01T00:00:00Z", now=NOW)
        record_and_post(pages.engine, an_event("one", "2026-10-18T12:00:00Z", model="deepseek-flash"), now=NOW)
        yield pages


@pytest.fixture
def blocked(october: Pages) -> Pages:
    """The same with something that can be overridden against it."""
    record_and_post(october.engine, an_event("x", "2026-10-20T12:00:00Z", model="deepseek-x"), now=NOW)
    return october


def is_closed(pages: Pages, month: str = "2026-10") -> bool:
    with reading(pages.engine) as connection:
        return closings.get(connection, "default", month) is not None


def fill_in(browser: Browser, key: str | None, path: str = PATH, **more: str) -> dict[str, str]:
    """The form as somebody sends it."""
    return {"form": browser.form(path)} | ({} if key is None else {"key": key}) | more


def test_a_month_is_closed_once_and_audited(october: Pages) -> None:
    key = october.key("finance")
    browser = october.browser(key)
    page = browser.get(PATH).text
    assert Read(page).amount("cost") == "0.60"
    assert Read(page).amount("closing") == "4.40"
    assert "Close October 2026 for good" in page
    assert 'name="override"' not in page, "nothing is to be overridden"
    assert not is_closed(october), "a GET changes nothing"
    form = fill_in(browser, key)
    answer = browser.submit(PATH, form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/statements/default/2026-10?did=closed")
    shown = browser.get(answer.headers["location"]).text
    assert "The month is closed. It never changes again" in shown
    told = ask(october.api(key), "statements/default/2026-10")
    assert Read(shown).marked["sha256"] == told["closing"]["sha256"]
    assert told["closing"]["by"] == "key finance-1"
    assert told["closing"]["override"] is None
    assert "/close" not in shown, "a closed month offers no close"
    audit = october.api(october.key("admin")).get("/v1/audit").json()["data"]
    assert [(one["by"], one["subject"]) for one in audit if one["action"] == "month.close"] == [
        ("key finance-1", "2026-10")
    ]
    for again in (browser.get(PATH), browser.submit(PATH, form)):
        assert again.headers["location"] == "/statements/default/2026-10?did=was_closed"
    assert ask(october.api(key), "statements/default/2026-10") == told


def test_an_override_takes_a_reason(blocked: Pages) -> None:
    key = blocked.key("finance")
    browser = blocked.browser(key)
    page = browser.get(PATH)
    assert Read(page.text).marked["unpriced"].startswith("1 call is unpriced")
    assert 'href="/prices"' in page.text
    assert "can be overridden" in page.text
    for reason in ("", "  "):
        refused = browser.submit(PATH, fill_in(browser, key, override=reason))
        assert (refused.status_code, "1 call is unpriced" in refused.text) == (409, True)
    too_long = browser.submit(PATH, fill_in(browser, key, override="x" * 300))
    assert (too_long.status_code, "1 to 256 characters" in too_long.text) == (422, True)
    assert "x" * 300 in too_long.text, "nothing that was filled in is lost"
    assert not is_closed(blocked)
    assert browser.submit(PATH, fill_in(browser, key, override=WHY)).status_code == 303
    override = ask(blocked.api(key), "statements/default/2026-10")["closing"]["override"]
    assert (override["by"], override["reason"]) == ("key finance-1", WHY)
    assert override["blockers"][0].startswith("1 call is unpriced")


def test_what_is_not_over_or_not_next_is_not_closed(october: Pages) -> None:
    key = october.key("finance")
    browser = october.browser(key)
    form = fill_in(browser, key, override=WHY)
    november = "/statements/default/2026-11/close"
    page = browser.get(november).text
    assert "the month ends at 2026-12-01T00:00:00Z" in page
    assert 'href="/statements/default/2026-10/close?timezone=UTC"' in page, "what solves it"
    assert "<button>Close" not in page
    refused = browser.submit(november, form)
    assert (refused.status_code, "2026-10 comes first" in refused.text) == (409, True)
    assert not is_closed(october, "2026-11")


def test_late_calls_are_waited_for(sqlite_url: str) -> None:
    with paged(sqlite_url, "2026-11-03T00:00:00Z") as pages:
        record_and_post(pages.engine, an_event("one", "2026-10-18T12:00:00Z", model="deepseek-flash"), now=NOW)
        key = pages.key("finance")
        browser = pages.browser(key)
        assert "late calls are waited for until 2026-11-04T00:00:00Z" in browser.get(PATH).text
        assert browser.submit(PATH, fill_in(browser, key)).status_code == 409
        assert not is_closed(pages)
        pages.wait(timedelta(hours=11))
        assert browser.submit(PATH, fill_in(browser, key, override=WHY)).status_code == 303
        assert is_closed(pages)


def test_a_frozen_account_is_not_closed(october: Pages) -> None:
    freeze_account(october.engine, "default", by="verify", reason="promise 6", now=october.clock[0])
    key = october.key("finance")
    browser = october.browser(key)
    page = browser.get(PATH).text
    assert "the account is frozen since" in page
    assert 'href="/operations"' in page
    assert "<button>Close" not in page


def test_who_may_not(october: Pages) -> None:
    finance = october.key("finance")
    browser = october.browser(finance)
    form = fill_in(browser, finance)
    for key, status in (
        (october.key("read"), 403),
        (october.key("finance", accounts=["other"]), 403),
        (october.key("finance", accounts=["default"], projects=["p"]), 403),
    ):
        other = october.browser(key)
        own = {"form": other.form("/statements/exports"), "key": key}
        assert (other.get(PATH).status_code, other.submit(PATH, own).status_code) == (status, status)
    stranger = october.browser()
    assert stranger.get(PATH).headers["location"].startswith("/sign-in?next=")
    assert stranger.submit(PATH, form).headers["location"] == "/sign-in"
    assert not is_closed(october)
    limited = october.key("finance", accounts=["default"])
    allowed = october.browser(limited)
    assert allowed.submit(PATH, fill_in(allowed, limited)).status_code == 303
    assert is_closed(october)


def test_a_form_without_its_token_or_key_changes_nothing(blocked: Pages) -> None:
    key, other = blocked.key("finance"), blocked.key("finance")
    browser, theirs = blocked.browser(key), blocked.browser(other)
    good = fill_in(browser, key, override=WHY)
    wrong = [
        good | {"form": ""},
        good | {"form": theirs.form(PATH)},
        good | {"key": ""},
        good | {"key": key[:-1]},
        good | {"key": other},
    ]
    for form in wrong:
        refused = browser.submit(PATH, form)
        assert refused.status_code == 403
        assert 'role="alert"' in refused.text
        assert WHY in refused.text, "nothing that was filled in is lost"
    elsewhere = browser.post(PATH, data=good, headers={"Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 403
    assert not is_closed(blocked)
    assert browser.submit(PATH, good).status_code == 303


def test_there_is_no_such_month(october: Pages) -> None:
    browser = october.browser(october.key("finance"))
    for path, status in (("default/2026-09", 404), ("default/2027-01", 404), ("default/x", 422), ("no/2026-10", 404)):
        assert browser.get(f"/statements/{path}/close").status_code == status


def test_the_machines_own_user_has_no_key_to_give(sqlite_url: str) -> None:
    with paged(sqlite_url, NOW, local=True) as pages:
        record_and_post(pages.engine, an_event("one", "2026-10-18T12:00:00Z", model="deepseek-flash"), now=NOW)
        browser = pages.browser()
        assert 'name="key"' not in browser.get(PATH).text
        assert browser.submit(PATH, fill_in(browser, None)).status_code == 303
        with reading(pages.engine) as connection:
            closing = closings.get(connection, "default", "2026-10")
        assert closing is not None
        assert closing.by_whom == "local user"
