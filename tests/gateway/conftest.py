"""A gateway before a server that replays, and what it recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.serving import Served
from tests.recorder.conftest import Records, clock, records, server
from tests.recorder.replay import ReplayServer

__all__ = ["clock", "records", "server"]


@pytest.fixture
def gateway(server: ReplayServer, records: Records) -> Iterator[Served]:
    with Served(server.base_url, records.spool) as running:
        yield running
