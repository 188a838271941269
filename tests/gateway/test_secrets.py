"""`costmeter gateway` as a process: neither DeepSeek's keys nor costmeter's are in anything that it leaves behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, inspect, text

from costmeter.services.create_key import NewKey, create_key
from costmeter.store.engine import open_engine
from tests.api.serving import until, wiring_now
from tests.gateway.keyed import ANSWER, ASKED, CHAT, MESSAGES
from tests.recorder.replay import ReplayServer, Reply, json_reply

VENDORS = {"a": "sk-0a0a0a0a0a0a0a0a0a0a0a0a", "b": "sk-0b0b0b0b0b0b0b0b0b0b0b0b", "": "sk-0c0c0c0c0c0c0c0c0c0c0c0c"}
REFUSED = (
    b'{"error":{"message":"Authentication Fails, Your api key: ****0a0a is invalid","type":"authentication_error"}}'
)


class Gateway:
    """The process, and everything that it said and left."""

    def __init__(self, url: str, upstream: str, folder: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._folder = folder
        (folder / "others.key").write_text(VENDORS[""] + "\n")
        (folder / "b.key").write_text(VENDORS["b"])
        (folder / "vendor.toml").write_text(f'[a]\nkey = "{VENDORS["a"]}"\n[b]\nkey_file = "b.key"\n')
        settings = {
            "COSTMETER_DATABASE_URL": url,
            "COSTMETER_SPOOL_DIR": str(folder / "spool"),
            "COSTMETER_LOG_LEVEL": "debug",
            "COSTMETER_GATEWAY_VENDOR_KEY_FILE": str(folder / "others.key"),
            "COSTMETER_GATEWAY_VENDOR_KEYS": str(folder / "vendor.toml"),
        }
        self._said = (folder / "said").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "costmeter", "gateway", "--port", str(self.port), "--upstream", upstream, *options],
            env={**os.environ, **settings},
            stdout=self._said,
            stderr=self._said,
        )
        self.url = f"http://127.0.0.1:{self.port}"
        until(self._listens)

    def said(self) -> str:
        return (self._folder / "said").read_text()

    def end(self) -> int:
        """Told to end, as a service manager does; its exit code."""
        self._process.terminate()
        code = self._process.wait(60)
        self._said.close()
        return code

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(60)
        self._said.close()

    def left(self) -> bytes:
        """Every file of its spool, and what it said."""
        files = [path for path in (self._folder / "spool").rglob("*") if path.is_file()]
        return b"\n".join(path.read_bytes() for path in [*files, self._folder / "said"])

    def _listens(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            assert self._process.poll() is None, self.said()
            return False


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = open_engine(database_url)
    yield made
    made.dispose()


def made_key(engine: Engine, name: str, role: str, accounts: list[str] | None = None) -> str:
    return create_key(engine, NewKey(name, [role], accounts), by="root", now=wiring_now())[1]


def stored(engine: Engine) -> str:
    """Every value of every table as text."""
    with engine.connect() as connection:
        tables = inspect(engine).get_table_names()
        return "\n".join(str(row) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}")))


def answers(url: str, server: ReplayServer, *, keys: list[str]) -> Iterator[str]:
    """What the gateway answers to calls that go well and to those that do not, head and body."""
    replies = [
        json_reply(ANSWER),
        json_reply(REFUSED, 401),
        json_reply(b"no", 502),
        Reply(ending="reset", is_silent=True),
        Reply(b"x", 200, {"content-type": "text/html"}, "truncated"),
    ]
    with httpx.Client(base_url=url) as client:
        for reply in replies:
            server.answer_with(reply)
            for key in keys:
                yield from answers_to(client, key)
        for path in ("/metrics", "/healthz", "/user/balance", "//x", "/x"):
            yield said_by(client.get(url + path, headers={"authorization": f"Bearer {keys[0]}"}))


def answers_to(client: httpx.Client, key: str) -> Iterator[str]:
    """What a key is answered, in either header and for each account."""
    for path, headers in ((CHAT, {"authorization": f"Bearer {key}"}), (MESSAGES, {"x-api-key": key})):
        for account in ("a", "b", "c"):
            said = {"x-costmeter-account": account, "x-costmeter-user": f"u {key}", **headers}
            try:
                yield said_by(client.post(path, content=ASKED, headers=said))
            except httpx.RemoteProtocolError as error:
                yield str(error)


def said_by(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.headers} {answer.text}"


def test_no_key_is_in_anything_that_it_leaves(
    database_url: str, engine: Engine, server: ReplayServer, tmp_path: Path
) -> None:
    keys = [made_key(engine, "all", "call"), made_key(engine, "of a", "call", ["a"]), made_key(engine, "root", "admin")]
    keys += [made_key(engine, "sender", "ingest"), f"cm_{'1' * 16}_{'1' * 64}", "sk-caller0123456789abcdef"]
    gateway = Gateway(database_url, server.base_url, tmp_path)
    try:
        told = list(answers(gateway.url, server, keys=keys))
    except BaseException:
        gateway.kill()
        raise
    used = {headers.get("authorization", headers.get("x-api-key")) for _, headers, _ in server.requests}
    assert sum(answer.startswith("200") for answer in told) >= 14
    assert used >= {f"Bearer {key}" for key in VENDORS.values()} | set(VENDORS.values())
    assert gateway.end() == 0, gateway.said()
    everything = "\n".join([*told, stored(engine), gateway.left().decode("utf-8", "replace")])
    assert "vendor keys: 2, each for an account of its own, and one for all other accounts" in gateway.said()
    assert "'all'" in stored(engine)  # calls are there, by the names of their keys
    secrets = [*VENDORS.values(), *(key.split("_")[-1] for key in keys if key.startswith("cm_")), keys[-1]]
    assert [secret for secret in secrets if secret in everything] == []


def test_two_accounts_are_two_keys_of_deepseeks(sqlite_url: str, server: ReplayServer, tmp_path: Path) -> None:
    made = open_engine(sqlite_url)
    key = made_key(made, "all", "call")
    gateway = Gateway(sqlite_url, server.base_url, tmp_path)
    server.answer_with(json_reply(ANSWER))
    for account in ("a", "b", "c"):
        headers = {"authorization": f"Bearer {key}", "x-costmeter-account": account}
        assert httpx.post(gateway.url + CHAT, content=ASKED, headers=headers).status_code == 200
    assert gateway.end() == 0, gateway.said()
    sent = [headers["authorization"].removeprefix("Bearer ") for _, headers, _ in server.requests]
    assert sent == [VENDORS["a"], VENDORS["b"], VENDORS[""]]
    with made.connect() as connection:
        found = connection.execute(text("SELECT account, api_key FROM usage_event ORDER BY account")).all()
    assert [tuple(row) for row in found] == [("a", "all"), ("b", "all"), ("c", "all")]
    made.dispose()
