"""Requests that are broken, hostile or merely odd: each is answered or refused, and none does harm."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costmeter.gateway import requests
from tests.conftest import missing
from tests.gateway.raw import (
    ANSWER,
    BODY,
    CHAT,
    KEY,
    PATIENCE,
    Listener,
    StrictVendor,
    ask,
    bare,
    chunks,
    post,
    say,
    status_of,
    until,
)
from tests.gateway.serving import Served
from tests.recorder.conftest import Records

CHUNKED = b"transfer-encoding: chunked\r\n"
UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)
# Requests by the status that they are answered with; `{trap}` is a host that must not be asked.
ODD = {
    "length and chunks": (400, post(head=LENGTH + CHUNKED, body=chunks(BODY))),
    "chunks and length": (400, post(head=CHUNKED + LENGTH, body=chunks(BODY))),
    "two lengths": (400, post(head=LENGTH + b"content-length: 3\r\n")),
    "lengths in a list": (400, post(head=b"content-length: 39, 39\r\n")),
    "length with a sign": (400, post(head=b"content-length: +39\r\n")),
    "negative length": (400, post(head=b"content-length: -1\r\n")),
    "length past 64 bits": (400, post(head=b"content-length: 99999999999999999999999\r\n")),
    "unknown transfer encoding": (400, post(head=b"transfer-encoding: xchunked\r\n")),
    "chunked is not the last": (400, post(head=b"transfer-encoding: chunked, identity\r\n", body=chunks(BODY))),
    "chunked twice": (400, post(head=CHUNKED * 2, body=chunks(BODY))),
    "space before the colon": (400, post(head=b"transfer-encoding : chunked\r\n", body=chunks(BODY))),
    "no chunk size": (400, post(head=CHUNKED, body=b"zz\r\n" + BODY)),
    "negative chunk": (400, post(head=CHUNKED, body=b"-1\r\n" + BODY)),
    "endless chunk": (400, post(head=CHUNKED, body=b"fffffffffffffffff\r\n" + BODY)),
    "length behind the body": (400, post(head=CHUNKED, body=chunks(BODY, end=b"0\r\ncontent-length: 3\r\n\r\n"))),
    "chunk extensions": (200, post(head=CHUNKED, body=b'%x;a=b;c="d"\r\n%b\r\n0\r\n\r\n' % (len(BODY), BODY))),
    "folded line": (400, post(head=b"x-a: b\r\n c\r\n")),
    "bare LF": (400, post().replace(b"\r\n", b"\n")),
    "bare CR": (400, post(head=b"x-a: b\rc\r\n")),
    "NUL": (400, post(head=b"x-a: b\0c\r\n")),
    "no colon": (400, post(head=b"abc\r\n")),
    "no name": (400, post(head=b": b\r\n")),
    "high bytes in a value": (200, post(head=b"x-a: \xe9\xff\r\n")),
    "high bytes in a key": (200, post().replace(b"Bearer ", b"Bearer \xff\xfe")),
    "high bytes in attribution": (200, post(head=b"x-costmeter-tags: \xff=\xff,=,a=\r\n")),
    "70 KB of one line": (431, post(head=b"x-a: " + b"a" * 300_000 + b"\r\n")[:200_000]),
    "10,000 lines": (431, post(head=b"".join(b"x-%d: %d\r\n" % (n, 10**30) for n in range(10_000)))[:400_000]),
    "absolute form": (200, post(b"http://{trap}/chat/completions")),
    "absolute form, name and password": (200, post(b"https://user:secret@{trap}/chat/completions")),
    "absolute form, no path": (400, post(b"http://{trap}")),
    "authority form": (400, post(b"{trap}")),
    "star": (400, bare(b"OPTIONS", b"*")),
    "no slash": (400, post(b"chat/completions")),
    "two slashes": (200, post(b"//{trap}/")),
    "at": (400, post(b"@{trap}/")),
    "port and at": (400, post(b":80@{trap}/")),
    "slash and at": (200, post(b"/@{trap}/")),
    "slash and backslash": (200, post(b"/\\{trap}/")),
    "escaped line ends": (200, post(b"/%0d%0ahost:%20{trap}")),
    "control character in the path": (400, post(b"/a\x01b")),
    "CONNECT": (400, bare(b"CONNECT", b"{trap}")),
    "CONNECT to a path": (400, bare(b"CONNECT", b"/{trap}")),
    "websocket": (200, bare(b"GET", head=b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AA==\r\n")),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
    "TLS": (400, bytes.fromhex("16030100c8010000c40303") + bytes(100)),
    "HTTP/1.0": (200, post(version=b"1.0")),
    "HTTP/1.0 kept": (200, post(head=b"connection: keep-alive\r\n", version=b"1.0")),
    "HTTP/3.7": (400, post(version=b"3.7")),
    "expects something else": (200, post(head=b"expect: 200-maybe\r\n")),
    "no UTF-8": (200, post(body=b'{"model":"\xff\xfe","messages":[]}')),
    "half a surrogate pair": (200, post(body=b'{"model":"\\ud800","model":"\\ud800"}')),
    "deep": (200, post(body=b'{"model":"m","model":"n","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    "compressed": (200, post(head=b"content-encoding: gzip\r\n", body=gzip.compress(BODY))),
    "no body": (200, bare(b"POST", CHAT)),
    "connection names others": (200, post(head=b"connection: authorization, host, CONTENT-LENGTH\r\n")),
    "no host": (200, b"GET /models HTTP/1.1\r\n\r\n"),
    "HEAD": (200, bare(b"HEAD")),
    "OPTIONS": (200, bare(b"OPTIONS")),
    "TRACE": (200, bare(b"TRACE")),
    "PUT": (200, bare(b"PUT", head=b"content-length: 0\r\n")),
    "DELETE": (200, bare(b"DELETE")),
    "unknown method": (400, bare(b"BREW")),
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[StrictVendor]:
    with StrictVendor() as running:
        yield running


@pytest.fixture(scope="module")
def trap() -> Iterator[Listener]:
    """A host that requests name and that is not the vendor."""
    with Listener() as running:
        yield running


@pytest.fixture(scope="module")
def kept() -> Iterator[Records]:
    records = Records()
    yield records
    assert records.spool.close(10)


@pytest.fixture(scope="module")
def gateway(vendor: StrictVendor, kept: Records) -> Iterator[Served]:
    with Served(vendor.base_url, kept.spool) as running:
        yield running


@pytest.fixture
def is_clean(caplog: pytest.LogCaptureFixture) -> Callable[[], None]:
    """Says whether the log has no failure of ours and no key."""
    caplog.set_level(logging.INFO)

    def check() -> None:
        for record in caplog.records:
            assert record.exc_info is None, record.exc_text
            assert record.levelno < logging.ERROR, record.getMessage()
            assert "secret" not in record.getMessage()

    return check


def held(gateway: Served) -> tuple[int, int]:
    """How many tasks the gateway has, and how many files this process has open."""
    session = gateway.gateway._way.upstream._session
    assert session is not None
    return len(asyncio.all_tasks(session._loop)), len(list(Path("/proc/self/fd").iterdir()))


def test_each_is_answered_as_it_should_be_and_leaves_nothing_behind(
    gateway: Served, vendor: StrictVendor, trap: Listener, is_clean: Callable[[], None]
) -> None:
    assert status_of(asyncio.run(ask(gateway.port, post()))) == 200
    before = held(gateway)

    async def ask_all() -> list[bytes]:
        asked = (request.replace(b"{trap}", trap.host.encode()) for _, request in ODD.values())
        return await asyncio.gather(*(ask(gateway.port, request) for request in asked))

    answers = asyncio.run(ask_all())
    found = {name: status_of(answer) for name, answer in zip(ODD, answers, strict=True)}
    assert found == {name: status for name, (status, _) in ODD.items()}
    until(lambda: held(gateway) <= before)
    assert vendor.wrong == []
    assert trap.connections == 0
    assert {dict(request.headers)[b"host"] for request, _ in vendor.requests} == {vendor.host.encode()}
    is_clean()


PIECES = (
    b"\r\n",
    b"\n",
    b"\0",
    b":",
    b" ",
    b"\xff",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    CHUNKED,
    b"content-length: 1\r\n",
    UPGRADE,
    b"expect: 100-continue\r\n",
    b"HTTP/1.1",
    b"//",
    b"@",
    post(),
    bare(b"GET"),
)
# A request that is known to be odd, with pieces of it replaced, put in and taken away, and perhaps another behind it.
seeds = st.sampled_from([request for _, request in ODD.values() if len(request) < 10_000])
edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 8), st.sampled_from(PIECES) | st.binary(max_size=8)), max_size=4
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    request = draw(seeds)
    for share, taken, put in draw(edits):
        at = int(share * len(request))
        request = request[:at] + put + request[at + taken :]
    return request + draw(st.sampled_from([b"", post(), b"\0"]))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(broken(), min_size=20, max_size=60))
def test_whatever_comes_the_next_request_is_served(
    gateway: Served, vendor: StrictVendor, trap: Listener, is_clean: Callable[[], None], hostile: list[bytes]
) -> None:
    async def say_all() -> list[bytes]:
        asked = (request.replace(b"{trap}", trap.host.encode()) for request in hostile)
        return await asyncio.gather(*(say(gateway.port, request) for request in asked))

    answers = asyncio.run(say_all())
    assert not [answer for answer in answers if b"HTTP/1.1 500" in answer]
    assert status_of(asyncio.run(ask(gateway.port, post()))) == 200
    assert vendor.wrong == []
    assert trap.connections == 0
    is_clean()


def test_requests_in_a_row_are_answered_in_order(gateway: Served, vendor: StrictVendor) -> None:
    vendor.requests.clear()
    answer = asyncio.run(say(gateway.port, post(b"/1") + post(b"/2"), post(b"/3", head=b"connection: close\r\n")))
    assert answer.count(ANSWER) == 3
    assert [request.target for request, _ in vendor.requests] == [b"/1", b"/2", b"/3"]


def test_a_caller_who_leaves_with_requests_in_a_row_ends_the_one_that_is_answered(
    kept: Records, is_clean: Callable[[], None]
) -> None:
    asked = threading.Event()

    def wait(connection: socket.socket) -> None:
        asked.set()
        while connection.recv(1 << 16):
            pass

    calls = len(kept.all())
    with Listener(wait) as silent, Served(silent.base_url, kept.spool) as gateway:
        with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
            connection.sendall(post() + post(b"/2"))
            assert asked.wait(PATIENCE)
        until(lambda: len(kept.all()) > calls)
        assert silent.connections == 1
    assert kept.all()[-1]["reason"] == "closed early by the caller"
    is_clean()


@pytest.mark.parametrize(
    ("head", "body"), [(b"", BODY), (CHUNKED, chunks(BODY[:5], BODY[5:])), (b"content-length: 0\r\n", b"")]
)
@pytest.mark.parametrize("is_in_pieces", [False, True])
def test_an_offer_to_upgrade_costs_no_body(
    head: bytes, body: bytes, is_in_pieces: bool, gateway: Served, vendor: StrictVendor
) -> None:
    """As Java's HttpClient makes it with the first request of a connection, which it then uses again."""
    vendor.requests.clear()
    request = post(head=UPGRADE + head, body=body)
    said = request + post(b"/next", head=b"connection: close\r\n")
    pieces = [said[at : at + 7] for at in range(0, len(said), 7)] if is_in_pieces else [said]
    assert asyncio.run(say(gateway.port, *pieces)).count(ANSWER) == 2
    (first, sent), (second, _) = vendor.requests
    assert (first.target, sent, second.target) == (CHAT, BODY if body else b"", b"/next")
    assert b"upgrade" not in dict(first.headers)


def test_fields_behind_a_body_are_not_taken_for_the_head(gateway: Served, vendor: StrictVendor, kept: Records) -> None:
    vendor.requests.clear()
    end = b"0\r\nauthorization: Bearer sk-other\r\nx-costmeter-project: other\r\nx-a: 1\r\n\r\n"
    head = b"x-costmeter-project: search\r\nconnection: close\r\n" + CHUNKED
    asyncio.run(say(gateway.port, post(head=head, body=chunks(BODY, end=end))))
    ((request, body),) = vendor.requests
    assert body == BODY
    assert dict(request.headers)[b"authorization"] == f"Bearer {KEY}".encode()
    assert b"x-a" not in dict(request.headers)
    assert kept.all()[-1]["project"] == "search"


def test_a_head_without_end_is_not_kept(gateway: Served) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /models HTTP/1.1\r\nx-a: ")
        with suppress(ConnectionError):
            while sent < 1 << 28:
                sent += connection.send(b"a" * (1 << 16))
    assert sent < 1 << 26  # what the sockets of both ends hold


@pytest.mark.parametrize("said", [b"", b"GET /models HT", b"GET /models HTTP/1.1\r\nx-a: "])
def test_a_connection_on_which_no_request_comes_is_closed(
    said: bytes, vendor: StrictVendor, kept: Records, is_clean: Callable[[], None]
) -> None:
    served = Served(vendor.base_url, kept.spool)
    served._server.config.timeout_keep_alive = 0.3  # type: ignore[assignment]  # seconds, and they need not be whole
    with served, socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as connection:
        connection.sendall(said)
        assert connection.recv(100) == b""
    is_clean()


def test_a_body_is_sent_when_it_is_asked_for(gateway: Served, vendor: StrictVendor) -> None:
    vendor.requests.clear()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as connection:
        connection.sendall(post(head=b"expect: 100-continue\r\n")[: -len(BODY)])
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert vendor.requests == []
        for byte in BODY:  # slowly
            connection.sendall(bytes([byte]))
        assert status_of(connection.recv(1000)) == 200
    ((request, body),) = vendor.requests
    assert body == BODY
    assert b"expect" not in dict(request.headers)


def test_curl_waits_to_be_asked_for_a_large_body(gateway: Served, vendor: StrictVendor, tmp_path: Path) -> None:
    vendor.requests.clear()
    sent = tmp_path / "body.json"
    sent.write_bytes(b'{"model":"deepseek-chat","messages":[],"x":"%b"}' % (b"x" * (4 << 20)))
    command = ["curl", "-sSv", "--expect100-timeout", "20", "--data-binary", f"@{sent}", f"{gateway.base_url}/v1/chat"]
    try:
        asked = subprocess.run(command, capture_output=True, timeout=60, check=True)
    except FileNotFoundError:
        missing("curl is not installed")
    assert b"> Expect: 100-continue" in asked.stderr
    assert b"< HTTP/1.1 100 Continue" in asked.stderr
    assert asked.stdout == ANSWER
    assert vendor.requests[0][1] == sent.read_bytes()


@pytest.mark.parametrize("path", [CHAT, b"/files"])
def test_a_body_that_stays_away_ends_the_request(
    path: bytes, gateway: Served, monkeypatch: pytest.MonkeyPatch, is_clean: Callable[[], None]
) -> None:
    monkeypatch.setattr(requests, "UPLOAD_SECONDS", 0.2)
    assert status_of(asyncio.run(ask(gateway.port, post(path)[:-5]))) == 408
    is_clean()


@pytest.mark.parametrize("path", [CHAT, b"/files"])
def test_a_caller_who_leaves_in_the_middle_of_a_body_has_left(
    path: bytes, vendor: StrictVendor, kept: Records, caplog: pytest.LogCaptureFixture
) -> None:
    calls = len(kept.all())
    with Served(vendor.base_url, kept.spool) as gateway:
        route = "chat" if path == CHAT else "other"
        with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
            connection.sendall(post(path)[:-5])
        told = f'costmeter_gateway_left_total{{route="{route}"}} 1.0'
        until(lambda: told in httpx.get(gateway.base_url + "/metrics").text)
    assert len(kept.all()) == calls
    assert "DeepSeek" not in caplog.text
