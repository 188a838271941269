"""A server that replays, a clock that moves when told, and a spool whose records can be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

from costmeter.recorder.spool import Spool
from costmeter.recorder.transport import RecordingTransport

from .replay import ReplayServer
from .spooling import Deliveries

START = datetime(2025, 3, 1, 16, 29, 41, 120_000, tzinfo=UTC)


class TestClock:
    """Stands still until it is told to move; the wall clock can be put wrong without the monotonic one."""

    __test__ = False

    def __init__(self) -> None:
        self.wall = START
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.elapsed += seconds


class Records:
    """What a spool delivered."""

    def __init__(self) -> None:
        self.delivered: list[dict[str, Any]] = []
        self.spool = Spool(self.delivered.extend)

    def all(self) -> list[dict[str, Any]]:
        """Every record so far."""
        assert self.spool.flush(10)
        return list(self.delivered)

    def one(self) -> dict[str, Any]:
        """The one record that there must be."""
        records = self.all()
        assert len(records) == 1, records
        return records[0]


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def records() -> Iterator[Records]:
    kept = Records()
    yield kept
    assert kept.spool.close(10)


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    with ReplayServer() as running:
        yield running


@pytest.fixture(params=[httpx2, httpx], ids=["httpx2", "httpx"])
def library(request: pytest.FixtureRequest) -> Any:
    """Each of the two HTTP libraries."""
    return request.param


@pytest.fixture
def client(server: ReplayServer, records: Records) -> Iterator[httpx2.Client]:
    transport = RecordingTransport(project="search", _spool=records.spool)
    with httpx2.Client(transport=transport, base_url=server.base_url, timeout=0.3) as made:
        yield made


@pytest.fixture
def bare(server: ReplayServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.base_url, timeout=0.3) as made:
        yield made


@pytest.fixture
def deliveries() -> Deliveries:
    """Where a spool delivers to, which can be away."""
    return Deliveries()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the spool keeps its lanes."""
    return tmp_path / "spool"


@pytest.fixture
def spool(deliveries: Deliveries, folder: Path) -> Iterator[Spool]:
    """A spool on the disk."""
    made = Spool(deliveries, folder=folder)
    yield made
    deliveries.is_away = False
    assert made.close(10)
