"""What every form that changes something must hold to, whatever it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from costmeter.store import audit
from costmeter.store.engine import reading
from tests.web.serving import Browser, Pages


def token_of(page: str) -> str:
    """The token in the form of a page."""
    return page.rsplit('name="form" value="', 1)[1].split('"', 1)[0]


def send(browser: Browser, path: str, key: str, data: Mapping[str, str], *, of: str | None = None) -> httpx.Response:
    """Open a form as somebody does and send it with the key; `of` is the address of its page."""
    page = browser.get(of or path)
    assert page.status_code == 200, page.text
    return browser.submit(path, {"form": token_of(page.text), "key": key, **data})


def logged(pages: Pages, action: str | None = None) -> list[tuple[str, str, str, str | None]]:
    """The audit log: action, subject, who and why, the newest first."""
    with reading(pages.engine) as connection:
        found = audit.listed(connection, action=action, limit=1_000)
    return [(one.action, one.subject, one.by_whom, one.reason) for one in found]


def check_guards(
    pages: Pages, role: str, path: str, of: str, *, data: Mapping[str, str], state: Callable[[], Any]
) -> None:
    """A form is of a session, of its key, and of a role; whoever has not got all of them changes nothing."""
    key, other, reader = pages.key(role), pages.key(role), pages.key("read")
    browser, stranger = pages.browser(key), pages.browser(other)
    before = state()
    page = browser.get(of)
    assert page.status_code == 200, page.text
    form, theirs = token_of(page.text), token_of(stranger.get(of).text)
    assert state() == before, "a page that is looked at changes nothing"
    for given in (
        {"form": form},
        {"form": form, "key": ""},
        {"form": form, "key": f"{key[:-4]}0000"},
        {"form": form, "key": other},
        {"form": form, "key": reader},
        {"key": key},
        {"form": "", "key": key},
        {"form": theirs, "key": key},
    ):
        answer = browser.submit(path, {**data, **given})
        assert answer.status_code == 403, given
        assert "cm_" not in answer.text.replace("<code>cm_</code>", ""), "a key is never repeated"
        assert state() == before, given
    sent = {**data, "form": form, "key": key}
    assert browser.post(path, data=sent, headers={"Origin": "https://evil.example"}).status_code == 403
    assert pages.browser().submit(path, sent).status_code == 303, "sign in first"
    weak = pages.browser(reader)
    assert weak.get(of).status_code == 403
    assert weak.submit(path, {**data, "form": token_of(weak.get("/").text), "key": reader}).status_code == 403
    assert state() == before
