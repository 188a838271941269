"""Records that go to a server by COSTMETER_SERVER_URL, with the spool's promises kept."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import costmeter
from costmeter import wiring
from costmeter.core.money import parse_amount
from costmeter.simulator.server import Simulator
from tests.api.serving import Api, posted, served
from tests.cli.running import Run, run

__all__ = ["run"]

KEY = "sk-3f2a9d7c51e84b06a7d2c9f0b1e4d8aa"
QUESTION = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as made:
        yield made


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Api]:
    with served(sqlite_url) as made:
        yield made


@pytest.fixture
def key(api: Api, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key that may only send; the settings of whoever records name the server and it."""
    text = api.key("ingest", accounts=["team"])["Authorization"].removeprefix("Bearer ")
    monkeypatch.setenv("COSTMETER_SERVER_URL", str(api.base_url))
    monkeypatch.setenv("COSTMETER_API_KEY", text)
    return text


def ask(simulator: Simulator, spool: object, times: int) -> None:
    transport = costmeter.RecordingTransport(project="search", _spool=spool)  # type: ignore[arg-type]
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx2.Client(transport=transport, base_url=simulator.base_url, headers=headers) as client:
        for _ in range(times):
            assert client.post("/chat/completions", json=QUESTION).status_code == 200


def test_what_is_recorded_is_on_the_server_after_flush(api: Api, key: str, simulator: Simulator) -> None:
    spool = wiring.open_spool()
    ask(simulator, spool, 7)
    assert spool.flush(30)
    posted(api, "team")
    report = api.get("/v1/reports/spend", params={"month": time.strftime("%Y-%m", time.gmtime())}).json()
    assert report["totals"]["calls"] == 7
    spent = sum(paid.bill.cost for paid in simulator.ledger.calls)
    assert parse_amount(report["totals"]["cost"]) == spent
    assert spool.close(10)
    spool.disconnect()


def test_a_server_that_is_away_costs_nothing_but_time(
    sqlite_url: str, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with served(sqlite_url, port=port) as api:
        text = api.key("ingest")["Authorization"].removeprefix("Bearer ")
    monkeypatch.setenv("COSTMETER_SERVER_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("COSTMETER_API_KEY", text)
    spool = wiring.open_spool()
    ask(simulator, spool, 5)
    assert not spool.flush(0.5)
    assert (spool.counts.waiting, spool.counts.dropped) == (5, 0)
    with served(sqlite_url, port=port) as api:
        assert spool.flush(30)
        posted(api)
        assert len(api.get("/v1/events").json()["data"]) == 5
    assert spool.close(10)
    spool.disconnect()


def test_what_a_killed_process_left_goes_to_the_server_by_flush(
    api: Api, key: str, simulator: Simulator, run: Run, tmp_path: Path
) -> None:
    """The process is killed in the moment after its calls returned, before anything was delivered."""
    program = (
        "import os, signal, httpx2, costmeter\n"
        "client = httpx2.Client(transport=costmeter.RecordingTransport(), "
        f"base_url={simulator.base_url!r}, headers={{'authorization': 'Bearer {KEY}'}})\n"
        f"for _ in range(3): client.post('/chat/completions', json={QUESTION!r})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    said = run("doctor")
    assert f"yes   server: {api.base_url} takes records" in said.out.replace("/ takes", " takes")
    assert "deliver them: costmeter flush" in said.out
    assert run("flush").done == "3 calls of processes that are gone delivered and posted\n"
    posted(api, "team")
    assert len(api.get("/v1/events", params={"account": "team"}).json()["data"]) == 3


def test_a_key_that_may_not_send_is_told_by_doctor(api: Api, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = api.key("read")["Authorization"].removeprefix("Bearer ")
    monkeypatch.setenv("COSTMETER_SERVER_URL", str(api.base_url))
    monkeypatch.setenv("COSTMETER_API_KEY", text)
    said = run("doctor")
    assert said.code == 1
    assert "no    server: key key-" in said.out
    assert "has read; this needs ingest" in said.out
    assert text not in said.out


def test_a_server_without_a_key_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_SERVER_URL", "http://127.0.0.1:1")
    assert run("flush").refused == "COSTMETER_SERVER_URL needs COSTMETER_API_KEY, a key with the role ingest"
