"""A forwarding HTTP proxy over real sockets: what comes for a URL goes to its host; a tunnel it refuses."""

from __future__ import annotations

import io
import re
import select
import socket
import threading
from socketserver import StreamRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Self

REQUEST_LINE = re.compile(rb"(\w+) http://([^/:]+):(\d+)(\S*) HTTP/1.1\r\n")
REFUSAL = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class ForwardingProxy:
    """Forwards one request a connection, and remembers where each one went."""

    def __init__(self) -> None:
        self.forwarded: list[bytes] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    proxy: ForwardingProxy


class _Handler(StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        head = self.rfile.readline()
        asked = REQUEST_LINE.match(head)
        if asked is None:
            self.wfile.write(REFUSAL)
            return
        method, host, port, path = asked.groups()
        self.server.proxy.forwarded.append(path)
        with socket.create_connection((host.decode(), int(port))) as upstream:
            upstream.sendall(b"%s %s HTTP/1.1\r\nconnection: close\r\n" % (method, path))
            self._relay(upstream)

    def _relay(self, upstream: socket.socket) -> None:
        """Passes the rest of the request on, and the response back until its end."""
        assert isinstance(self.rfile, io.BufferedReader)
        upstream.sendall(self.rfile.peek())  # what was read beyond the first line
        while True:
            readable, _, _ = select.select([self.connection, upstream], [], [])
            for source, sink in ((self.connection, upstream), (upstream, self.connection)):
                if source in readable:
                    data = source.recv(65536)
                    if not data:
                        return
                    sink.sendall(data)
