"""The gateway killed, told to end, without its database, and in two processes: each call is one record all the same."""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from costmeter.simulator import Simulator
from tests.e2e.gateways import Gateways
from tests.gateway.raw import Listener, read_request, until

FIRST = b'data: {"id":"%b","model":"deepseek-flash","choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
LAST = b'data: {"id":"%b","model":"deepseek-flash","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
CALLS, MOST = 5, 200


class Holding(Listener):
    """Begins to answer, and ends the answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def converse(self, connection: socket.socket) -> None:
        while read_request(connection):
            ours = b"r-%d" % id(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            connection.sendall(FIRST % ours)
            self.let.wait()
            connection.sendall(LAST % ours + b"data: [DONE]\n\n")
            return


def rest(begun: tuple[http.client.HTTPConnection, http.client.HTTPResponse]) -> bytes:
    """What is left of an answer, up to its end or to where it breaks off."""
    connection, response = begun
    try:
        return response.read()
    except (http.client.IncompleteRead, ConnectionError):
        return b"broken off"
    finally:
        connection.close()


@pytest.fixture
def vendor() -> Iterator[Holding]:
    with Holding() as running:
        yield running
        running.let.set()


def test_calls_of_a_killed_gateway_are_recorded_by_the_next(vendor: Holding, database_url: str, tmp_path: Path) -> None:
    gateways = Gateways(vendor.base_url, database_url, tmp_path)
    with gateways.one() as process:
        begun = [gateways.begin() for _ in range(CALLS)]
        process.kill()
        assert [rest(one) for one in begun] == [b"broken off"] * CALLS
    with gateways.one() as process:
        until(lambda: len(gateways.books()) == CALLS)  # before any call comes
        vendor.let.set()
        assert b"DONE" in rest(gateways.begin())
        gateways.end(process)
    died = ("unmetered", "process died", False)
    assert gateways.books() == sorted([died] * CALLS + [("ok", None, True)], key=str)


def test_answers_are_finished_and_posted_before_it_ends(vendor: Holding, sqlite_url: str, tmp_path: Path) -> None:
    gateways = Gateways(vendor.base_url, sqlite_url, tmp_path)
    with gateways.one() as process:
        begun = [gateways.begin() for _ in range(CALLS)]
        process.send_signal(signal.SIGTERM)
        until(lambda: not gateways.serves())  # no new calls are taken
        vendor.let.set()
        assert all(b"DONE" in rest(one) for one in begun)
        assert process.wait(60) == 0, gateways.log()
    assert gateways.books() == [("ok", None, True)] * CALLS
    assert "Traceback" not in gateways.log()


def test_answers_that_take_too_long_are_broken_off_and_recorded(
    vendor: Holding, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTMETER_GATEWAY_STOP_SECONDS", "1")
    gateways = Gateways(vendor.base_url, sqlite_url, tmp_path)
    with gateways.one() as process:
        begun = gateways.begin()
        gateways.end(process)
        assert rest(begun) == b"broken off"
    assert gateways.books() == [("unmetered", "cut off: GatewayStoppedError", False)]
    assert "Traceback" not in gateways.log()


def test_calls_made_while_the_database_is_away_are_recorded_when_it_is_back(sqlite_url: str, tmp_path: Path) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with Simulator() as simulator:
        gateways = Gateways(simulator.base_url, sqlite_url, tmp_path)
        with gateways.one() as process:
            gateways.ask()
            until(lambda: len(gateways.books()) == 1)
            with away(path):
                for _ in range(CALLS):
                    gateways.ask()
            gateways.end(process)
        assert gateways.books() == [("ok", None, True)] * (CALLS + 1)
        assert len(simulator.ledger.calls) == CALLS + 1


@contextmanager
def away(path: Path) -> Iterator[None]:
    """A database that cannot be opened: a folder is where its file was."""
    kept = path.with_suffix(".kept")
    path.rename(kept)
    path.mkdir()
    yield
    path.rmdir()
    shutil.move(kept, path)


def test_two_processes_both_answer(vendor: Holding, postgres_url: str, tmp_path: Path) -> None:
    """Each process keeps the calls that it is answering in a lane of its own."""
    gateways = Gateways(vendor.base_url, postgres_url, tmp_path)
    with gateways.one("--workers", "2") as process:
        begun = [gateways.begin()]
        while len(begun) < MOST and len(filled(tmp_path / "spool")) < 2:
            begun.append(gateways.begin())
        vendor.let.set()
        assert all(b"DONE" in rest(one) for one in begun)
        gateways.end(process)
    assert gateways.books() == [("ok", None, True)] * len(begun)
    assert 2 <= len(begun) < MOST


def filled(spool: Path) -> set[Path]:
    """The lanes that hold something."""
    return {path.parent for path in spool.rglob("*.ndjson") if path.stat().st_size}


def test_two_processes_share_the_port_and_the_books(postgres_url: str, tmp_path: Path) -> None:
    with Simulator() as simulator:
        gateways = Gateways(simulator.base_url, postgres_url, tmp_path)
        with gateways.one("--workers", "2") as process:
            for _ in range(4 * CALLS):
                gateways.ask()
            gateways.end(process)
        assert len(simulator.ledger.calls) == 4 * CALLS
    assert gateways.books() == [("ok", None, True)] * (4 * CALLS)
    assert "uvicorn.access" not in gateways.log()
