"""The jobs that there are; each is one call of a service."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.money import format_amount
from costmeter.core.price_book import PriceBook
from costmeter.core.watch import Limits
from costmeter.jobs.exports import ExportFolder, write_last_month
from costmeter.jobs.forecasts import tell_forecasts
from costmeter.jobs.job import DAY, Job
from costmeter.prices.check import problems
from costmeter.reports.digest import digest_report
from costmeter.services.expire_credits import expire_credits
from costmeter.services.expire_reservations import expire_reservations, forget_reservations
from costmeter.services.keep_told import Outbox
from costmeter.services.make_partitions import make_partitions
from costmeter.services.post_all import post_all
from costmeter.services.reconcile_balance import reconcile_balance
from costmeter.services.run_job import Done
from costmeter.services.verify import verify
from costmeter.services.watch import watch
from costmeter.services.write_digests import Told, write_digests
from costmeter.store import accounts
from costmeter.store.engine import reading
from costmeter.store.observations import OPEN

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Reconciling(NamedTuple):
    """Whose balance is compared with DeepSeek's, by whom DeepSeek is asked, and how often."""

    account: str
    ask: Callable[[], object]
    every: timedelta


def all_jobs(
    engine: Engine,
    *,
    book: PriceBook,
    limits: Limits,
    nightly_at: time,
    clock: Callable[[], datetime],
    reconciling: Reconciling | None = None,
    exports: ExportFolder | None = None,
    digests: Collection[str] = (),
    outbox: Outbox | None = None,
) -> list[Job]:
    """Every job for a database.

    `nightly_at` (of UTC) is when those of each day begin, `limits` are those of the watch, `exports` is where files go,
    `digests` are the kinds that are told.
    """
    night = timedelta(hours=nightly_at.hour, minutes=nightly_at.minute)
    jobs = [
        Job("post", "post calls that no other process has posted", lambda: _post(engine, book, clock()), MINUTE),
        Job("watch", "raise and recover alerts", lambda: _watch(engine, book, limits, clock()), 5 * MINUTE),
        Job("expire", "book the expiry of grants", lambda: _expire(engine, book, clock()), HOUR, 5 * MINUTE),
        Job("reservations", "end reservations that have expired", lambda: _end_expired(engine, clock()), MINUTE),
        Job("forget", "delete reservations that ended long ago", lambda: _forget(engine, clock()), HOUR, 10 * MINUTE),
        Job("verify", "check the promises on what is new", lambda: _verify(engine, clock()), DAY, night),
        Job("prices", "check the price book and its calendars", lambda: _check_prices(book, clock()), DAY, night),
    ]
    foresee = "tell what budgets will come to"
    jobs.append(Job("forecasts", foresee, lambda: tell_forecasts(engine, clock()), HOUR, 15 * MINUTE))
    if engine.dialect.name == "postgresql":
        jobs.append(Job("partitions", "make month partitions ahead", lambda: _partition(engine, clock()), DAY, night))
    if reconciling is not None:
        what = f"compare the balance of account {reconciling.account} with DeepSeek's"
        jobs.append(Job("reconcile", what, lambda: _reconcile(engine, book, clock, reconciling), reconciling.every))
    if exports is not None:
        what = "write last month's exports"
        jobs.append(Job("exports", what, lambda: write_last_month(engine, exports, clock()), DAY, night + HOUR))
    if digests:
        what = f"write the {' and '.join(digests)} digests"
        jobs.append(Job("digests", what, lambda: _digest(engine, digests, clock()), HOUR, 10 * MINUTE))
    if outbox is not None:
        jobs.append(Job("alerts", "tell what there is to tell", lambda: _tell(outbox), MINUTE))
    return jobs


def _tell(outbox: Outbox) -> Done:
    sent = outbox.empty()
    said = f"told {sent.accepted:,} notices, put off {sent.put_off:,}"
    given_up = [f"gave up {sent.given_up:,} notices; see: costmeter alerts deliveries --state given_up"]
    return Done(said, given_up if sent.given_up else [])


def _post(engine: Engine, book: PriceBook, now: datetime) -> Done:
    return Done(f"posted {post_all(engine, book=book, now=now):,} calls")


def _watch(engine: Engine, book: PriceBook, limits: Limits, now: datetime) -> Done:
    """What stands is told by its notices: here it is no warning, which would be an alert of its own."""
    looked = watch(engine, book=book, limits=limits, now=now)
    told = f"raised {len(looked.raised):,} alerts, {len(looked.recovered):,} recovered"
    return Done(f"looked at {looked.accounts:,} accounts: {told}")


def _expire(engine: Engine, book: PriceBook, now: datetime) -> Done:
    return Done(f"booked the expiry of grants of {len(expire_credits(engine, book=book, now=now)):,} accounts")


def _end_expired(engine: Engine, now: datetime) -> Done:
    return Done(f"ended {expire_reservations(engine, now=now):,} reservations that had expired")


def _forget(engine: Engine, now: datetime) -> Done:
    return Done(f"deleted {forget_reservations(engine, now=now):,} reservations that had ended")


def _verify(engine: Engine, now: datetime) -> Done:
    checked = 0

    def count(charges: int) -> None:
        nonlocal checked
        checked += charges

    findings = verify(engine, now=now, progress=count)
    broken = [f"promise {found.promise}, account {found.account}: {found.what}" for found in findings]
    with reading(engine) as connection:
        frozen = [f"account {one.account} is frozen; costmeter account show" for one in accounts.frozen(connection)]
    return Done(f"checked {checked:,} charges", [*broken, *frozen])


def _check_prices(book: PriceBook, now: datetime) -> Done:
    return Done("checked the price book", problems(book, now))


def _reconcile(engine: Engine, book: PriceBook, clock: Callable[[], datetime], asked: Reconciling) -> Done:
    seen = reconcile_balance(engine, asked.account, asked.ask, book=book, clock=clock)
    warnings = []
    if seen.status == OPEN:
        found = seen.findings["findings"][0]
        amount = f"{format_amount(seen.difference.total)} {seen.currency}"
        see = f"costmeter reconcile show {seen.number} -a {seen.account}"
        said = f"account {seen.account} differs by {amount}, perhaps {found['kind']}: {found['evidence']}; see: {see}"
        warnings = [said]
    return Done(f"observation {seen.number} of account {seen.account}: {seen.status}", warnings)


def _digest(engine: Engine, kinds: Collection[str], now: datetime) -> Done:
    return Done(f"wrote {write_digests(engine, kinds, _facts, now=now):,} digests")


def _facts(connection: Connection, told: Told, now: datetime) -> Mapping[str, Any]:
    return digest_report(connection, told.digest.kind, now, account=told.account, currency=told.currency)


def _partition(engine: Engine, now: datetime) -> Done:
    made = make_partitions(engine, now=now)
    return Done(f"made {', '.join(made)}" if made else "every partition was there already")
