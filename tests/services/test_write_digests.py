"""Digests are written once for each account and time, however many processes write them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from costmeter.services.write_digests import Told, write_digests
from costmeter.store.alert_tables import NoticeRow
from costmeter.store.engine import open_engine
from tests.make import at, rows, set_up_account

NOW = "2025-04-15T06:00:00Z"


def facts(connection: Connection, told: Told, now: datetime) -> Mapping[str, Any]:
    return {"of": told.account, "currency": told.currency}


def write(engine: Engine, *kinds: str, now: str = NOW) -> int:
    return write_digests(engine, kinds or ("daily",), facts, now=at(now))


def kept(engine: Engine) -> list[tuple[str, str, str, str]]:
    found = rows(engine, NoticeRow, NoticeRow.account, NoticeRow.subject)
    return [(row["account"], row["kind"], row["event"], row["subject"]) for row in found]


def test_each_kind_that_is_asked_for_is_written_once(engine: Engine) -> None:
    set_up_account(engine, "default", now="2025-03-10T00:00:00Z")
    assert write(engine, "daily", "weekly", "monthly") == 3
    assert write(engine, "daily", "weekly", "monthly") == 0
    digests = [
        ("default", "digest", "digest", name) for name in ("daily 2025-04-14", "monthly 2025-03", "weekly 2025-W15")
    ]
    assert kept(engine) == digests
    assert rows(engine, NoticeRow)[0]["facts"] == {"of": "default", "currency": "USD"}
    assert write(engine, "daily", now="2025-04-15T23:59:59Z") == 0
    assert write(engine, "daily", now="2025-04-16T00:00:00Z") == 1


def test_none_is_written_that_nobody_asks_for(engine: Engine) -> None:
    set_up_account(engine, "default")
    assert write_digests(engine, (), facts, now=at(NOW)) == 0


def test_a_day_is_the_accounts_own(engine: Engine) -> None:
    set_up_account(engine, "berlin", timezone="Europe/Berlin")
    set_up_account(engine, "shanghai", currency="CNY", timezone="Asia/Shanghai")
    assert write(engine, now="2025-04-14T17:00:00Z") == 2
    assert [row[0::3] for row in kept(engine)] == [("berlin", "daily 2025-04-13"), ("shanghai", "daily 2025-04-14")]
    assert write(engine, now="2025-04-14T22:00:00Z") == 1  # of Berlin


def test_several_accounts_of_a_currency_have_one_of_all_of_them_too(engine: Engine) -> None:
    for name, currency in (("a", "USD"), ("b", "USD"), ("c", "CNY")):
        set_up_account(engine, name, currency)
    assert write(engine) == 4
    assert kept(engine)[0] == ("", "digest", "digest", "daily 2025-04-14 USD")
    assert rows(engine, NoticeRow, NoticeRow.account)[0]["facts"] == {"of": None, "currency": "USD"}
    assert write(engine) == 0


def test_an_account_has_none_of_a_time_before_it(engine: Engine) -> None:
    set_up_account(engine, "default", now="2025-04-15T05:00:00Z")
    assert write(engine, "daily", "monthly") == 0


def test_many_processes_at_once_write_each_of_them_once(database_url: str) -> None:
    engines = [open_engine(database_url) for _ in range(8)]
    for name in "abcd":
        set_up_account(engines[0], name)
    with ThreadPoolExecutor(len(engines)) as pool:
        written = sum(pool.map(lambda engine: write(engine, "daily", "weekly", "monthly"), engines))
    assert written == len(kept(engines[0])) == 3 * (4 + 1)  # of each account, and of all
    for engine in engines:
        engine.dispose()
