"""Signing in: who gets in, what the cookie is worth, and the ways in that there are not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from costmeter.services.revoke_key import revoke_key
from costmeter.web.access import BEFORE, SESSION
from costmeter.web.sign_in import own_path
from tests.web.books import NOW
from tests.web.serving import Browser, Pages, paged


@pytest.fixture(scope="module")
def pages(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    path = tmp_path_factory.mktemp("pages") / "costmeter.sqlite3"
    path.write_bytes(sqlite_template.read_bytes())
    with paged(f"sqlite:///{path}", NOW) as served:
        yield served


def is_in(browser: httpx.Client) -> bool:
    answer = browser.get("/")
    assert answer.status_code in (200, 303), answer.text
    return answer.status_code == 200


def test_a_page_leads_to_the_form_and_back(pages: Pages) -> None:
    browser = pages.browser()
    away = browser.get("/", params={"day": "2026-11-01"})
    assert (away.status_code, away.headers["location"]) == (303, f"/sign-in?next={quote('/?day=2026-11-01', safe='')}")
    form = browser.get(away.headers["location"]).text
    assert 'name="next" value="/?day=2026-11-01"' in form
    back = browser.sign_in(pages.key("read"), "/?day=2026-11-01")
    assert (back.status_code, back.headers["location"]) == (303, "/?day=2026-11-01")
    assert is_in(browser)


@pytest.mark.parametrize("role", ["read", "finance", "admin"])
def test_who_may_read_gets_in(pages: Pages, role: str) -> None:
    assert is_in(pages.browser(pages.key(role)))


def test_who_may_only_send_events_does_not(pages: Pages) -> None:
    browser = pages.browser()
    refused = browser.sign_in(pages.key("ingest"))
    assert refused.status_code == 403
    assert "not read" in refused.text
    assert not is_in(browser)


def test_whatever_is_wrong_with_a_key_gets_the_same_answer(pages: Pages) -> None:
    key, revoked = pages.key("read"), pages.key("read")
    revoke_key(pages.engine, f"read-{pages.keys}", by="root", now=pages.clock[0])
    wrong = [
        "",
        "x",
        key[:-1],
        key.upper(),
        f"cm_{'0' * 16}_{'0' * 64}",
        f"{key[:-64]}{'0' * 64}",
        revoked,
        f"sk-{'a' * 32}",
    ]
    browser = pages.browser()
    answers = {(answer.status_code, answer.text) for answer in (browser.sign_in(one) for one in wrong)}
    assert len(answers) == 1
    ((status, text),) = answers
    assert status == 403
    assert "not valid" in text
    assert not any(one in text for one in wrong if len(one) > 1)
    assert SESSION not in browser.cookies


def test_the_cookie_is_kept_from_scripts_other_sites_and_for_long(pages: Pages) -> None:
    browser = pages.browser()
    cookies = [
        value for name, value in browser.sign_in(pages.key("read")).headers.multi_items() if name == "set-cookie"
    ]
    kept = next(one for one in cookies if one.startswith(f"{SESSION}="))
    attributes = {part.strip().lower() for part in kept.split(";")[1:]}
    assert attributes == {"httponly", "samesite=strict", "path=/", "max-age=43200"}
    assert "cm_" not in kept


def test_by_tls_the_cookie_is_of_this_host_alone(sqlite_url: str) -> None:
    with paged(sqlite_url, NOW, public="https://costs.example") as pages:
        browser = pages.browser()
        form = browser.get("/sign-in")
        secret = form.headers["set-cookie"]
        assert secret.startswith(f"__Host-{BEFORE}=")
        assert "; Secure" in secret
        token = form.text.split('name="form" value="', 1)[1].split('"', 1)[0]
        answer = httpx.post(
            f"{pages.url}/sign-in", data={"form": token, "key": pages.key("read")},
            headers={"Origin": "https://costs.example", "Cookie": f"__Host-{BEFORE}={token}"},
        )  # fmt: skip
        assert answer.status_code == 303
        assert f"__Host-{SESSION}=" in answer.headers["set-cookie"]


def test_each_sign_in_has_a_cookie_of_its_own(pages: Pages) -> None:
    """What somebody planted beforehand is never the session."""
    key, browser = pages.key("read"), pages.browser()
    browser.cookies.set(SESSION, "0" * 64, domain="127.0.0.1")
    tokens = set()
    for _ in range(3):
        assert browser.sign_in(key).status_code == 303
        tokens.add(browser.cookies[SESSION])
        browser.cookies.delete(SESSION)
    assert len(tokens) == 3
    assert "0" * 64 not in tokens


def test_a_revoked_key_is_out_at_once(pages: Pages) -> None:
    browser = pages.browser(pages.key("read"))
    assert is_in(browser)
    revoke_key(pages.engine, f"read-{pages.keys}", by="root", now=pages.clock[0])
    assert not is_in(browser)


def test_a_session_ends_after_twelve_hours(bare: Pages) -> None:
    browser = bare.browser(bare.key("read"))
    token = browser.cookies[SESSION]
    bare.wait(timedelta(hours=12) - timedelta(seconds=1))
    assert is_in(browser)
    bare.wait(timedelta(seconds=1))
    browser.cookies.set(SESSION, token, domain="127.0.0.1")
    assert not is_in(browser)


@pytest.mark.parametrize("place", range(4))
def test_a_cookie_that_was_tampered_with_is_none(pages: Pages, place: int) -> None:
    key, other = pages.key("read"), pages.key("admin")
    browser = pages.browser(key)
    parts = browser.cookies[SESSION].split(".")
    parts[place] = other.split("_")[1] if place == 0 else f"{parts[place][:-1]}{(int(parts[place][-1], 16) + 1) % 10}"
    changed = pages.browser()
    changed.cookies.set(SESSION, ".".join(parts))
    assert not is_in(changed)


@pytest.mark.parametrize("token", ["", "x", "..", "a" * 10_000, "\u0660" * 16, f"{'0' * 16}.9.{'0' * 32}.{'0' * 64}"])
def test_a_cookie_that_is_none_of_ours(pages: Pages, token: str) -> None:
    answer = httpx.get(pages.url, headers=[(b"Cookie", f"{SESSION}={token}".encode())])
    assert answer.status_code == 303


def test_a_key_is_no_cookie_and_a_cookie_is_no_key(pages: Pages) -> None:
    key = pages.key("admin")
    token = pages.browser(key).cookies[SESSION]
    assert httpx.get(pages.url, headers={"Cookie": f"{SESSION}={key}"}).status_code == 303
    for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"{SESSION}={token}"}):
        assert httpx.get(f"{pages.url}/v1/accounts", headers=headers).status_code == 401


ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {},
]


@pytest.mark.parametrize("headers", ELSEWHERE)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
def test_a_form_of_another_site_is_refused(pages: Pages, headers: dict[str, str], path: str) -> None:
    """Even one that has the right token."""
    key, browser = pages.key("read"), pages.browser()
    data = {"form": browser.form(), "key": key}
    if path == "/sign-out":
        browser.sign_in(key)
        data = {"form": browser.form("/")}
    assert browser.post(path, data=data, headers=headers).status_code == 403
    assert is_in(browser) == (path == "/sign-out")


def test_an_older_browser_says_its_origin_only(pages: Pages) -> None:
    browser = pages.browser()
    data = {"form": browser.form(), "key": pages.key("read")}
    assert browser.post("/sign-in", data=data, headers={"Origin": pages.url}).status_code == 303


@pytest.mark.parametrize("form", ["", "x", "0" * 64])
def test_a_form_without_its_token_is_refused(pages: Pages, form: str) -> None:
    key, browser = pages.key("read"), pages.browser()
    browser.get("/sign-in")
    assert browser.submit("/sign-in", {"form": form, "key": key}).status_code == 403
    assert not is_in(browser)
    browser.sign_in(key)
    assert browser.submit("/sign-out", {"form": form}).status_code == 403
    assert is_in(browser)


def test_a_token_is_of_one_session(pages: Pages) -> None:
    mine, theirs = (pages.browser(pages.key("read")) for _ in range(2))
    assert mine.submit("/sign-out", {"form": theirs.form("/")}).status_code == 403
    assert is_in(mine)


def test_signing_out(pages: Pages) -> None:
    browser = pages.browser(pages.key("read"))
    out = browser.submit("/sign-out", {"form": browser.form("/")})
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert not is_in(browser)
    again = browser.submit("/sign-out", {"form": "x"})
    assert (again.status_code, again.headers["location"]) == (303, "/sign-in")


@pytest.mark.parametrize(
    "to",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
     "/\t/evil.example", "/a\r\nSet-Cookie: x=y", " /", "", "evil", "/\u2028", "/%0d%0a\\", "/a\\..\\b"],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(pages: Pages, to: str) -> None:
    assert own_path(to) == "/"
    browser = pages.browser()
    answer = browser.sign_in(pages.key("read"), to)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert 'name="next" value="/"' in browser.get("/sign-in", params={"next": to}).text


@pytest.mark.parametrize("to", ["/", "/?account=a%20b&day=2026-11-01", "/calls/x%2Fy?account=a", "/a[1]~!$'()*+,;=:@"])
def test_own_paths_are_kept(to: str) -> None:
    assert own_path(to) == to


def test_forms_are_small_and_are_forms(pages: Pages) -> None:
    browser = pages.browser()
    assert browser.submit("/sign-in", {"form": browser.form(), "key": "x" * 9_000}).status_code == 413
    answer = browser.post("/sign-in", json={"key": "x"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 415
    many = {f"f{number}": "x" for number in range(50)}
    assert browser.submit("/sign-in", many).status_code == 400


def test_a_link_of_another_site_reaches_who_is_signed_in(pages: Pages) -> None:
    """The cookie does not come with it; the page in between asks for the same address from here."""
    browser: Browser = pages.browser(pages.key("read"))
    stranger = pages.browser()
    between = stranger.get("/", params={"day": "2026-11-01"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert between.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/?day=2026-11-01">' in between.text
    assert is_in(browser)
