"""What an operator looks at, made so by real calls, jobs and decisions: books of a bad morning."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from costmeter.core.rate_limits import Limits
from costmeter.services.create_key import NewKey, create_key
from costmeter.services.discard_items import discard_items
from costmeter.services.freeze_account import freeze_account
from costmeter.services.record_calls import Broken
from costmeter.services.revoke_key import revoke_key
from costmeter.services.run_job import Done, run_job
from costmeter.services.take_lease import take_lease
from costmeter.services.verify import verify
from costmeter.store.engine import open_engine
from tests.make import an_event, at, quarantined, record
from tests.web.books import NOW

OWNER = "costs-1:4711:f3a9"
JOBS = ("alerts", "expire", "forecasts", "post", "prices", "reservations", "verify", "watch")
HOLIDAYS = "calendar china ends on 2026-12-31: add what is published for 2027"


def operate(url: str) -> None:
    """A scheduler that works, a job that failed and one that warned, items of each kind, keys, and calls that wait."""
    engine = open_engine(url)
    run_jobs(engine, at(NOW))
    verify(engine, ["shop"], now=at("2026-11-18T02:17:03Z"))
    fill_quarantine(engine)
    make_keys(engine)
    freeze_account(engine, "labs", by="verify", reason="promise 6: the balance is not the journal's", now=at(NOW))
    wait = an_event("waiting-1", "2026-11-18T08:59:00Z", account="labs", project="search", model="deepseek-flash")
    record(engine, wait, now="2026-11-18T08:59:04Z")
    engine.dispose()


def run_jobs(engine: Engine, now: datetime) -> None:
    """Runs of an hour: each minute's jobs every five, the others at their last instant."""
    take_lease(engine, OWNER, now=now - timedelta(hours=9), until=now + timedelta(seconds=40))
    night, hour = at("2026-11-18T02:17:00Z"), at("2026-11-18T09:00:00Z")
    run(engine, "verify", night, Done("checked 12,480 charges"), took=timedelta(seconds=3.41))
    run(engine, "prices", night, Done("checked the price book", [HOLIDAYS]))
    run(engine, "expire", hour + timedelta(minutes=5), Done("booked the expiry of grants of 0 accounts"))
    run(engine, "forecasts", hour + timedelta(minutes=15), ConnectionError("the database closed the connection"))
    for minutes in range(0, 20, 5):
        due = hour + timedelta(minutes=minutes)
        run(engine, "watch", due, Done("looked at 3 accounts: raised 0 alerts, 0 recovered"))
        for job, said in (("post", "posted 0 calls"), ("alerts", "told 0 notices, put off 0")):
            run(engine, job, due, Done(said), took=timedelta(milliseconds=31))
        run(engine, "reservations", due, Done("ended 0 reservations that had expired"))


def run(
    engine: Engine,
    job: str,
    due: datetime,
    does: Done | Exception,
    *,
    took: timedelta = timedelta(milliseconds=184),
) -> None:
    """One run at its instant, by the owner of the lease."""
    clock = iter((due, due + took))

    def work() -> Done:
        if isinstance(does, Exception):
            raise does
        return does

    assert run_job(engine, job, due, work, owner=OWNER, clock=lambda: next(clock))


def fill_quarantine(engine: Engine) -> None:
    """Calls from the future, a broken line, a conflict, and an item that was discarded."""
    flash: dict[str, Any] = {"model": "deepseek-flash", "account": "shop", "project": "checkout"}
    future = [an_event(f"ahead-{number}", f"2026-11-18T09:{30 + number}:00Z", **flash) for number in range(3)]
    other = an_event("example-1", "2026-11-17T09:30:00Z", output=7, **(flash | {"project": "search"}))
    test = an_event("test-1", "2026-11-18T08:00:00Z", output=-1, **flash)
    broken = Broken("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 412, "no JSON: at column 97")
    record(engine, *future, other, test, broken, now=NOW)
    discarded = [item["item"].hex() for item in quarantined(engine) if item["event_id"] == "test-1"]
    discard_items(engine, discarded, by="ada", reason="a test of ours", now=at(NOW))


def make_keys(engine: Engine) -> None:
    """Keys as a small company has them."""
    for new in (
        NewKey("backend", ("ingest",), ["shop"]),
        NewKey("grafana", ("read",)),
        NewKey("search-team", ("read",), ["shop"], ["search", "support"], at("2027-01-01T00:00:00Z")),
        NewKey("u-17", ("call",), ["shop", "labs"], None, None, Limits(60, 4)),
        NewKey("old-laptop", ("finance",)),
    ):
        create_key(engine, new, by="root", now=at(NOW))
    revoke_key(engine, "old-laptop", by="root", reason="lost on a train", now=at(NOW))
