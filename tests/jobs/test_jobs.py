"""What each job does on real books, and when it is due."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from costmeter.core.periods import format_instant
from costmeter.core.watch import Limits
from costmeter.jobs.job import DAY, Job
from costmeter.jobs.jobs import all_jobs
from costmeter.services.expire_credits import expire_credits
from costmeter.services.run_job import Done
from costmeter.services.verify import verify
from costmeter.store.alert_tables import NoticeRow
from costmeter.store.tables import ExpiryRow, PendingRow
from tests.make import an_event, at, book, counted, give, record, record_and_post, rows, top_up

NOW = "2025-03-10T00:00:00Z"
LATER = "2025-03-21T00:00:00Z"
FIRST, LAST = at("1971-01-01T00:00:00Z").replace(tzinfo=None), at("2100-01-01T00:00:00Z").replace(tzinfo=None)


def done(engine: Engine, name: str, now: str = NOW) -> Done:
    """What a job says when it is done at an instant."""
    jobs = {
        job.name: job
        for job in all_jobs(engine, book=book(), limits=Limits(), nightly_at=time(2, 17), clock=lambda: at(now))
    }
    return jobs[name].work()


def test_what_nobody_posted_is_posted(engine: Engine) -> None:
    record(engine, an_event("a"), an_event("b", account="other"))
    assert counted(engine, PendingRow) == [2]
    assert done(engine, "post") == ("posted 2 calls", ())
    assert counted(engine, PendingRow) == [0]
    assert done(engine, "post").said == "posted 0 calls"


def test_grants_that_expired_are_booked_once_though_no_call_comes(engine: Engine) -> None:
    give(engine, "granted", "5.00", "2025-03-01T00:00:00Z", expires_at="2025-03-20T00:00:00Z")
    give(engine, "granted", "5.00", "2025-03-01T00:00:00Z", expires_at="2025-04-01T00:00:00Z", account="later")
    top_up(engine, "5.00", "2025-03-01T00:00:00Z", account="never")

    assert expire_credits(engine, book=book(), now=at("2025-03-19T23:59:59Z")) == []
    assert done(engine, "expire", LATER).said == "booked the expiry of grants of 1 accounts"
    (expiry,) = rows(engine, ExpiryRow)
    assert (expiry["account"], format_instant(expiry["effective_at"])) == ("default", "2025-03-20T00:00:00Z")
    assert expire_credits(engine, book=book(), now=at(LATER)) == []
    assert verify(engine, full=True) == []


def test_a_frozen_account_is_left_to_whoever_releases_it(engine: Engine) -> None:
    give(engine, "granted", "5.00", "2025-03-01T00:00:00Z", expires_at="2025-03-20T00:00:00Z")
    with engine.begin() as connection:
        connection.execute(text("UPDATE account SET frozen_at = created_at"))
    assert expire_credits(engine, book=book(), now=at(LATER)) == []


def test_verify_tells_what_is_broken_and_freezes_the_account(engine: Engine) -> None:
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    record_and_post(engine, an_event("a"))
    whole = done(engine, "verify")
    assert whole.warnings == []
    record_and_post(engine, an_event("b"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE credit_balance SET remaining = 7"))
    broken = done(engine, "verify")
    assert any(warning.startswith("promise 6, account default: ") for warning in broken.warnings)
    assert broken.warnings[-1] == "account default is frozen; costmeter account show"


def test_months_are_made_ahead_on_postgresql(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        with pytest.raises(KeyError):
            done(engine, "partitions")
        return
    assert "usage_event_2025_06" in done(engine, "partitions").said
    assert done(engine, "partitions").said == "every partition was there already"


def test_a_calendar_that_ends_soon_is_a_warning(engine: Engine) -> None:
    assert [*done(engine, "prices", "2026-08-01T00:00:00Z").warnings] == []
    (warning,) = done(engine, "prices", "2026-12-20T00:00:00Z").warnings
    assert "ends on 2026-12-31" in warning


@given(
    st.datetimes(min_value=FIRST, max_value=LAST, timezones=st.just(UTC)),
    st.integers(1, 5_000),
    st.integers(0, 1_439),
)
def test_what_is_due_is_the_newest_instant_of_the_schedule(now: datetime, minutes: int, offset: int) -> None:
    job = Job("any", "any", lambda: Done("any"), timedelta(minutes=minutes), timedelta(minutes=offset))
    due = job.due(now)
    assert due <= now < due + job.every
    assert (due - job.first) % job.every == timedelta()
    assert job.due(due) == due
    assert job.due(now + job.every) == due + job.every


def test_a_daily_job_is_due_at_its_time_of_utc() -> None:
    job = Job("nightly", "any", lambda: Done("any"), DAY, timedelta(hours=2, minutes=17))
    assert format_instant(job.due(at("2026-11-24T02:16:59.999999Z"))) == "2026-11-23T02:17:00Z"
    assert format_instant(job.due(at("2026-11-24T02:17:00Z"))) == "2026-11-24T02:17:00Z"


def test_digests_are_a_job_where_somebody_asks_for_them(engine: Engine) -> None:
    record_and_post(engine, an_event("a"), now=NOW)
    told: Any = {"book": book(), "limits": Limits(), "nightly_at": time(), "clock": lambda: at(LATER)}
    made = [{job.name: job for job in all_jobs(engine, digests=kinds, **told)} for kinds in ((), ("daily", "monthly"))]
    assert "digests" not in made[0]
    assert made[1]["digests"].work() == ("wrote 1 digests", ())  # in February the account was not there yet
    assert made[1]["digests"].work() == ("wrote 0 digests", ())
    (notice,) = rows(engine, NoticeRow)
    assert (notice["account"], notice["subject"]) == ("default", "daily 2025-03-20")
    assert notice["facts"]["forecast"]["spent"] == "1.10"
