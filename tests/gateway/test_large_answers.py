"""An answer of 100 MB goes through in little memory, and as fast as its caller takes it."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.serving import Served
from tests.recorder.conftest import Records

SIZE, PIECE = 100 << 20, bytes(range(256)) * 256
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % SIZE
HELD = 24 << 20  # bytes of an answer that nobody takes: buffers of four sockets, and the gateway's own 128 KiB


class Pouring:
    """A vendor that pours out SIZE bytes as fast as they are taken, and knows how many have been."""

    def __init__(self) -> None:
        self.poured = 0
        self.moved = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._pour, daemon=True)
        self._thread.start()

    def settled(self) -> int:
        """How many bytes were taken, once no more are."""
        with self.moved:
            while self.moved.wait(1.0):
                pass
            return self.poured

    def close(self) -> None:
        self._listener.close()
        self._thread.join(10)

    def _pour(self) -> None:
        caller, _ = self._listener.accept()
        with caller:
            caller.recv(65_536)
            caller.sendall(HEAD)
            while self.poured < SIZE:
                sent = caller.send(PIECE[: SIZE - self.poured])
                # What is sent goes on in the pattern wherever the last piece was cut.
                while sent % 256:
                    sent += caller.send(PIECE[sent % 256 : 256])
                with self.moved:
                    self.poured += sent
                    self.moved.notify_all()


@pytest.fixture
def vendor() -> Iterator[Pouring]:
    pouring = Pouring()
    yield pouring
    pouring.close()


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_it_waits_for_a_slow_caller_and_stays_small(vendor: Pouring, records: Records) -> None:
    with (
        Served(vendor.base_url, records.spool) as gateway,
        socket.create_connection(("127.0.0.1", gateway.port)) as caller,
    ):
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        body = b'{"model":"deepseek-chat","stream":true}'
        caller.sendall(
            b"POST /chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        received = caller.recv(4096)
        before = resident()
        assert vendor.settled() < HELD
        head, _, begun = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        digest, size = hashlib.sha256(begun), len(begun)
        while size < SIZE:
            piece = caller.recv(1 << 20)
            assert piece
            digest.update(piece)
            size += len(piece)
        grown = resident() - before
    expected = hashlib.sha256()
    for _ in range(SIZE // len(PIECE)):
        expected.update(PIECE)
    assert digest.digest() == expected.digest()
    assert grown < 48 << 20, f"{grown:,} bytes"
    record = records.one()
    assert (record["status"], record["detail"]["bytes"]) == ("unmetered", SIZE)
