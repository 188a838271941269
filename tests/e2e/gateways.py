"""The gateway as a process, which can be started again where it was."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import select

from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import ChargeRow, EventRow
from tests.gateway.raw import PATIENCE, until

KEY = {"authorization": "Bearer sk-gateways-0123456789"}
ASKED = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}


class Gateways:
    """Processes of the gateway one after the other, on one database and one spool folder."""

    def __init__(self, upstream: str, url: str, folder: Path) -> None:
        self._url = url
        own = {"DATABASE_URL": url, "SPOOL_DIR": str(folder / "spool"), "GATEWAY_UPSTREAM": upstream}
        self._environment = {**os.environ, **{f"COSTMETER_{name}": value for name, value in own.items()}}
        self._log = folder / "log"
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def one(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process that serves; it is killed at the end, if it has not ended by then."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "costmeter", "gateway", "--port", str(self.port), *options]
        with self._log.open("ab") as log, subprocess.Popen(command, env=self._environment, stderr=log) as process:
            try:
                until(self.serves)
                yield process
            finally:
                process.kill()

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Tells it to end, which it must do well."""
        process.terminate()
        assert process.wait(60) == 0, self.log()

    def begin(self) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """A call whose answer has begun."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("POST", "/chat/completions", json.dumps({**ASKED, "stream": True}), KEY)
        response = connection.getresponse()
        assert response.readline().startswith(b"data:")
        return connection, response

    def ask(self) -> None:
        assert httpx.post(f"{self.base_url}/chat/completions", json=ASKED, headers=KEY, timeout=PATIENCE).json()[
            "usage"
        ]

    def books(self) -> list[tuple[str, str | None, bool]]:
        """Status and reason of each call, and whether it is posted."""
        engine = open_engine(self._url)
        charged = EventRow.event_key == ChargeRow.event_key
        asked = select(EventRow.status, EventRow.reason, ChargeRow.event_key.is_not(None))
        with reading(engine) as connection:
            rows = connection.execute(asked.join(ChargeRow, charged, isouter=True))
            found = [(row[0], row[1], row[2]) for row in rows]
        engine.dispose()
        return sorted(found, key=str)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def serves(self) -> bool:
        try:
            return httpx.get(f"{self.base_url}/healthz", timeout=PATIENCE).is_success
        except httpx.HTTPError:
            return False
