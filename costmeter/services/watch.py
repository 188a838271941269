"""Watch: look at every account and at the installation, raise what newly stands, recover what no longer does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.money import CURRENCIES
from costmeter.core.periods import Period
from costmeter.core.price_book import PriceBook
from costmeter.core.price_changes import PriceChange, price_changes
from costmeter.core.watch import KINDS, SCHEDULER, UNMETERED, Changes, Limits, Reading, Stands, changes
from costmeter.core.watched_account import BY_ROLLUPS, DAY, account_readings
from costmeter.core.watched_installation import WELL_AGAIN, Ended, Installation, installation_readings
from costmeter.store import accounts, alerts, leases, runs, watched
from costmeter.store.accounts import Account
from costmeter.store.alerts import NO_ACCOUNT, Alert, Crossing
from costmeter.store.engine import in_transaction, reading

CHUNK = 500  # accounts that are looked at by one set of statements
LOCK = "watch"  # what those hold who write alerts of the installation


class Looked(NamedTuple):
    """How many accounts were looked at, and which alerts that raised and recovered."""

    accounts: int
    raised: list[Crossing]
    recovered: list[Crossing]


class _Look(NamedTuple):
    """What all of one look has in common."""

    book: PriceBook
    limits: Limits
    now: datetime
    ahead: Mapping[str, Sequence[PriceChange]]  # price changes by currency


def watch(engine: Engine, *, book: PriceBook, limits: Limits, now: datetime) -> Looked:
    """What this look raised and recovered; any number of processes may look at once, and each alert is told once.

    Accounts are read many at a time. One of which something changed is looked at again by itself, under its lock, and
    its alerts are written in that transaction.
    """
    ahead = Period(now, now + limits.price_days * DAY)
    look = _Look(book, limits, now, {currency: price_changes(book, currency, ahead) for currency in CURRENCIES})
    looked, last = Looked(0, [], []), None
    while True:
        with reading(engine) as connection:
            page = accounts.listed(connection, after=last, limit=CHUNK)
            changed = [name for name, found in _due(connection, page, look).items() if found]
        for name in changed:
            _add(looked, in_transaction(engine, partial(_settle_account, name, look)))
        looked = looked._replace(accounts=looked.accounts + len(page))
        if len(page) < CHUNK:
            break
        last = page[-1].account
    with reading(engine) as connection:
        is_changed = bool(_due_installation(connection, look))
    if is_changed:
        _add(looked, in_transaction(engine, partial(_settle_installation, look)))
    return looked


def _add(looked: Looked, written: tuple[list[Crossing], list[Crossing]]) -> None:
    looked.raised.extend(written[0])
    looked.recovered.extend(written[1])


def _due(connection: Connection, page: Sequence[Account], look: _Look) -> dict[str, Changes]:
    """What is to change in the alerts of these accounts."""
    names = [account.account for account in page]
    standing: dict[str, list[Alert]] = {name: [] for name in names}
    for alert in alerts.standing_of(connection, names, KINDS):
        standing[alert.account].append(alert)
    kinds = {(name, one.kind) for name, found in standing.items() for one in found}
    models = any(look.ahead.values())
    due = {}
    for seen in watched.look_at(connection, page, look.now, models=models, standing=kinds):
        readings = account_readings(seen, look.ahead[seen.currency], look.limits, look.now)
        unknown = () if seen.has_rollups else BY_ROLLUPS
        due[seen.account] = changes(readings, [_stands(one) for one in standing[seen.account]], unknown)
    return due


def _due_installation(connection: Connection, look: _Look) -> Changes:
    lately = runs.bad_since(connection, look.now - WELL_AGAIN)
    jobs = [_ended(run, lately.get(run.job, set())) for run in runs.ended(connection)]
    items = [item for found in watched.open_items(connection, None).values() for item in found]
    readings = installation_readings(Installation(jobs, items), look.book, look.limits, look.now)
    standing = [_stands(one) for one in alerts.standing_of(connection, [NO_ACCOUNT], KINDS)]
    return changes(readings, standing)


def _ended(run: runs.Run, lately: set[str]) -> Ended:
    assert run.finished_at is not None
    said, error = run.said or "", run.error or ""
    return Ended(run.job, run.scheduled_for, run.finished_at, run.outcome, said, error, frozenset(lately))


def _stands(alert: Alert) -> Stands:
    return Stands(alert.kind, alert.rule, alert.period, alert.threshold, alert.facts)


def _settle_account(name: str, look: _Look, connection: Connection) -> tuple[list[Crossing], list[Crossing]]:
    """Look at one account again, which nobody else changes meanwhile, and write what is to change."""
    account = accounts.lock(connection, name)
    return _write(connection, name, _due(connection, [account], look)[name], look)


def _settle_installation(look: _Look, connection: Connection) -> tuple[list[Crossing], list[Crossing]]:
    leases.hold(connection, LOCK)
    return _write(connection, NO_ACCOUNT, _due_installation(connection, look), look)


def _write(connection: Connection, account: str, found: Changes, look: _Look) -> tuple[list[Crossing], list[Crossing]]:
    """Raise and recover; which alerts that was told of."""
    raised, recovered = [], []
    for one in found.raised:
        time = one.time or alerts.next_time(connection, account, one.rule, one.threshold)
        crossing = Crossing(account, one.rule, time, one.threshold)
        if alerts.raise_once(connection, crossing, one.kind, _facts(connection, account, one, look), now=look.now):
            raised.append(crossing)
    for stands, facts in found.recovered:
        crossing = Crossing(account, stands.rule, stands.period, stands.threshold)
        if alerts.recover(connection, crossing, stands.kind, facts, now=look.now):
            recovered.append(crossing)
    return raised, recovered


def _facts(connection: Connection, account: str, one: Reading, look: _Look) -> dict[str, Any]:
    """The facts of what is raised, with those that are only asked for then."""
    if one.kind == UNMETERED:
        tokens = watched.estimated(connection, account, look.now - timedelta(days=1))
        return {**one.facts, "estimated_input_tokens": tokens[0], "estimated_output_tokens": tokens[1]}
    if one.kind == SCHEDULER:
        lease = leases.get(connection, look.now)
        return {**one.facts, "lease": lease.owner if lease else None}
    return one.facts
