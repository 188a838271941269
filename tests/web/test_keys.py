"""Keys on pages: the API's list, and making, rotating, limiting and revoking them by forms."""

from __future__ import annotations

import logging
from datetime import timedelta
from html import unescape

import httpx
import pytest
from sqlalchemy import Engine, inspect, text

from costmeter.reports.keys import PAGE
from costmeter.services.create_key import NewKey, create_key
from costmeter.store import api_keys
from costmeter.store.api_keys import ApiKey
from costmeter.store.engine import reading
from tests.make import an_event, record_and_post
from tests.web.books import NOW
from tests.web.changing import check_guards, logged, send, token_of
from tests.web.operating import make_keys
from tests.web.reading import Read
from tests.web.serving import Browser, Pages

NEW = {"name": "backend", "role_ingest": "on", "accounts": "shop\nlabs\n", "expires_on": "2026-12-01",
       "timezone": "Asia/Shanghai"}  # fmt: skip


def keys_of(pages: Pages, name: str | None = None) -> list[ApiKey]:
    with reading(pages.engine) as connection:
        return [key for key in api_keys.listed(connection) if name in (None, key.name)]


def everything_stored(engine: Engine) -> str:
    """Every value of every table as text."""
    with engine.connect() as connection:
        tables = inspect(engine).get_table_names()
        return "\n".join(str(row) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}")))


def key_in(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return Read(answer.text).marked["key"].strip()


def opens(pages: Pages, key: str) -> bool:
    return pages.api(key).get("/v1/accounts").status_code != 401


def test_the_list_is_the_apis(bare: Pages) -> None:
    make_keys(bare.engine)
    key = bare.key("admin")
    browser, told = bare.browser(key), bare.api(key).get("/v1/keys").json()["data"]
    shown = Read(browser.get("/keys", params={"state": "all"}).text).body("keys-table")
    assert [row[0].split()[0] for row in shown] == [one["name"] for one in told]
    assert [row[0].split()[-1] for row in shown] == [one["key_id"] for one in told]
    for row, one in zip(shown, told, strict=True):
        assert row[1] == ", ".join(one["roles"])
        assert row[2:4] == [", ".join(one[names] or ["all"]) for names in ("accounts", "projects")]
        assert (row[8] == "active") == one["active"]
    by_name = {row[0].split()[0]: row for row in shown}
    assert by_name["u-17"][4] == "60 a minute, 4 at once"
    assert by_name["search-team"][6] == "2027-01-01 00:00:00"
    assert by_name["old-laptop"][8] == "revoked"
    for state, are in (("active", True), ("ended", False)):
        listed = Read(browser.get("/keys", params={"state": state}).text).body("keys-table")
        assert [row[0].split()[0] for row in listed] == [one["name"] for one in told if one["active"] == are]
    assert "Rotate" not in by_name["old-laptop"][9]
    assert ("Limit" in by_name["u-17"][9], "Limit" in by_name["grafana"][9]) == (True, False)


def test_the_last_call_through_the_gateway_is_known(bare: Pages) -> None:
    """It records its calls under the name of the key that they came by."""
    make_keys(bare.engine)
    for day in ("02", "14"):
        completed = f"2026-11-{day}T12:00:00Z"
        event = an_event(f"call-{day}", completed, api_key="u-17", model="deepseek-flash", account="shop")
        record_and_post(bare.engine, event, now=NOW)
    rows = Read(bare.browser(bare.key("admin")).get("/keys").text).body("keys-table")
    assert {row[0].split()[0]: row[7] for row in rows if row[7] != "none known"} == {"u-17": "2026-11-14"}


def test_many_keys_come_in_pages(bare: Pages) -> None:
    for number in range(PAGE + 2):
        create_key(bare.engine, NewKey(f"k{number:03}", ("read",)), by="root", now=bare.clock[0])
    browser = bare.browser(bare.key("admin"))
    first = browser.get("/keys").text
    more = unescape(first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0])
    names = [row[0].split()[0] for page in (first, browser.get(more).text) for row in Read(page).body("keys-table")]
    assert names == [key.name for key in keys_of(bare)]


@pytest.mark.parametrize(
    "path", ["/keys", "/keys/new", "/keys/rotate?key=x", "/keys/limit?key=x", "/keys/revoke?key=x"]
)
def test_only_an_unlimited_admin_gets_there(site: Pages, path: str) -> None:
    for browser in (
        site.browser(site.key("finance")),
        site.browser(site.key("admin", accounts=["shop"])),
        site.browser(site.key("admin", projects=["search"])),
    ):
        assert browser.get(path).status_code == 403
        assert 'href="/keys"' not in browser.get("/operations").text
    assert site.browser().get(path).status_code == 303


def test_a_new_key_is_shown_on_the_answer_and_nowhere_else(bare: Pages, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    admin = bare.key("admin")
    browser = bare.browser(admin)
    answer = send(browser, "/keys/new", admin, NEW)
    made = key_in(answer)
    assert opens(bare, made)
    assert answer.headers["cache-control"] == "no-store"
    (kept,) = keys_of(bare, "backend")
    assert (kept.roles, kept.accounts, kept.projects) == (["ingest"], ["labs", "shop"], None)
    assert kept.expires_at is not None
    assert kept.expires_at.isoformat() == "2026-11-30T16:00:00+00:00", "the beginning of the day in Shanghai"
    assert logged(bare, "key.create")[0] == ("key.create", "backend", f"key admin-{bare.keys}", None)
    secret = made.rsplit("_", 1)[1]
    assert secret not in everything_stored(bare.engine)
    assert secret not in browser.get("/keys").text + browser.get("/audit").text
    assert secret not in str(answer.url) + caplog.text
    again = browser.submit("/keys/new", {**NEW, "form": token_of(browser.get("/keys/new").text), "key": admin})
    assert again.status_code == 409, "a form that is sent twice makes one key"
    assert len(keys_of(bare, "backend")) == 1


def test_what_cannot_be_is_refused_with_what_was_filled_in(bare: Pages) -> None:
    admin = bare.key("admin")
    browser = bare.browser(admin)
    for change, says in (
        ({"role_ingest": ""}, "use one or more of ingest"),
        ({"name": " "}, "write 1 to 256"),
        ({"expires_on": "soon"}, "YYYY-MM-DD"),
        ({"expires_on": "2026-11-01"}, "must be after now"),
        ({"calls_per_minute": "10"}, "give the key the role call"),
        ({"calls_at_once": "-1"}, "write a whole number"),
        ({"accounts": "shop\n" + "x" * 65}, "account"),
    ):
        answer = send(browser, "/keys/new", admin, NEW | change)
        assert answer.status_code == 422, change
        said = unescape(answer.text)
        assert says in said
        assert "\nlabs" in said or "accounts" in change
        assert (' name="role_ingest" checked' in said) == ("role_ingest" not in change)
        assert admin not in said
    assert keys_of(bare, "backend") == []


@pytest.mark.parametrize("verb", ["new", "rotate", "limit", "revoke"])
def test_a_form_is_of_its_session_key_and_role(bare: Pages, verb: str) -> None:
    make_keys(bare.engine)
    (key,) = keys_of(bare, "u-17")
    of = "/keys/new" if verb == "new" else f"/keys/{verb}?key={key.key_id}"
    data = NEW | {"name": "another"} if verb == "new" else {"key_id": key.key_id, "overlap_hours": "1"}
    check_guards(
        bare,
        "admin",
        f"/keys/{verb}",
        of,
        data=data,
        state=lambda: (keys_of(bare, "u-17"), keys_of(bare, "another"), logged(bare, f"key.{verb}")),
    )


def change(pages: Pages, browser: Browser, admin: str, verb: str, name: str, **data: str) -> httpx.Response:
    newest = keys_of(pages, name)[-1].key_id
    return send(browser, f"/keys/{verb}", admin, {"key_id": newest, **data}, of=f"/keys/{verb}?key={newest}")


def test_a_key_is_rotated_once(bare: Pages) -> None:
    make_keys(bare.engine)
    admin = bare.key("admin")
    browser = bare.browser(admin)
    (old,) = keys_of(bare, "u-17")
    bare.wait(timedelta(minutes=1))
    page = browser.get(f"/keys/rotate?key={old.key_id}").text
    answer = change(bare, browser, admin, "rotate", "u-17", overlap_hours="2")
    assert opens(bare, key_in(answer))
    first, second = keys_of(bare, "u-17")
    assert first.expires_at == bare.clock[0] + timedelta(hours=2)
    assert (second.roles, second.accounts, second.limits()) == (old.roles, old.accounts, old.limits())
    data = {"form": token_of(page), "key": admin, "key_id": old.key_id, "overlap_hours": "2"}
    again = browser.submit("/keys/rotate", data)
    assert (again.status_code, len(keys_of(bare, "u-17"))) == (409, 2)
    assert "was rotated before" in again.text
    wrong = change(bare, browser, admin, "rotate", "grafana", overlap_hours="forever")
    assert wrong.status_code == 422
    assert 'value="forever"' in wrong.text


def test_a_key_is_limited_anew(bare: Pages) -> None:
    make_keys(bare.engine)
    admin = bare.key("admin")
    browser = bare.browser(admin)
    (key,) = keys_of(bare, "u-17")
    page = browser.get(f"/keys/limit?key={key.key_id}").text
    assert 'name="calls_per_minute" inputmode="numeric" value="60"' in page
    answer = change(bare, browser, admin, "limit", "u-17", calls_per_minute="90", calls_at_once="")
    assert (answer.status_code, answer.headers["location"]) == (303, "/keys?did=limited")
    assert "The limits of the key are set." in browser.get(answer.headers["location"]).text
    (key,) = keys_of(bare, "u-17")
    assert key.limits() == (90, None)
    assert logged(bare, "key.limit")[0][1:3] == ("u-17", f"key admin-{bare.keys}")
    refused = change(bare, browser, admin, "limit", "u-17", calls_per_minute="0", calls_at_once="3")
    assert refused.status_code == 422
    assert 'value="0"' in refused.text


def test_a_revoked_key_opens_nothing(bare: Pages) -> None:
    make_keys(bare.engine)
    victim, admin = bare.key("read"), bare.key("admin")
    name, browser = f"read-{bare.keys - 1}", bare.browser(admin)
    watching = bare.browser(victim)
    assert watching.get("/").status_code == 200
    answer = change(bare, browser, admin, "revoke", name, reason="left the company")
    assert answer.status_code == 303
    assert "The key is revoked." in browser.get(answer.headers["location"]).text
    assert not opens(bare, victim)
    assert watching.get("/").status_code == 303
    assert logged(bare, "key.revoke")[0] == ("key.revoke", name, f"key admin-{bare.keys}", "left the company")
    assert browser.get(f"/keys/revoke?key={keys_of(bare, name)[0].key_id}").status_code == 404


def test_who_ends_their_own_key_or_the_last_of_admins_is_told_before(bare: Pages) -> None:
    admin = bare.key("admin")
    browser = bare.browser(admin)
    name = f"admin-{bare.keys}"
    of = f"/keys/revoke?key={keys_of(bare, name)[0].key_id}"
    page = browser.get(of).text
    assert "you will be signed out" in page
    assert "No other key may make keys" in page
    bare.key("admin")
    assert "No other key may make keys" not in browser.get(of).text
    answer = change(bare, browser, admin, "revoke", name)
    assert browser.get(answer.headers["location"]).status_code == 303, "to sign in"
