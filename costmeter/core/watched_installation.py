"""What is watched of the installation: its scheduler, its jobs, its calendars, and what came in for nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from costmeter.core.notices import counted
from costmeter.core.periods import format_instant
from costmeter.core.price_book import PriceBook
from costmeter.core.price_changes import calendars_in_use, calendars_that_end, end_of
from costmeter.core.watch import CALENDAR, JOB, SCHEDULER, Reading, Thresholds, has_passed, rule_of
from costmeter.core.watched_account import Items, quarantine

FAILED, WARNED = "failed", "warned"
BAD = (FAILED, WARNED)  # how a run can end that needs a hand
NO_LONGER = timedelta(days=30)  # without a run: the job was taken out of the settings
WELL_AGAIN = timedelta(hours=1)  # without a bad run, after which a job counts as recovered


class Ended(NamedTuple):
    """The newest run of a job that has ended, and each bad outcome that it had in the last hour."""

    job: str
    scheduled_for: datetime
    finished_at: datetime
    outcome: str
    said: str
    error: str
    lately: frozenset[str] = frozenset()


class Installation(NamedTuple):
    """What is so with the installation: how its jobs ended, and items of accounts that were never made."""

    jobs: Sequence[Ended] = ()
    items: Sequence[Items] = ()


def installation_readings(seen: Installation, book: PriceBook, thresholds: Thresholds, now: datetime) -> list[Reading]:
    """What each rule reads of the installation."""
    return [
        *_scheduler(seen.jobs, thresholds, now),
        *_jobs(seen.jobs, book, thresholds, now),
        *_calendars(book, thresholds, now),
        *quarantine(seen.items, thresholds),
    ]


def _scheduler(jobs: Sequence[Ended], thresholds: Thresholds, now: datetime) -> Iterator[Reading]:
    """No run ended for so long, though a job is due each minute; where none ever did, there is no scheduler to miss."""
    if not thresholds.scheduler_minutes or not jobs:
        return
    last = max(jobs, key=lambda run: run.finished_at)
    raises, keeps = has_passed(now - last.finished_at, timedelta(minutes=thresholds.scheduler_minutes))
    facts = {"last_job": last.job, "last_finished_at": format_instant(last.finished_at)}
    yield Reading(SCHEDULER, SCHEDULER, counted(thresholds.scheduler_minutes, "minute"), raises, keeps, facts)


def _jobs(jobs: Sequence[Ended], book: PriceBook, thresholds: Thresholds, now: datetime) -> Iterator[Reading]:
    """A job whose last run failed or warned; it recovers by a good run, once an hour has passed without a bad one."""
    for run in jobs if thresholds.jobs else ():
        if now - run.finished_at > NO_LONGER:
            continue
        facts: dict[str, Any] = {"job": run.job, "outcome": run.outcome, "finished_at": format_instant(run.finished_at)}
        facts |= {"scheduled_for": format_instant(run.scheduled_for), "said": run.said, "error": run.error}
        for outcome in BAD:
            is_bad = run.outcome == outcome and not _is_told(run, book, thresholds, now)
            yield Reading(JOB, rule_of(JOB, run.job), outcome, is_bad, is_bad or outcome in run.lately, facts)


def _is_told(run: Ended, book: PriceBook, thresholds: Thresholds, now: datetime) -> bool:
    """Whether a run only warned of what another rule tells of by itself."""
    calendars = {end_of(calendar) for calendar in calendars_in_use(book, now)} if thresholds.calendar_days else set()
    by_another = {
        "verify": thresholds.frozen,
        "reconcile": thresholds.difference,
        "prices": {*run.error.splitlines()} <= calendars,
    }
    return run.outcome == WARNED and by_another.get(run.job, False)


def _calendars(book: PriceBook, thresholds: Thresholds, now: datetime) -> Iterator[Reading]:
    """A calendar of holidays that ends soon: what depends on it is provisional after that."""
    if not thresholds.calendar_days:
        return
    ending = {calendar.name for calendar in calendars_that_end(book, now, thresholds.calendar_days)}
    for calendar in calendars_in_use(book, now):
        ends = calendar.name in ending
        facts = {"calendar": calendar.name, "published_to": calendar.published_to.isoformat()}
        yield Reading(
            CALENDAR, rule_of(CALENDAR, calendar.name), counted(thresholds.calendar_days, "day"), ends, ends, facts
        )
