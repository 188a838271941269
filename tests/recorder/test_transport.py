"""The transports: the caller gets what it would have got, and each call ends as exactly one record."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx2
import pytest

from costmeter.core.errors import InputError
from costmeter.core.events import read_event
from costmeter.core.secrets import fingerprint
from costmeter.recorder.attribution import attribute
from costmeter.recorder.transport import AsyncRecordingTransport, RecordingTransport

from .bodies import USAGE, chat, json_body
from .callers import OWN, see, see_async, see_whole
from .conftest import Records, TestClock
from .replay import ReplayServer, json_reply
from .replies import ASKED, REPLIES, STATUSES


def patience(name: str) -> float:
    """The timeout of a client, short only where it is to run out."""
    return 0.3 if "stalled" in name else 10


@pytest.mark.parametrize("name", REPLIES)
def test_the_caller_sees_no_difference(name: str, library: Any, server: ReplayServer, records: Records) -> None:
    server.answer_with(REPLIES[name])
    transport = RecordingTransport(_spool=records.spool)
    with (
        library.Client(transport=transport, base_url=server.base_url, timeout=patience(name)) as recorded,
        library.Client(base_url=server.base_url, timeout=patience(name)) as bare,
    ):
        assert see(recorded) == see(bare)
        assert see(recorded, "iter_bytes", OWN) == see(bare, "iter_bytes", OWN)
        assert see_whole(recorded) == see_whole(bare)

    assert [(record["status"], record.get("reason")) for record in records.all()] == [STATUSES[name]] * 3
    assert [record["project"] for record in records.all()] == [None, "search", "search"]
    assert len({record["event_id"] for record in records.all()}) == 3


@pytest.mark.parametrize("name", REPLIES)
def test_the_async_caller_sees_no_difference(name: str, library: Any, server: ReplayServer, records: Records) -> None:
    server.answer_with(REPLIES[name])

    async def both() -> None:
        transport = AsyncRecordingTransport(_spool=records.spool)
        async with (
            library.AsyncClient(transport=transport, base_url=server.base_url, timeout=patience(name)) as recorded,
            library.AsyncClient(base_url=server.base_url, timeout=patience(name)) as bare,
        ):
            assert await see_async(recorded) == await see_async(bare)
            assert await see_async(recorded, "aiter_bytes", OWN) == await see_async(bare, "aiter_bytes", OWN)

    asyncio.run(both())

    assert [(record["status"], record.get("reason")) for record in records.all()] == [STATUSES[name]] * 2


def test_a_record_has_every_field_of_the_contract(server: ReplayServer, records: Records, clock: TestClock) -> None:
    server.answer_with(json_reply(json_body(chat(model="deepseek-reasoner"))))
    transport = RecordingTransport(account="acme", tags={"team": "a"}, _clock=clock, _spool=records.spool)
    headers = {"authorization": "Bearer sk-test"}
    with httpx2.Client(transport=transport, headers=headers) as client, attribute(user="u-17", tags={"tier": "x"}):
        client.post(f"{server.base_url}/v1/chat/completions?x=1", json=ASKED)

    record = records.one()
    assert {name: value for name, value in record.items() if name not in ("event_id", "operation_id", "detail")} == {
        "account": "acme",
        "project": None,
        "user": "u-17",
        "api_key": fingerprint("sk-test"),
        "tags": {"team": "a", "tier": "x"},
        "provider": "deepseek",
        "model": "deepseek-reasoner",
        "requested_model": "deepseek-chat",
        "response_id": "c-1",
        "status": "ok",
        "http_status": 200,
        "usage": USAGE,
        "started_at": "2025-03-01T16:29:41.120000Z",
        "completed_at": "2025-03-01T16:29:41.120000Z",
    }
    size = len(json_body(chat(model="deepseek-reasoner")))
    assert record["detail"] == {"stream": False, "bytes": size, "chunks": 1, "clock_offset_seconds": 18.88}
    assert record["operation_id"] == record["event_id"]
    assert json.loads(json.dumps(record)) == record
    assert read_event(record).usage is not None
    assert "Hello" not in json.dumps(record)
    assert "sk-test" not in json.dumps(record)


@pytest.mark.parametrize("name", REPLIES)
def test_each_record_is_a_usage_event(name: str, server: ReplayServer, client: httpx2.Client, records: Records) -> None:
    server.answer_with(REPLIES[name])
    see(client)

    event_read = read_event(records.one())

    assert event_read.event_id == records.one()["event_id"]
    assert event_read.project == "search"


def test_what_failed_says_so(server: ReplayServer, client: httpx2.Client, records: Records) -> None:
    server.answer_with(REPLIES["402"])
    see(client)

    assert (records.one()["http_status"], records.one()["error_code"]) == (402, "invalid_request")


def test_a_server_that_cannot_be_reached_is_a_failed_call(records: Records) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        httpx2.Client(transport=RecordingTransport(_spool=records.spool)) as client,
        pytest.raises(httpx2.ConnectError),
    ):
        client.post(f"http://127.0.0.1:{port}/chat/completions", json=ASKED)

    record = records.one()
    assert (record["status"], record["error_code"], record["model"]) == ("failed", "ConnectError", "deepseek-chat")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/embeddings"), ("POST", "/v1/messages/count_tokens"), ("GET", "/models"), ("GET", "/chat/completions")],
)
def test_what_is_not_metered_passes_untouched(
    method: str, path: str, server: ReplayServer, client: httpx2.Client, records: Records
) -> None:
    server.answer_with(json_reply(b"{}"))

    assert client.request(method, path).json() == {}
    assert records.all() == []


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/v1/chat/completions", "/beta/completions", "/responses", "/anthropic/v1/messages"]
)
def test_what_is_metered_is_recorded(path: str, server: ReplayServer, client: httpx2.Client, records: Records) -> None:
    server.answer_with(json_reply(json_body(chat())))
    client.post(path, json=ASKED)

    assert records.one()["status"] == "ok"


@pytest.mark.parametrize(
    "broken",
    [
        "tap.UsageTap.feed", "tap.UsageTap.read", "tap.UsageTap.__init__", "library.is_metered", "call.write_asked",
        "library.without_attribution", "recorder.read_attribution", "stream.lowered", "stream._of_library",
    ],
)  # fmt: skip
def test_an_error_of_the_recorder_is_logged_and_not_raised(
    broken: str,
    server: ReplayServer,
    client: httpx2.Client,
    bare: httpx2.Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault of the recorder")

    monkeypatch.setattr(f"costmeter.recorder.{broken}", fail)
    server.answer_with(REPLIES["stream"])

    assert see(client, headers=OWN) == see(bare, headers=OWN)
    assert "a fault of the recorder" in caplog.text


def test_a_clock_that_fails_harms_nobody(server: ReplayServer, records: Records) -> None:
    class Broken(TestClock):
        def monotonic(self) -> float:
            raise ZeroDivisionError

    server.answer_with(REPLIES["json"])
    with httpx2.Client(transport=RecordingTransport(_clock=Broken(), _spool=records.spool)) as client:
        assert client.post(f"{server.base_url}/chat/completions", json=ASKED).json() == chat()


def test_where_no_transport_is_given_the_library_of_the_first_request_makes_one(
    library: Any, server: ReplayServer, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    class Counted(library.HTTPTransport):  # type: ignore[misc]
        def __init__(self) -> None:
            made.append(self)
            super().__init__()

    monkeypatch.setattr(library, "HTTPTransport", Counted)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # of the environment: a client with a transport ignores it
    server.answer_with(REPLIES["json"])
    transport = RecordingTransport(_spool=records.spool)
    assert made == []
    with library.Client(transport=transport, base_url=server.base_url) as client, ThreadPoolExecutor(4) as pool:
        start = threading.Barrier(4)

        def ask(_number: int) -> int:
            start.wait(10)
            status: int = client.post("/chat/completions", json=ASKED).status_code
            return status

        assert list(pool.map(ask, range(4))) == [200] * 4

    assert made == [transport.inner]
    assert len(records.all()) == 4


def test_where_no_transport_is_given_the_library_makes_an_async_one(
    library: Any, server: ReplayServer, records: Records
) -> None:
    server.answer_with(REPLIES["json"])
    transport = AsyncRecordingTransport(_spool=records.spool)

    async def ask() -> None:
        async with library.AsyncClient(transport=transport) as client:
            assert (await client.post(f"{server.base_url}/chat/completions", json=ASKED)).json() == chat()

    asyncio.run(ask())

    assert type(transport.inner) is library.AsyncHTTPTransport
    assert records.one()["status"] == "ok"


@pytest.mark.parametrize(("used", "other"), [("httpx2", "httpx"), ("httpx", "httpx2")])
def test_a_client_of_one_library_does_not_import_the_other(used: str, other: str) -> None:
    program = f"""
import sys
import {used}
import costmeter
from costmeter.recorder.spool import Spool

answer = {used}.MockTransport(lambda request: {used}.Response(200, json={{}}))
transport = costmeter.RecordingTransport(answer, _spool=Spool(lambda records: None))
with {used}.Client(transport=transport) as client:
    client.post("http://x/chat/completions", json={{}})
print({other!r} in sys.modules)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (finished.stdout.strip(), finished.stderr) == ("False", "")


def test_a_transport_that_was_never_used_can_be_closed() -> None:
    httpx2.Client(transport=RecordingTransport()).close()
    with httpx2.Client(transport=RecordingTransport()):
        pass


def test_leaving_the_client_closes_the_inner_transport() -> None:
    steps: list[str] = []

    class Inner(httpx2.BaseTransport):
        def __enter__(self) -> Self:
            steps.append("enter")
            return self

        def __exit__(self, *_: object) -> None:
            steps.append("exit")

        def close(self) -> None:
            steps.append("close")

    with httpx2.Client(transport=RecordingTransport(Inner())):
        pass
    httpx2.Client(transport=RecordingTransport(Inner())).close()

    assert steps == ["enter", "exit", "close"]


def test_a_door_that_cannot_be_set_up_says_why() -> None:
    with pytest.raises(InputError, match="an account is named by"):
        RecordingTransport(account=" ")
