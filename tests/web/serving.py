"""The service with its pages on a real socket, at an instant that the test chooses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import pytest
import uvicorn
from sqlalchemy import Engine

from costmeter import wiring
from costmeter.api.service import Service
from costmeter.services.create_key import NewKey, create_key
from costmeter.services.keep_posted import Poster
from costmeter.services.record_in_turn import Recorder
from costmeter.store.accounts import Home
from tests.api.serving import DEADLINE, until
from tests.make import at, book
from tests.quick_server import QuickServer


@dataclass
class Pages:
    """A server of pages, and what a test needs of it; `now` is its clock's."""

    url: str
    engine: Engine
    clock: list[datetime]
    keys: int = 0
    clients: list[httpx.Client] = field(default_factory=list)

    def key(self, *roles: str, accounts: list[str] | None = None, projects: list[str] | None = None) -> str:
        """A new key."""
        self.keys += 1
        new = NewKey(f"{roles[0] if roles else 'read'}-{self.keys}", roles or ("read",), accounts, projects)
        return create_key(self.engine, new, by="root", now=self.clock[0])[1]

    def wait(self, time: timedelta) -> None:
        """Move the server's clock."""
        self.clock[0] += time

    def browser(self, key: str | None = None) -> Browser:
        """Somebody who looks without a screen, signed in where a key is given."""
        found = Browser(base_url=self.url, timeout=DEADLINE)
        self.clients.append(found)
        if key is not None:
            assert found.sign_in(key).status_code == 303
        return found

    def api(self, key: str) -> httpx.Client:
        """A client of the API beside the pages."""
        found = httpx.Client(base_url=self.url, timeout=DEADLINE, headers={"Authorization": f"Bearer {key}"})
        self.clients.append(found)
        return found


class Browser(httpx.Client):
    """Sends forms as browsers do, and keeps cookies."""

    def form(self, path: str = "/sign-in") -> str:
        """The token of the form on a page."""
        return self.get(path).text.split('name="form" value="', 1)[1].split('"', 1)[0]

    def submit(self, path: str, data: dict[str, str], **headers: str) -> httpx.Response:
        return self.post(path, data=data, headers={"Sec-Fetch-Site": "same-origin"} | headers)

    def sign_in(self, key: str, to: str = "/") -> httpx.Response:
        return self.submit("/sign-in", {"form": self.form(), "key": key, "next": to})


@contextmanager
def paged(url: str, now: str, *, local: bool = False, public: str | None = None) -> Iterator[Pages]:
    """The service of a database, API and pages, whose clock stands at an instant."""
    engine, clock, home = wiring.open_database(url), [at(now)], Home()
    recorder, poster = Recorder(engine, book(), home), Poster(engine, book())
    service = Service(engine, book(), home, recorder, poster, local, now=lambda: clock[0])
    with pytest.MonkeyPatch.context() as patch:
        if public is not None:
            patch.setenv("COSTMETER_URL", public)
        app = wiring.app_of(service)
    server = QuickServer(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    pages = Pages(f"http://127.0.0.1:{port}", wiring.open_database(url), clock)
    try:
        yield pages
    finally:
        for client in pages.clients:
            client.close()
        pages.engine.dispose()
        server.should_exit = True
        thread.join(DEADLINE)
        assert not thread.is_alive()
