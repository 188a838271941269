"""Channels are tried, and what was given up is tried again, by forms of whoever may change everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from costmeter.alerts.webhook import WebhookChannel
from costmeter.services.keep_told import Outbox
from costmeter.store import audit
from costmeter.store.engine import reading
from tests.alerts.messages import deliveries, raise_notices
from tests.alerts.receivers import Hook
from tests.make import at, set_up_account
from tests.web.books import NOW
from tests.web.reading import Read
from tests.web.serving import Browser, Pages

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwVvx0Yy3kXqE="


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """A receiver that the server's file of channels names ops."""
    with Hook().served() as served:
        (tmp_path / "secret").write_text(SECRET)
        file = tmp_path / "channels.toml"
        file.write_text(f'[ops]\nkind = "webhook"\nurl = "{served.url}"\nsecret_file = "secret"\n')
        monkeypatch.setenv("COSTMETER_CHANNELS", str(file))
        yield served


def signed_in(pages: Pages, *roles: str, **more: Any) -> tuple[Browser, dict[str, str]]:
    key = pages.key(*(roles or ("admin",)), **more)
    browser = pages.browser(key)
    return browser, {"form": browser.form("/"), "key": key}


def logged(pages: Pages) -> list[tuple[str, str, str]]:
    with reading(pages.engine) as connection:
        found = audit.listed(connection, limit=50)
    return [(one.action, one.subject, one.by_whom) for one in found if one.action.startswith("alerts.")][::-1]


def give_up(pages: Pages, hook: Hook, *names: str) -> list[str]:
    hook.answers = [410]
    ids = raise_notices(pages.engine, *names, now=NOW)
    channels = {"ops": WebhookChannel("ops", hook.url, SECRET)}
    assert Outbox(pages.engine, channels, {}, None, lambda: at(NOW)).empty().given_up == len(names)
    hook.posts.clear()
    hook.answers = []
    return ids


def test_a_test_notice_is_sent_once_by_the_form(bare: Pages, hook: Hook) -> None:
    browser, own = signed_in(bare)
    assert "/alerts/test?channel=ops" in browser.get("/alerts").text
    form = browser.get("/alerts/test", params={"channel": "ops"})
    assert form.status_code == 200
    assert hook.posts == [], "a form sends nothing"
    done = browser.submit("/alerts/test", {"channel": "ops"} | own)
    assert (done.status_code, done.headers["location"]) == (303, "/alerts?did=channel-tested")
    assert "The receiver accepted the test notice." in browser.get(done.headers["location"]).text
    (post,) = hook.posts
    assert post.json["type"] == "test.test"
    assert logged(bare) == [("alerts.test", "ops", "key admin-1")]


def test_what_the_receiver_answers_is_said(bare: Pages, hook: Hook) -> None:
    hook.answers = [503]
    browser, own = signed_in(bare)
    answer = browser.submit("/alerts/test", {"channel": "ops"} | own)
    assert answer.status_code == 502
    assert "Not accepted:" in answer.text
    assert "answers 503" in answer.text
    assert "token-of-the-hook" not in answer.text
    assert len(hook.posts) == 1
    unknown = browser.submit("/alerts/test", {"channel": "pager"} | own)
    assert unknown.status_code == 422
    assert "is none of ops" in unknown.text
    for asked in ({"channel": "pager"}, {}):
        assert browser.get("/alerts/test", params=asked).status_code == 422


def test_what_was_given_up_is_tried_again(bare: Pages, hook: Hook) -> None:
    first, second = give_up(bare, hook, "one", "two")
    browser, own = signed_in(bare)
    page = browser.get("/alerts").text
    assert f"/alerts/retry?notice={first}&amp;channel=ops" in page
    form = browser.get("/alerts/retry", params={"notice": first, "channel": "ops"})
    assert Read(form.text).marked["given_up"].startswith("1 delivery is tried again")
    assert {one["state"] for one in deliveries(bare.engine)} == {"given_up"}
    done = browser.submit("/alerts/retry", {"notice": first, "channel": "ops"} | own)
    assert (done.status_code, done.headers["location"]) == (303, "/alerts?did=deliveries-retried")
    assert [one["state"] for one in deliveries(bare.engine)] == ["waiting", "given_up"]
    assert Read(browser.get("/alerts/retry").text).marked["given_up"].startswith("1 delivery")
    assert browser.submit("/alerts/retry", own).status_code == 303
    assert {one["state"] for one in deliveries(bare.engine)} == {"waiting"}
    assert logged(bare) == [("alerts.retry", first, "key admin-1"), ("alerts.retry", "all", "key admin-1")]
    assert second != first
    assert browser.get("/alerts/retry", params={"notice": "x"}).status_code == 422


FORMS = [("/alerts/test", {"channel": "ops"}), ("/alerts/retry", {"channel": "ops"})]


@pytest.mark.parametrize(("path", "asked"), FORMS)
def test_without_the_right_token_and_key_nothing_is_sent(
    bare: Pages, hook: Hook, path: str, asked: dict[str, str]
) -> None:
    give_up(bare, hook, "one")
    browser, own = signed_in(bare)
    _, theirs = signed_in(bare)
    for wrong in ({"form": ""}, {"form": theirs["form"]}, {"key": ""}, {"key": theirs["key"]}):
        refused = browser.submit(path, asked | own | wrong)
        assert refused.status_code == 403
        assert 'role="alert"' in refused.text
    assert browser.post(path, data=asked | own, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert (hook.posts, logged(bare)) == ([], [])
    assert {one["state"] for one in deliveries(bare.engine)} == {"given_up"}


@pytest.mark.parametrize(("path", "asked"), FORMS)
def test_they_need_admin_everywhere(bare: Pages, hook: Hook, path: str, asked: dict[str, str]) -> None:
    give_up(bare, hook, "one")
    set_up_account(bare.engine, "default", now=NOW)
    for roles, more in ((("read",), {}), (("finance",), {}), (("admin",), {"accounts": ["default"]})):
        browser, own = signed_in(bare, *roles, **more)
        page = browser.get("/alerts").text
        assert "/alerts/test" not in page
        assert "/alerts/retry" not in page
        assert browser.get(path, params=asked).status_code == 403
        assert browser.submit(path, asked | own).status_code == 403
    assert (hook.posts, logged(bare)) == ([], [])
    assert {one["state"] for one in deliveries(bare.engine)} == {"given_up"}
