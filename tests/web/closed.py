"""The books of tests/web/books.py with months that are closed, one of them by override, and what came after."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from costmeter.core.periods import month_after, month_period
from costmeter.services.close_month import close_month
from costmeter.store import accounts, journal
from costmeter.store.engine import reading
from tests.make import an_event, record_and_post
from tests.web.books import NOW

GRACE = timedelta(hours=72)
WHY = "the call of the preview is priced with the next month"


def close_up_to(engine: Engine, account: str, last: str) -> None:
    """Close an account's months in order, each five days after its end."""
    with reading(engine) as connection:
        zone = accounts.get(connection, account).timezone
        month = journal.first_month(connection, account)
    assert month is not None
    while month <= last:
        _, end = month_period(month, zone)
        assert end is not None
        by = "key finance-1"
        close_month(engine, account, month, by=by, reason=WHY, grace=GRACE, now=end + timedelta(days=5, hours=9))
        month = month_after(month)


def close_months(engine: Engine) -> None:
    """`shop` is closed up to September. `labs` is up to October, by override, and has an adjustment of it in November.
    `beijing` begins with October, and a call without a price stands against closing it."""
    for account in ("labs", "beijing"):
        preview = an_event(f"preview-{account}", "2026-10-20T10:00:00Z", account=account, model="deepseek-x")
        record_and_post(engine, preview, now=NOW)
    for account, last in (("shop", "2026-09"), ("labs", "2026-10")):
        close_up_to(engine, account, last)
    late = an_event("late-1", "2026-10-30T10:00:00Z", account="labs", model="deepseek-flash", project="search")
    record_and_post(engine, late, now=NOW)
