"""`costmeter doctor`: whether this installation can do its work, and what to do where it cannot."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import typer
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from costmeter import wiring
from costmeter.cli.database import bare_database
from costmeter.cli.frozen import said_of
from costmeter.cli.gateway import describe_keys
from costmeter.cli.options import AsJson
from costmeter.cli.output import print_json, print_line
from costmeter.core.errors import CostmeterError
from costmeter.core.periods import format_instant
from costmeter.core.watch import KINDS
from costmeter.prices.check import problems
from costmeter.recorder.lane import Lane, size
from costmeter.recorder.leftovers import losses, survey
from costmeter.store import accounts, alerts, imported, notices, schema
from costmeter.store.alerts import NO_ACCOUNT
from costmeter.store.engine import journal_mode, reading

LATELY = timedelta(days=7)


class Check(NamedTuple):
    """One thing that was looked at: `no` needs a hand, `note` is worth knowing."""

    what: str
    verdict: Literal["yes", "note", "no"]
    said: str


def doctor(as_json: AsJson = False) -> None:
    """Check the installation: database, price book, channels, gateway, spool. Exit 1 where something needs a hand."""
    where = _checked_database() if wiring.settings().server_url is None else _checked_server()
    checks = [*where, *_checked_prices(), *_checked_channels(), *_checked_gateway(), *_checked_spool()]
    if as_json:
        print_json({"checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            print_line(f"{check.verdict:<5} {check.what}: {check.said}")
    raise typer.Exit(int(any(check.verdict == "no" for check in checks)))


def _checked_database() -> Iterator[Check]:
    try:
        with bare_database() as engine:
            if engine.dialect.name == "sqlite" and schema.is_empty(engine):
                yield Check("database", "note", f"{engine.url.database} is made at its first use")
            else:
                schema.check(engine)
                yield Check("database", "yes", f"{engine.url.render_as_string()}, schema {schema.NEWEST}")
                yield from _frozen_accounts(engine)
                yield from _counted_twice(engine)
                yield from _standing_alerts(engine)
                yield from _given_up(engine)
            if engine.dialect.name == "sqlite":
                yield Check("SQLite", "yes", f"{sqlite3.sqlite_version}, journal {journal_mode()}")
    except CostmeterError as error:
        yield Check("database", "no", str(error))
    except DBAPIError as error:
        yield Check("database", "no", f"cannot be reached: {' '.join(str(error.orig).split())}")


def _checked_server() -> Iterator[Check]:
    """Whether the server takes what its key sends."""
    try:
        with wiring.server_client() as client:
            client.record([])
        yield Check("server", "yes", f"{wiring.settings().server_url} takes records")
    except CostmeterError as error:
        yield Check("server", "no", str(error))


def _frozen_accounts(engine: Engine) -> Iterator[Check]:
    with reading(engine) as connection:
        for account in accounts.frozen(connection):
            yield Check("ledger", "no", said_of(account))


def _counted_twice(engine: Engine) -> Iterator[Check]:
    """Imported history into which calls were recorded since."""
    with reading(engine) as connection:
        for account in accounts.listed(connection):
            name = account.account
            if found := imported.with_calls(connection, name, imported.intervals(connection, name)):
                remedy = "void the import and import the time before the calls: costmeter import list"
                said = f"account {name} has recorded calls in {len(found)} imported intervals, the first {found[0]}"
                yield Check("history", "no", f"{said}; they count twice: {remedy}")


def _standing_alerts(engine: Engine) -> Iterator[Check]:
    """What the watch found of the installation; alerts of accounts are their owners'."""
    with reading(engine) as connection:
        for alert in alerts.standing_of(connection, [NO_ACCOUNT], KINDS):
            since = format_instant(alert.raised_at)
            yield Check("watch", "note", f"{alert.rule} ({alert.threshold}) since {since}; see: costmeter watch")


def _given_up(engine: Engine) -> Iterator[Check]:
    """What was not told, lately."""
    with reading(engine) as connection:
        found = notices.given_up_since(connection, datetime.now(UTC) - LATELY)
    for channel, count in sorted(found.items()):
        remedy = "see: costmeter alerts deliveries --state given_up; once it is mended: costmeter alerts retry"
        yield Check(
            "alerts", "no", f"channel {channel} was given up for {count:,} notices of {LATELY.days} days; {remedy}"
        )


def _checked_channels() -> Iterator[Check]:
    try:
        found = wiring.channels()
    except CostmeterError as error:
        yield Check("channels", "no", str(error))
        return
    yield Check("channels", "yes", f"notices are told through {', '.join(sorted(found.by_name))}")


def _checked_gateway() -> Iterator[Check]:
    try:
        yield Check("gateway", "yes", describe_keys())
    except CostmeterError as error:
        yield Check("gateway", "no", str(error))


def _checked_prices() -> Iterator[Check]:
    try:
        found = problems(wiring.price_book(), datetime.now(UTC))
    except CostmeterError as error:
        yield Check("price book", "no", str(error))
        return
    for problem in found:
        yield Check("price book", "note", problem)
    if not found:
        yield Check("price book", "yes", f"edition {wiring.price_book().edition[:12]}, no problems")


def _checked_spool() -> Iterator[Check]:
    folder = wiring.spool_folder()
    yield _written(folder)
    for found in survey(folder):
        whose = f"process {found.state.process} on {found.state.host}"
        said = f"{found.waiting} calls wait, {found.open} on their way ({found.folder.name})"
        if found.is_alive:
            yield Check("spool", "yes", f"{whose} records: {said}")
        else:
            yield Check("spool", "no", f"{whose} is gone: {said}; deliver them: costmeter flush")
    for lost, state in losses(folder):
        remedy = f"its disk or its spool was full; remove {lost} once that is dealt with"
        yield Check("spool", "no", f"process {state.process} on {state.host} lost {state.lost} calls: {remedy}")


def _written(folder: Path) -> Check:
    """Whether a lane can be made, and how much space there is."""
    try:
        lane = Lane.open(folder)
        is_written = lane.write(b"{}")
        lane.discard()
        limit, used, free = wiring.settings().spool_limit, size(folder), shutil.disk_usage(folder).free
    except OSError as error:
        return Check("spool", "no", f"{folder} cannot be written: {error.strerror or error}")
    said = f"{folder} takes {used:,} of at most {limit:,} bytes; the disk has {free:,} free"
    return Check("spool", "yes" if is_written and used < limit else "no", said)
