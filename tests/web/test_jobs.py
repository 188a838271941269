"""The page of jobs: every run that there is, as the command line tells it, in pages and by filters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from costmeter.reports.scheduler import PAGE, jobs_report, scheduler_report
from costmeter.services.run_job import Done
from costmeter.services.take_lease import take_lease
from costmeter.store import runs as kept
from costmeter.store.engine import reading
from tests.make import at
from tests.web.books import NOW
from tests.web.operating import HOLIDAYS, OWNER, run, run_jobs
from tests.web.reading import Read
from tests.web.serving import Browser, Pages, paged

OUTCOMES = ("done", "warned", "failed")


def rows(browser: Browser, **asked: str) -> list[list[str]]:
    answer = browser.get("/jobs", params=asked)
    assert answer.status_code == 200, answer.text
    return Read(answer.text).body("runs-table")


def test_runs_are_those_that_are_kept_on_either_database(database_url: str) -> None:
    with paged(database_url, NOW) as pages:
        run_jobs(pages.engine, at(NOW))
        browser = pages.browser(pages.key("read"))
        with reading(pages.engine) as connection:
            found = kept.listed(connection, limit=100)
            newest = scheduler_report(connection, at(NOW))["runs"]
        shown = rows(browser)
        assert [(row[1], row[2]) for row in shown] == [(one.job, one.outcome) for one in found]
        assert [row[0] for row in shown] == sorted((row[0] for row in shown), reverse=True)
        seen = Read(browser.get("/jobs").text)
        ran = {row[0].split()[0]: row[2] for row in seen.body("schedule-table") if row[1] != "never"}
        assert ran == {one["job"]: one["outcome"] for one in newest}
        assert [row[4] for row in rows(browser, job="prices")] == [f"checked the price book{HOLIDAYS}"]
        assert [row[3] for row in rows(browser, job="verify")] == ["3.41 s"]
        for outcome in OUTCOMES:
            assert len(rows(browser, outcome=outcome)) == sum(one.outcome == outcome for one in found)


def test_the_schedule_says_what_is_due_next(bare: Pages) -> None:
    seen = Read(bare.browser(bare.key("read")).get("/jobs").text)
    due = {row[0].split()[0]: row[4] for row in seen.body("schedule-table")}
    assert due["verify"] == "2026-11-19 02:17:00 in 16 h 57 min"
    assert due["post"] == "2026-11-18 09:21:00 in 1 min"
    assert {row[1] for row in seen.body("schedule-table")} == {"never"}


def test_a_job_that_is_not_planned_any_more_is_told_with_its_last_run(bare: Pages) -> None:
    take_lease(bare.engine, OWNER, now=at(NOW), until=at(NOW) + timedelta(minutes=1))
    run(bare.engine, "digests", at(NOW), Done("wrote 1 digests"))
    with reading(bare.engine) as connection:
        (told,) = jobs_report(connection, (), at(NOW))["jobs"]
    assert (told["job"], told["next_due"], told["newest"]["said"]) == ("digests", None, "wrote 1 digests")
    assert "not by these settings" in bare.browser(bare.key("read")).get("/jobs").text


def test_many_runs_come_in_pages_and_none_twice(bare: Pages) -> None:
    take_lease(bare.engine, OWNER, now=at(NOW), until=at(NOW) + timedelta(minutes=1))
    for minute in range(PAGE):
        for job in ("alerts", "post"):
            run(bare.engine, job, at(NOW) - timedelta(minutes=minute), Done("nothing"))
    run(bare.engine, "verify", at(NOW) - timedelta(minutes=7), Done("nothing"))
    browser, found, asked = bare.browser(bare.key("read")), [], "/jobs"
    while True:
        page = browser.get(asked).text
        found += [(row[0], row[1]) for row in Read(page).body("runs-table")]
        if 'rel="next"' not in page:
            break
        asked = page.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert len(found) == len({*found}) == 2 * PAGE + 1
    assert "To the newest" in page
    assert "These are the oldest." in page


def test_nobody_who_works_is_told_first(bare: Pages) -> None:
    browser = bare.browser(bare.key("read"))
    page = browser.get("/jobs").text
    assert "Nobody does what is done by the clock" in page
    assert "No job has run yet." in page
    run_jobs(bare.engine, at(NOW))
    assert OWNER in browser.get("/jobs").text
    assert "Nobody does" not in browser.get("/jobs").text


def test_a_schedule_that_cannot_be_told_says_why(bare: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = bare.browser(bare.key("read"))
    monkeypatch.setenv("COSTMETER_RECONCILE_HOURS", "6")
    for path in ("/jobs", "/operations"):
        assert "COSTMETER_DEEPSEEK_API_KEY" in browser.get(path).text


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"outcome": "good"}, "running, done, warned, failed, lost"),
        ({"before": "yesterday"}, "follow the link"),
        ({"timezone": "Mars/Olympus"}, "no IANA time zone"),
    ],
)
def test_a_filter_that_means_nothing_says_so(site: Pages, asked: Any, says: str) -> None:
    answer = site.browser(site.key("read")).get("/jobs", params=asked)
    assert answer.status_code == 422
    assert says in answer.text


def test_a_limited_key_sees_no_jobs(site: Pages) -> None:
    for limits in ({"accounts": ["shop"]}, {"projects": ["search"]}):
        browser = site.browser(site.key("admin", **limits))
        assert browser.get("/jobs").status_code == 403
        assert 'href="/jobs"' not in browser.get("/operations").text
