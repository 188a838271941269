"""A simulator at noon of 2025-03-01 and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from openai import OpenAI

from costmeter.simulator import Simulator, SimulatorClock

from .asking import NOON


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Simulator]:
    """One simulator for all tests of a module that look at answers only, not at the books."""
    with Simulator(SimulatorClock(NOON)) as running:
        yield running


@pytest.fixture(scope="module")
def shared_http(shared_simulator: Simulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=shared_simulator.base_url, headers={"authorization": "Bearer sk-test"}) as plain:
        yield plain


@pytest.fixture
def clock() -> SimulatorClock:
    return SimulatorClock(NOON)


@pytest.fixture
def simulator(clock: SimulatorClock) -> Iterator[Simulator]:
    with Simulator(clock) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[OpenAI]:
    with OpenAI(api_key="sk-test", base_url=simulator.base_url, max_retries=0) as sdk:
        yield sdk


@pytest.fixture
def http(simulator: Simulator) -> Iterator[httpx2.Client]:
    """A plain client with a good key, for what the SDK hides."""
    with httpx2.Client(base_url=simulator.base_url, headers={"authorization": "Bearer sk-test"}) as plain:
        yield plain
