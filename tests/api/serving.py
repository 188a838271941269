"""The service on a real socket, in a thread of this process; and a client of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine

from costmeter import wiring
from costmeter.api.app import make_app
from costmeter.api.otlp.spans import DEEPSEEK_HOSTS
from costmeter.api.service import Service
from costmeter.services.create_key import NewKey, create_key
from costmeter.services.keep_posted import Poster
from costmeter.services.record_in_turn import Recorder
from costmeter.store.accounts import Home
from tests.quick_server import QuickServer

DEADLINE = 20.0  # seconds until something that must come has come


class Api(httpx.Client):
    """A client of a service that can make itself keys."""

    engine: Engine

    def key(self, *roles: str, accounts: list[str] | None = None, projects: list[str] | None = None) -> dict[str, str]:
        """The header of a new key."""
        new = NewKey(f"key-{time.monotonic_ns()}", roles or ("admin",), accounts, projects)
        text = create_key(self.engine, new, by="root", now=wiring_now())[1]
        return {"Authorization": f"Bearer {text}"}


def wiring_now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


@contextmanager
def served(url: str, *, local: bool = False, port: int = 0, hosts: frozenset[str] = DEEPSEEK_HOSTS) -> Iterator[Api]:
    """A service of a database, asked with an admin's key unless it is local."""
    engine, book, home = wiring.open_database(url), wiring.price_book(), Home()
    recorder, poster = Recorder(engine, book, home), Poster(engine, book)
    service = Service(engine, book, home, recorder, poster, local, deepseek_hosts=hosts)
    server = QuickServer(
        uvicorn.Config(make_app(service), host="127.0.0.1", port=port, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with Api(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE, verify=False) as client:
            client.engine = wiring.open_database(url)
            if not local:
                client.headers.update(client.key("admin"))
            yield client
            client.engine.dispose()
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
        assert not thread.is_alive()


def until(condition: Any) -> Any:
    """What a condition gives once it holds."""
    ends = time.monotonic() + DEADLINE
    while time.monotonic() < ends:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come about in time")


def posted(api: Api, account: str = "default") -> None:
    """Wait until nothing of an account is left to post."""
    until(lambda: api.get(f"/v1/accounts/{account}").json()["unposted"] == 0)
