"""Running the simulator: in a thread for tests and demos, or as a process of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette

from costmeter.simulator.app import create_app
from costmeter.simulator.client import Protocol
from costmeter.simulator.clock import STILL, Clock, HostClock
from costmeter.simulator.errors import BadInputError
from costmeter.simulator.fault_plan import FaultPlan
from costmeter.simulator.ledger import Ledger
from costmeter.simulator.manners import Manners
from costmeter.simulator.money import parse_amount
from costmeter.simulator.vendor import Vendor

GRACE = 1  # seconds that an answer under way is given when the simulator stops
IDLE = 60  # seconds after which an unused connection is closed; a client's pool is not to be surprised by it
PATIENCE = 10.0  # seconds after which a server that does not start or stop is an error


class Simulator:
    """DeepSeek on this machine, for the length of a `with` block.

    Over a SimulatorClock it stands still; given no clock it runs on the host's. Every key that looks like `sk-...`
    spends from the one ledger. `faults` disturbs calls by chance: a rate for each fault, such as
    {"429": 0.01, "reset;after=3": 0.02}, the same for the same seed and order of calls (see Fault and FaultPlan).
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        currency: str = "USD",
        granted: str = "0",
        grant_expires_at: datetime | None = None,
        topped_up: str = "100",
        chunk_delay: float = 0.0,
        answer_time: timedelta = STILL,
        keep_alive: float = 1.0,
        trailing_usage: bool = False,
        faults: Mapping[str, float] | None = None,
        fault_seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.clock: Clock = clock or HostClock()
        self.ledger = Ledger(self.clock, currency=currency)
        if parse_amount(granted, "granted"):
            self.ledger.add_credit("granted", granted, expires_at=grant_expires_at)
        if parse_amount(topped_up, "topped_up"):
            self.ledger.add_credit("topped_up", topped_up)
        self._manners = Manners(chunk_delay, answer_time, keep_alive, trailing_usage)
        vendor = Vendor(self.clock, self.ledger, self._manners)
        self.app = create_app(vendor, FaultPlan(faults or {}, fault_seed))
        self._address = (host, port)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.base_url = ""

    @property
    def answer_time(self) -> timedelta:
        """How much time passes while an answer is made; it can be changed between calls."""
        return self._manners.answer_time

    @answer_time.setter
    def answer_time(self, duration: timedelta) -> None:
        self._manners.answer_time = duration

    def __enter__(self) -> Self:
        listener = listen(*self._address)
        self.base_url = url_of(listener)
        self._server = _Server(self.app)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="deepseek-simulator", daemon=True
        )
        self._thread.start()
        if not self._server.ready.wait(PATIENCE):
            listener.close()
            raise RuntimeError(f"the simulator did not start within {PATIENCE} seconds")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise RuntimeError(f"the simulator did not stop within {PATIENCE} seconds")

    def run(self, listener: socket.socket) -> None:
        """Serves in this thread until interrupted."""
        with contextlib.suppress(KeyboardInterrupt):
            _Server(self.app).run([listener])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any that is free."""
    if not 0 <= port <= 65535:
        raise BadInputError("port", port, "choose a port from 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        remedy = f"cannot listen there ({error.strerror or error}); choose another host or port"
        raise BadInputError("address", f"{host}:{port}", remedy) from None
    # Connections inherit it; without it head and body, written one after the other, lie 40 ms apart.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket) -> str:
    """Where clients find it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Says when it is ready; leaves the date to the simulator's clock and the log to whoever embeds it."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
                timeout_keep_alive=IDLE,
            )
        )
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
