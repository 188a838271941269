"""Budgets are added, changed and removed by forms: what they ask, what they do, and who may not."""

from __future__ import annotations

from typing import Any

import pytest

from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.store import audit
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from tests.make import at, set_up_account
from tests.web.books import NOW
from tests.web.serving import Browser, Pages

SAID = {
    "account": "default", "budget": "search", "amount": "100.00", "unit": "money", "per": "month",
    "where": "project=search\r\nmodel=deepseek-flash", "at": "50%, 90.00", "forecast": "110%", "stops": "yes",
    "timezone": "Asia/Shanghai", "from": "2026-11-01T00:00", "to": "", "channels": "ops, finance", "shown": "",
}  # fmt: skip
PATHS = ["/budgets/-/add", "/budgets/all/edit", "/budgets/all/remove"]


def add(pages: Pages, name: str, **more: Any) -> None:
    said: dict[str, Any] = {"account": "default", "per": "month", "amount": "100.00"} | more
    account = said.pop("account")
    add_budget(pages.engine, NewBudget(account, name, **said), by="root", home=Home(), now=at(NOW))


def budgets(pages: Pages) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pages.api(pages.key("read")).get("/v1/budgets").json()["data"]
    return found


def logged(pages: Pages) -> list[tuple[str, str, str]]:
    with reading(pages.engine) as connection:
        found = audit.listed(connection, limit=50)
    return [(one.action, one.subject, one.by_whom) for one in found if one.action.startswith("budget.")][::-1]


def signed_in(pages: Pages, *roles: str, **more: Any) -> tuple[Browser, dict[str, str]]:
    """A browser, and what every form of it brings back."""
    key = pages.key(*(roles or ("finance",)), **more)
    browser = pages.browser(key)
    return browser, {"form": browser.form("/budgets"), "key": key}


def test_a_budget_is_added_as_it_is_asked_for(bare: Pages) -> None:
    browser, own = signed_in(bare)
    asked = browser.get("/budgets/-/add")
    assert asked.status_code == 200
    assert budgets(bare) == [], "a form changes nothing"
    done = browser.submit("/budgets/-/add", SAID | own)
    assert (done.status_code, done.headers["location"]) == (303, "/budgets/search?account=default&did=budget-added")
    page = browser.get(done.headers["location"]).text
    assert "The budget is added." in page
    (found,) = budgets(bare)
    wanted = {
        "account": "default", "budget": "search", "filters": {"model": "deepseek-flash", "project": "search"},
        "per": "month", "timezone": "Asia/Shanghai", "unit": "USD", "amount": "100.00",
        "thresholds": ["50%", "90.00", "forecast 110%"], "stops": True, "starts_at": "2026-10-31T16:00:00Z",
        "ends_at": None, "channels": ["finance", "ops"], "created_by": "key finance-1",
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
    assert logged(bare) == [("budget.add", "search", "key finance-1")]
    again = browser.submit("/budgets/-/add", SAID | own)
    assert again.headers["location"].endswith("did=budget-as-it-was")
    assert len(budgets(bare)) == len(logged(bare)) == 1


def test_its_form_has_all_that_it_says_and_changes_it(bare: Pages) -> None:
    browser, own = signed_in(bare)
    browser.submit("/budgets/-/add", SAID | own)
    page = browser.get("/budgets/search/edit").text
    for shown in ('value="100.00"', 'value="month"', 'value="50%, 90.00"', 'value="110%"', 'value="2026-11-01T00:00"',
                  'value="finance, ops"', "model=deepseek-flash\nproject=search", 'value="yes" checked'):  # fmt: skip
        assert shown in page, shown
    same = browser.submit("/budgets/search/edit", SAID | own)
    assert same.headers["location"] == "/budgets/search?account=default&did=budget-as-it-was"
    tokens = SAID | own | {"unit": "tokens", "amount": "5,000,000", "at": "", "forecast": "", "stops": "", "from": ""}
    done = browser.submit("/budgets/search/edit", tokens)
    assert done.headers["location"] == "/budgets/search?account=default&did=budget-changed"
    assert "The budget is changed." in browser.get(done.headers["location"]).text
    (found,) = budgets(bare)
    assert (found["unit"], found["amount"], found["thresholds"], found["stops"]) == ("tokens", "5000000", [], False)
    assert found["starts_at"] == "2026-10-31T16:00:00Z", "left empty it is as it was"
    assert [one[0] for one in logged(bare)] == ["budget.add", "budget.remove", "budget.add"]


def test_it_is_removed(bare: Pages) -> None:
    add(bare, "all", stops=True)
    browser, own = signed_in(bare)
    page = browser.get("/budgets/all/remove").text
    assert "what is reserved of it is let go" in page
    assert len(budgets(bare)) == 1
    done = browser.submit("/budgets/all/remove", {"account": "default"} | own)
    assert (done.status_code, done.headers["location"]) == (303, "/budgets?account=default&did=budget-removed")
    assert "The budget is removed." in browser.get(done.headers["location"]).text
    assert budgets(bare) == []
    assert logged(bare)[-1] == ("budget.remove", "all", "key finance-1")
    assert browser.submit("/budgets/all/remove", {"account": "default"} | own).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "field", "says", "status"),
    [
        ({"amount": ""}, "amount", "is missing", 422),
        ({"amount": "1e3"}, "amount", "decimal string", 422),
        ({"amount": "1.5", "unit": "tokens"}, "amount", "whole number of tokens", 422),
        ({"budget": "<b>"}, "budget", "1 to 64 letters", 422),
        ({"per": "moon"}, "per", "use one of day", 422),
        ({"where": "colour=red"}, "where", "write KEY=VALUE", 422),
        ({"at": "80%, 0%"}, "at", "more than 0%", 422),
        ({"forecast": "x"}, "forecast", "decimal string", 422),
        ({"timezone": "Mars"}, "timezone", "no IANA time zone", 422),
        ({"from": "2026-11-01T00:01"}, "from", "quarter hour", 422),
        ({"to": "2026-10-01T00:00"}, "to", "must be after", 422),
        ({"to": "2026-02-30T00:00"}, "to", "RFC 3339", 422),
        ({"to": "2027-03-14T02:30", "timezone": "America/New_York"}, "to", "is no single instant on the clock", 422),
        ({"to": "2027-11-07T01:30", "timezone": "America/New_York"}, "to", "is no single instant on the clock", 422),
        ({"budget": "all"}, "budget", "another budget already", 409),
        ({"account": "a" * 65}, "account", "64", 422),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(
    bare: Pages, wrong: dict[str, str], field: str, says: str, status: int
) -> None:
    add(bare, "all")
    browser, own = signed_in(bare)
    answer = browser.submit("/budgets/-/add", SAID | wrong | own)
    assert answer.status_code == status, answer.text
    assert f'id="{field}-wrong"' in answer.text
    assert says in answer.text
    assert f'href="#{field}"' in answer.text
    for kept in ("project=search\nmodel=deepseek-flash", 'value="110%"'):
        assert kept in answer.text or field in ("where", "forecast")
    assert own["key"] not in answer.text
    assert [one["budget"] for one in budgets(bare)] == ["all"]


def forms(own: dict[str, str]) -> dict[str, dict[str, str]]:
    return {path: SAID | {"budget": "new"} | own for path in PATHS}


@pytest.mark.parametrize("path", PATHS)
def test_without_the_right_token_and_key_nothing_is_changed(bare: Pages, path: str) -> None:
    add(bare, "all")
    before, noted = budgets(bare), logged(bare)
    browser, own = signed_in(bare)
    other, theirs = signed_in(bare)
    form = forms(own)[path]
    for wrong in ({"form": ""}, {"form": theirs["form"]}, {"key": ""}, {"key": "x"}, {"key": theirs["key"]}):
        refused = browser.submit(path, form | wrong)
        assert refused.status_code == 403, wrong
        assert 'role="alert"' in refused.text
    assert browser.post(path, data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert bare.browser().submit(path, form).headers["location"] == "/sign-in"
    assert other.submit(path, form).status_code == 403
    assert (budgets(bare), logged(bare)) == (before, noted)


@pytest.mark.parametrize("path", PATHS)
def test_who_may_not_change_does_not(bare: Pages, path: str) -> None:
    add(bare, "all")
    set_up_account(bare.engine, "other", now=NOW)
    before = budgets(bare)
    for roles, more in ((("read",), {}), (("finance",), {"accounts": ["other"]}), (("finance",), {"projects": ["p"]})):
        key = bare.key(*roles, **more)
        browser = bare.browser(key)
        token = browser.form("/budgets") if "projects" not in more else browser.form("/")
        form = forms({"form": token, "key": key})[path]
        if path != "/budgets/-/add" or roles == ("read",) or "projects" in more:
            assert browser.get(path, params={"account": "default"}).status_code == 403
        assert browser.submit(path, form).status_code == 403, (roles, more)
    assert budgets(bare) == before


def test_a_key_of_an_account_changes_its_own(bare: Pages) -> None:
    set_up_account(bare.engine, "mine", now=NOW)
    set_up_account(bare.engine, "theirs", now=NOW)
    browser, own = signed_in(bare, accounts=["mine"])
    page = browser.get("/budgets/-/add").text
    assert "theirs" not in page
    assert browser.submit("/budgets/-/add", SAID | own | {"account": "mine"}).status_code == 303
    assert [(one["account"], one["budget"]) for one in budgets(bare)] == [("mine", "search")]


def test_a_name_as_odd_as_may_be(bare: Pages) -> None:
    browser, own = signed_in(bare)
    name = "\u00e9 a+b: 50@x-1"
    done = browser.submit("/budgets/-/add", SAID | own | {"budget": name})
    assert done.status_code == 303
    page = browser.get(done.headers["location"])
    assert page.status_code == 200
    assert f"<bdi>{name}</bdi>" in page.text
    link = page.text.split("/edit?")[0].rsplit('href="', 1)[1] + "/edit?account=default"
    assert browser.get(link).status_code == 200
