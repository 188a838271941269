"""A gateway on a real port, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import uvicorn

from costmeter.cli.gateway import OPTIONS
from costmeter.gateway.app import Gateway
from costmeter.gateway.callers import OwnKeys
from costmeter.gateway.exchange import Way
from costmeter.gateway.upstream import Upstream
from costmeter.recorder.spool import Spool
from tests.quick_server import QuickServer


class Served:
    """The gateway between a base URL and a spool, for the length of a `with` block."""

    def __init__(
        self,
        upstream: str,
        spool: Spool,
        *,
        stall_seconds: float = 30.0,
        drain: bool = False,
        retries: int = 0,
        **options: Any,
    ) -> None:
        callers = options.pop("callers", OwnKeys())
        way = Way(Upstream(upstream, stall_seconds=stall_seconds), drain, retries)
        self.gateway = Gateway(way, spool, callers, **options)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._server = QuickServer(uvicorn.Config(self.gateway, **OPTIONS, timeout_graceful_shutdown=5))
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)

    def stop(self) -> None:
        """Ends as a signal would end it."""
        self._server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
