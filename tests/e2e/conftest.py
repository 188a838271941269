"""A simulator on the clock of this machine, and commands run in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from costmeter.simulator import Simulator
from tests.cli.running import run

__all__ = ["run", "simulator"]


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with Simulator(topped_up="1000") as running:
        yield running
