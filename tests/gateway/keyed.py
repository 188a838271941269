"""A gateway that callers need keys of costmeter's for, before a server that replays, and a database to make keys in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import Engine

from costmeter import wiring
from costmeter.core.rate_limits import NO_LIMITS, Limits
from costmeter.gateway.callers import CostmeterKeys
from costmeter.gateway.key_holders import KeyHolders
from costmeter.gateway.known_keys import KnownKeys
from costmeter.gateway.vendor_keys import VendorKeys
from costmeter.services.create_key import NewKey, create_key
from tests.gateway.serving import Served
from tests.recorder.conftest import Records, TestClock
from tests.recorder.replay import ReplayServer, Reply, json_reply

CHAT, MESSAGES = "/chat/completions", "/anthropic/v1/messages"
VENDOR = "sk-vendor0123456789abcdef0123456789"
ANSWER = b'{"id":"r-1","model":"deepseek-chat","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
ASKED = b'{"model":"deepseek-chat","messages":[{"role":"user","content":"Hello"}]}'


class Keyed:
    """The gateway with what is around it; its clock moves when it is told."""

    def __init__(self, served: Served, server: ReplayServer, records: Records, clock: TestClock) -> None:
        self.served, self.server, self.records, self.clock = served, server, records, clock
        self.engine: Engine  # made by `keyed`, and so is
        self.client: httpx.Client

    def key(self, name: str = "backend", *roles: str, **more: Any) -> str:
        """The text of a new key, which may call unless it is said otherwise."""
        new = NewKey(name, roles or ("call",), **more)
        return create_key(self.engine, new, by="root", now=self.clock.now())[1]

    def ask(
        self,
        key: str | None,
        path: str = CHAT,
        *,
        bare: bool = False,
        method: str = "POST",
        said: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer to a request with a key, by Authorization or alone in its header, and what it says of itself."""
        headers = {f"x-costmeter-{name}": text for name, text in (said or {}).items()}
        if key is not None:
            headers |= {"x-api-key": key} if bare else {"authorization": f"Bearer {key}"}
        return self.send(headers, path, method)

    def send(self, headers: Mapping[str, str | bytes], path: str = CHAT, method: str = "POST") -> httpx.Response:
        """The answer to a request with headers."""
        encoded = [(name, text if isinstance(text, bytes) else text.encode()) for name, text in headers.items()]
        content = ASKED if method == "POST" else None
        given = [(name.encode(), text) for name, text in encoded]
        return self.client.request(method, self.served.base_url + path, content=content, headers=given)

    def figures(self) -> str:
        return self.client.get(self.served.base_url + "/metrics").text


@contextmanager
def keyed(
    database_url: str,
    server: ReplayServer,
    records: Records,
    clock: TestClock,
    *,
    vendor: VendorKeys | None = None,
    stays_open: bool = True,
    limits: Limits = NO_LIMITS,
    reply: Reply | None = None,
    **options: Any,
) -> Iterator[Keyed]:
    """A gateway of a database."""
    holders = KeyHolders(lambda: wiring.open_database(database_url))
    known = KnownKeys(holders, stays_open=stays_open, clock=clock)
    callers = CostmeterKeys(known, vendor or VendorKeys({}, VENDOR), limits)
    server.answer_with(reply or json_reply(ANSWER))
    engine = wiring.open_database(database_url)
    with (
        httpx.Client(timeout=30) as client,
        Served(server.base_url, records.spool, callers=callers, clock=clock, **options) as served,
    ):
        made = Keyed(served, server, records, clock)
        made.engine, made.client = engine, client
        yield made
    engine.dispose()


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and code of what the gateway refused."""
    return response.status_code, response.headers.get("x-costmeter-refused", "not by the gateway")
