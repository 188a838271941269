"""Both ends of the gateway, byte by byte."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import h11

ANSWER = b'{"id":"r-1","model":"deepseek-chat","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
GOOD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)
QUIET = 0.2  # seconds of silence after which a caller who expects nothing leaves
PATIENCE = 20.0  # seconds after which what must come has not come

KEY = "sk-secret-0123456789abcdef"
BODY = b'{"model":"deepseek-chat","messages":[]}'
CHAT = b"/chat/completions"

Conversation = Callable[[socket.socket], None]


def post(path: bytes = CHAT, head: bytes = b"", body: bytes = BODY, *, version: bytes = b"1.1") -> bytes:
    """A request with its length, unless the head says something of that."""
    is_framed = b"content-length" in head or b"transfer-encoding" in head
    length = b"" if is_framed else b"content-length: %d\r\n" % len(body)
    own = b"host: x\r\nauthorization: Bearer %b\r\n%b%b\r\n" % (KEY.encode(), length, head)
    return b"POST %b HTTP/%b\r\n%b%b" % (path, version, own, body)


def bare(method: bytes, target: bytes = b"/models", head: bytes = b"") -> bytes:
    """A request without a body."""
    return b"%b %b HTTP/1.1\r\nhost: x\r\n%b\r\n" % (method, target, head)


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


class Listener:
    """A server at a port of its own that has a conversation over each connection, in a thread for each."""

    def __init__(self, converse: Conversation | None = None) -> None:
        self.connections = 0
        self._converse = converse
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.base_url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def converse(self, connection: socket.socket) -> None:
        """What is said over one connection."""
        if self._converse is not None:
            self._converse(connection)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                threading.Thread(target=self._have, args=(connection,), daemon=True).start()

    def _have(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError, BrokenPipeError):
            self.converse(connection)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class StrictVendor(Listener):
    """Answers every request that is good HTTP, as h11 judges it; keeps what came, and what was wrong with the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[h11.Request, bytes]] = []
        self.wrong: list[str] = []

    def converse(self, connection: socket.socket) -> None:
        parser, request, body = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 24), None, b""
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as error:
                if "peer " not in str(error):  # a caller who left in the middle of a body
                    self.wrong.append(str(error))
                return
            if event is h11.NEED_DATA:
                parser.receive_data(connection.recv(1 << 16))
            elif isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                self.requests.append((request, body))
                connection.sendall(GOOD.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == b"HEAD" else GOOD)
                return
            else:
                return


def read_request(connection: socket.socket) -> bytes:
    """The next request on a connection, head and body (of a known length); empty where the peer is gone."""
    said = b""
    while b"\r\n\r\n" not in said:
        piece = connection.recv(1 << 16)
        if not piece:
            return b""
        said += piece
    head, _, body = said.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body


def until(reached: Callable[[], bool]) -> None:
    """Waits for what must come about."""
    deadline = time.monotonic() + 3 * PATIENCE
    while not reached():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


async def say(port: int, *pieces: bytes) -> bytes:
    """What the gateway answers on a connection of its own, until it closes, or has had nothing to say for a while."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        with suppress(ConnectionError, TimeoutError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            while piece := await asyncio.wait_for(reader.read(1 << 16), QUIET):
                answer += piece
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return answer


async def ask(port: int, request: bytes) -> bytes:
    """The first answer to a request, as far as it has come when its head is complete; empty where there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        with suppress(ConnectionError):
            writer.write(request)
            while b"\r\n\r\n" not in answer and (piece := await asyncio.wait_for(reader.read(1 << 16), PATIENCE)):
                answer += piece
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return answer


def status_of(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ", 2)[1])
