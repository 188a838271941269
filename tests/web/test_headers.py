"""What every answer of the pages tells browsers, whatever it is."""

from __future__ import annotations

import re
import sys

import httpx
import pytest
from sqlalchemy import text

from costmeter.web.headers import FILE, PAGE
from tests.web.serving import Pages, paged

NEEDED = {"content-security-policy", "x-content-type-options", "referrer-policy", "cross-origin-opener-policy",
          "permissions-policy", "cache-control", "x-request-id"}  # fmt: skip


OWN_SCRIPT = r'<script src="/static/live\.[0-9a-f]{16}\.js" defer></script>'


def files(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="(/static/[^"]+)"', page)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?day=never",
        "/calls/none?account=shop",
        "/calls/example-1?account=shop",
        "/sign-in",
        "/explore",
        "/explore.csv",
        "/explore.csv?by=colour",
        "/calls?account=shop",
    ],
)
def test_a_page_says_it_whether_it_went_well_or_not(site: Pages, path: str) -> None:
    for browser in (site.browser(), site.browser(site.key("read"))):
        answer = browser.get(path)
        for name, value in PAGE.items():
            assert answer.headers[name] == value, (path, name)
        assert {*answer.headers} >= NEEDED


def test_the_policy_lets_one_script_run_and_nothing_in(site: Pages) -> None:
    policy = site.browser().get("/sign-in").headers["content-security-policy"].split("; ")
    assert policy == [
        "default-src 'none'", "script-src 'self'", "connect-src 'self'", "style-src 'self'", "img-src 'self'",
        "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
    ]  # fmt: skip


def test_forms_and_their_refusals_say_it(site: Pages) -> None:
    browser = site.browser()
    answers = [
        browser.sign_in("x"),
        browser.post("/sign-in"),
        browser.post("/sign-out"),
        browser.sign_in(site.key("read")),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 303]
    for answer in answers:
        assert PAGE.items() <= {name: answer.headers.get(name) for name in PAGE}.items()


def test_files_are_kept_for_ever_under_the_hash_of_their_content(site: Pages) -> None:
    browser = site.browser()
    found = {*files(browser.get("/sign-in").text)}
    assert len(found) == 2
    for path in found:
        answer = browser.get(path)
        assert answer.status_code == 200
        assert FILE.items() <= {name: answer.headers.get(name) for name in FILE}.items()
        assert browser.get(path.replace("costmeter.", "costmeter.0").replace("icon.", "icon.0")).status_code == 404
    for path in ("/static/", "/static/costmeter.css", "/static/..%2fapp.py", "/static/%00"):
        answer = browser.get(path)
        assert answer.status_code == 404
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_page_has_a_script_or_a_style_of_its_own(site: Pages) -> None:
    browser = site.browser(site.key("read"))
    explored = ("/explore", "/explore?by=project,band", "/explore?metric=cache_hit_percent", "/calls?account=shop")
    for path in ("/", "/?by=project", "/calls/example-1?account=shop", "/sign-in", *explored):
        page = re.sub(OWN_SCRIPT, "", browser.get(path).text)
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", page)
        assert not re.search(r'(?:href|src|action)="(?!/|#)', page)


def test_names_are_escaped(bare: Pages) -> None:
    from tests.make import an_event, record_and_post

    bad = "<script>alert(1)</script>\"'&"
    event = an_event(
        bad, "2026-11-17T12:00:00Z", model="deepseek-flash", project=bad, account="<b>", user=bad, tags={bad: bad}
    )
    record_and_post(bare.engine, event, now="2026-11-18T00:00:00Z")
    browser = bare.browser(bare.key("read"))
    page = browser.get("/", params={"by": "project"}).text
    link = re.findall(r'<th scope="row"><a href="(/calls/[^"]+)"', page)[0].replace("&amp;", "&")
    call = browser.get(link)
    assert call.status_code == 200
    assert "alert(1)" in page
    assert "alert(1)" in call.text
    shown = page + call.text + browser.get("/", params={"day": bad}).text
    assert "<script" not in re.sub(OWN_SCRIPT, "", shown)
    assert "<b>" not in page + call.text


def test_a_database_that_is_away_is_a_page_too(bare: Pages) -> None:
    browser = bare.browser(bare.key("read"))
    with bare.engine.begin() as connection:
        connection.execute(text("ALTER TABLE account RENAME TO elsewhere"))
    answer = browser.get("/")
    assert answer.status_code == 503
    assert "does not answer" in answer.text
    assert "elsewhere" not in answer.text
    assert answer.headers["content-security-policy"] == PAGE["Content-Security-Policy"]


def test_without_what_draws_them_the_first_page_says_what_to_install(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with paged(sqlite_url, "2026-11-18T00:00:00Z") as pages:
        answer = httpx.get(pages.url)
        assert answer.status_code == 503
        assert "pip install 'costmeter[web]'" in answer.text
        assert httpx.get(f"{pages.url}/healthz").status_code == 200
        assert httpx.get(f"{pages.url}/v1/accounts").status_code == 401
