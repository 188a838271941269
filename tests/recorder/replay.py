"""A server that answers with what it is given, byte for byte, over a real socket."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

DATE = "Sat, 01 Mar 2025 16:30:00 GMT"


@dataclass
class Reply:
    """What to answer; `ending` is how it ends: `whole`, `truncated` (closed too early), `reset`, or `stalled`."""

    body: bytes | list[bytes] = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ending: str = "whole"
    is_silent: bool = False  # the ending comes before even the head of the response

    def chunks(self) -> list[bytes]:
        return [self.body] if isinstance(self.body, bytes) else self.body


def json_reply(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply(body, status, {"content-type": "application/json", **(headers or {})})


def stream_reply(body: bytes, ending: str = "whole", size: int = 200, **headers: str) -> Reply:
    """A stream in HTTP chunks of that size."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return Reply(pieces, 200, {"content-type": "text/event-stream", **headers}, ending)


class ReplayServer:
    """Gives its replies in order, and the last one again and again; remembers what it was asked."""

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.replay = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer_with(self, *replies: Reply) -> None:
        self.replies = deque(replies)
        self.requests.clear()

    def next_reply(self) -> Reply:
        return self.replies.popleft() if len(self.replies) > 1 else self.replies[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    replay: ReplayServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        replay = self.server.replay
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        replay.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        reply = replay.next_reply()
        if not reply.is_silent:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._send(reply)
        self._end(reply.ending)

    def do_GET(self) -> None:
        self.do_POST()

    def _send(self, reply: Reply) -> None:
        is_chunked = isinstance(reply.body, list)
        self.send_response_only(reply.status)
        headers = {"date": DATE, **reply.headers}
        headers |= {"transfer-encoding": "chunked"} if is_chunked else {}
        if not is_chunked:
            whole = len(reply.chunks()[0])
            headers["content-length"] = str(whole if reply.ending == "whole" else whole + 10)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self._write(reply.chunks(), is_chunked)
        if is_chunked and reply.ending == "whole":
            self.wfile.write(b"0\r\n\r\n")

    def _write(self, chunks: Iterable[bytes], is_chunked: bool) -> None:
        for chunk in chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk) if is_chunked else chunk)

    def _end(self, ending: str) -> None:
        if ending == "whole":
            return
        self.close_connection = True
        if ending == "stalled":
            self.server.replay.released.wait(10)
        elif ending == "reset":
            time.sleep(0.05)  # what was sent arrives before the reset discards it
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the standard library
        """Quiet."""
