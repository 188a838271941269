"""Starting and stopping, and what the simulator may know."""

from __future__ import annotations

import ast
import gc
import socket
import sys
import threading
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI

import costmeter.simulator
from costmeter.simulator import BadInputError, HostClock, Ledger, Simulator, SimulatorClock
from costmeter.simulator.server import listen, url_of

from .asking import NOON, ask

PACKAGE = Path(costmeter.simulator.__file__).parent


def test_it_leaves_no_thread_and_no_open_port(clock: SimulatorClock) -> None:
    before = set(threading.enumerate())
    with Simulator(clock) as simulator, OpenAI(api_key="sk-test", base_url=simulator.base_url) as client:
        ask(client)
        port = int(simulator.base_url.rpartition(":")[2])

    gc.collect()  # An open socket would be a ResourceWarning here, and so an error.
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


def test_it_can_be_started_again_with_the_same_books(clock: SimulatorClock) -> None:
    simulator = Simulator(clock)
    for count in (1, 2):
        with simulator, OpenAI(api_key="sk-test", base_url=simulator.base_url) as client:
            ask(client)
            assert len(simulator.ledger.calls) == count


def test_two_run_side_by_side() -> None:
    with Simulator(SimulatorClock(NOON)) as one, Simulator(SimulatorClock(NOON)) as other:
        assert one.base_url != other.base_url
        with OpenAI(api_key="sk-test", base_url=one.base_url) as client:
            ask(client)
        assert (len(one.ledger.calls), len(other.ledger.calls)) == (1, 0)


def test_without_a_clock_it_is_now() -> None:
    with Simulator() as simulator:
        assert isinstance(simulator.clock, HostClock)
        assert httpx2.get(f"{simulator.base_url}/_simulator/clock").status_code == 200


def test_a_port_that_is_taken_or_impossible_is_refused_by_name() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert url_of(taken) == f"http://127.0.0.1:{port}"
        with pytest.raises(BadInputError, match=rf'address "127.0.0.1:{port}": cannot listen there'):
            listen("127.0.0.1", port)
    with pytest.raises(BadInputError, match="port 70000: choose a port"):
        listen("127.0.0.1", 70_000)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"currency": "EUR"}, 'currency "EUR": choose USD or CNY'),
        ({"granted": "much"}, 'granted "much": write a decimal string'),
        ({"topped_up": "-1"}, 'topped_up "-1": write a decimal string'),
        ({"chunk_delay": -0.1}, "chunk_delay -0.1: give seconds"),
        ({"chunk_delay": float("nan")}, "chunk_delay NaN: give seconds"),
        ({"keep_alive": 0}, "keep_alive 0: give seconds, more than 0"),
        ({"answer_time": timedelta(seconds=-1)}, "answer_time -1.0: give a time that is not negative"),
        ({"faults": {"reset": 1.5}}, "rate of reset 1.5: give a share of the calls from 0 to 1"),
        ({"faults": {"reset": 0.6, "silent": 0.6}}, "choose rates that add up to 1 at most"),
        ({"faults": {"reste": 0.1}}, 'kind "reste": choose 400, 401'),
        ({"faults": {"reset;after=x": 0.1}}, 'after_chunks "x": give a whole number of chunks'),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, object], named: str) -> None:
    with pytest.raises(BadInputError, match=named):
        Simulator(SimulatorClock(NOON), **options)  # type: ignore[arg-type]


def test_a_ledger_starts_empty(clock: SimulatorClock) -> None:
    assert Ledger(clock).balance().total == 0


def test_it_shares_nothing_with_the_rest_of_costmeter() -> None:
    """An oracle that used the code under test would be wrong whenever that code is."""
    allowed = {"costmeter.simulator", "starlette", "uvicorn"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                root = ".".join(name.split(".")[:2]) if name.startswith("costmeter") else name.split(".")[0]
                assert root in allowed or root in sys.stdlib_module_names, f"{path.name} imports {name}"
