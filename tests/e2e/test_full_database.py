"""A database without room, for real: clean errors, nothing acknowledged is lost, and the work goes on once there is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import Connection, Engine, event, make_url, text

import costmeter
from costmeter import wiring
from costmeter.core.errors import FullError
from costmeter.services.capture import capture
from costmeter.services.verify import verify
from costmeter.simulator import Simulator
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import ChargeRow, EventRow, PendingRow
from tests.cli.running import Run, write
from tests.conftest import TEMPLATE
from tests.make import NOW, an_event, at, book, counted, rows, top_up
from tests.recorder.test_spool_disk import fill, mounted
from tests.services.invariants import check_books

PART, MOST = 100, 400  # calls of a part, and parts until there is surely no room
KEY = "sk-0123456789abcdef0123456789abcdef"


class Room(Protocol):
    """A database that can run out of room."""

    url: str

    def take(self, left: int) -> None:
        """Leaves so many bytes."""

    def give(self) -> None:
        """Has room again."""


class Pages:
    """An SQLite file: as many pages as are allowed, whoever opens it in this process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._most = 2**30

    def take(self, left: int) -> None:
        engine = open_engine(self.url)
        with reading(engine) as connection:
            pages: int = connection.scalar(text("PRAGMA page_count"))
            size: int = connection.scalar(text("PRAGMA page_size"))
        engine.dispose()
        self._most = pages + left // size

    def give(self) -> None:
        self._most = 2**30

    def limit(self, connection: Connection) -> None:
        """What is done when a transaction begins."""
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA max_page_count = {self._most}")


class Disk:
    """A PostgreSQL database in a tablespace on a small disk."""

    def __init__(self, url: str, place: Path) -> None:
        self.url = url
        self._place = place

    def take(self, left: int) -> None:
        engine = open_engine(self.url)
        with reading(engine):  # the first connection to a new database writes a file
            pass
        engine.dispose()
        filler = fill(self._place)
        os.truncate(filler, max(0, filler.stat().st_size - left))

    def give(self) -> None:
        (self._place / "filler").unlink()


@pytest.fixture
def pages(sqlite_url: str) -> Iterator[Pages]:
    made = Pages(sqlite_url)
    event.listen(Engine, "begin", made.limit)
    yield made
    event.remove(Engine, "begin", made.limit)


@pytest.fixture
def disk(postgres_template: str) -> Iterator[Disk]:
    """The server is not root: the disk is mounted where it may go, and is its own."""
    name, folder = f"full_{uuid4().hex}", Path(tempfile.mkdtemp(prefix="costmeter-full-"))
    folder.chmod(0o755)
    with mounted(folder / "disk", "40m") as place, administrator(postgres_template) as connection:
        server = Path(connection.scalar(text("SHOW data_directory")) or "").stat()
        os.chown(place, server.st_uid, server.st_gid)
        try:
            connection.execute(text(f"CREATE TABLESPACE {name} LOCATION '{place}'"))
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} TABLESPACE {name}"))
            yield Disk(postgres_template.format(name), place)
        finally:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            connection.execute(text(f"DROP TABLESPACE IF EXISTS {name}"))
    shutil.rmtree(folder)


@contextmanager
def administrator(server: str) -> Iterator[Connection]:
    engine = open_engine(server.format("postgres"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
    engine.dispose()


@pytest.fixture(params=["pages", "disk"], ids=["sqlite", "postgresql"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Room:
    found: Room = request.getfixturevalue(request.param)
    monkeypatch.setenv("COSTMETER_DATABASE_URL", found.url)
    return found


def a_part(number: int) -> list[dict[str, Any]]:
    return [
        an_event(f"c{number}-{n}", account=f"a{n % 3}", response_id=f"r{number}-{n}", output=1_000) for n in range(PART)
    ]


def acknowledged_until_full(engine: Engine) -> int:
    """How many parts were captured before one found no room."""
    for number in range(MOST):
        try:
            capture(engine, a_part(number), book=book(), home=Home(), now=at(NOW))
        except FullError:
            return number
    raise AssertionError("there was room to the end")


@pytest.mark.parametrize("left", [0, 200_000, 700_000])
def test_nothing_acknowledged_is_lost_and_the_work_goes_on(room: Room, left: int) -> None:
    engine = open_engine(room.url)
    top_up(engine, "1.00", "2025-03-01T00:00:00Z", account="a0")
    room.take(left)
    parts = acknowledged_until_full(engine)
    stored = {row["event_id"] for row in rows(engine, EventRow)}
    assert {body["event_id"] for number in range(parts) for body in a_part(number)} <= stored
    assert len(stored) % PART == 0, "a part is there as a whole"
    check_books(engine)
    room.give()
    capture(engine, a_part(parts), book=book(), home=Home(), now=at(NOW))
    assert counted(engine, EventRow, ChargeRow, PendingRow) == [PART * (parts + 1), PART * (parts + 1), 0]
    assert verify(engine, full=True) == []
    engine.dispose()


def test_a_command_says_which_database_is_full_and_does_the_rest_later(room: Room, run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "calls.ndjson", *(body for number in range(60) for body in a_part(number)))
    room.take(300_000)
    refused = run("record", file).refused
    where = make_url(room.url).render_as_string()
    assert refused.startswith(f"the database {where} is full (")
    assert refused.endswith("): nothing of this was written; make room and do it again, nothing counts twice")
    room.give()
    counts = run("record", file, "--json").json
    assert counts["accepted"] + counts["duplicates"] == 60 * PART
    assert counts["duplicates"] % 1_000 == 0
    assert run("verify", "--full").code == 0


def test_the_spool_keeps_the_calls_until_there_is_room(room: Room, run: Run, simulator: Simulator) -> None:
    spool = wiring.open_spool()
    transport = costmeter.RecordingTransport(account="a0", _spool=spool)
    question = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello"}]}
    engine = open_engine(room.url)
    room.take(0)
    acknowledged_until_full(engine)
    engine.dispose()
    with httpx2.Client(
        transport=transport, base_url=simulator.base_url, headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        for _ in range(60):
            assert client.post("/chat/completions", json=question).status_code == 200
    assert not costmeter.flush(1)
    assert spool.counts.waiting > 0
    assert spool.counts.dropped == 0
    room.give()
    assert costmeter.flush(30)
    assert (spool.counts.delivered, spool.counts.waiting) == (60, 0)
    assert spool.close(10)
    spool.disconnect()
    assert run("verify", "--full").code == 0
