"""Answers that are broken, odd or hostile: what the caller sees of them, and what is recorded."""

from __future__ import annotations

import gzip
import http.client
import logging
import socket
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import brotli
import httpx
import pytest
import zstandard

from tests.gateway.raw import ANSWER, PATIENCE, Listener, read_request
from tests.gateway.serving import Served
from tests.recorder.bodies import CHAT_STREAM, recorded
from tests.recorder.conftest import Records

KEY = {"authorization": "Bearer sk-secret-0123456789abcdef"}
ASKED = b'{"model":"deepseek-chat","messages":[]}'
LENGTH = b"content-length: %d\r\n" % len(ANSWER)
CHUNKED = b"transfer-encoding: chunked\r\n"
NO_ANSWER = (502, "costmeter_no_answer")


def answer(line: bytes = b"HTTP/1.1 200 OK", head: bytes = LENGTH, body: bytes = ANSWER) -> bytes:
    return b"%b\r\ncontent-type: application/json\r\n%b\r\n%b" % (line, head, body)


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def cut_off(name: str) -> tuple[str, str | None]:
    return ("unmetered", f"cut off: {name}")


OK = ("ok", None)
FAILED = ("failed", None)
GARBAGE = cut_off("ClientResponseError")
NO_USAGE = ("unmetered", "no usage in the body")


class Case(NamedTuple):
    """What DeepSeek sends before it closes; what the caller gets: a status, and a body or the gateway's own code, or
    None where it breaks off; what is recorded: a status and a reason."""

    sent: bytes
    status: int
    body: bytes | str | None
    recorded: tuple[str, str | None]


CASES = {
    "garbage": Case(b"\0\1garbage\r\n\r\n", *NO_ANSWER, GARBAGE),
    "a page": Case(b"<html>secret</html>", *NO_ANSWER, GARBAGE),
    "HTTP/0.9": Case(ANSWER, *NO_ANSWER, GARBAGE),
    "HTTP/2": Case(answer(b"HTTP/2 200 OK"), *NO_ANSWER, GARBAGE),
    "nothing": Case(b"", *NO_ANSWER, cut_off("ServerDisconnectedError")),
    "half a head": Case(answer()[:40], *NO_ANSWER, cut_off("ServerDisconnectedError")),
    "status 999": Case(answer(b"HTTP/1.1 999 Odd"), *NO_ANSWER, cut_off("OddStatusError")),
    "status 000": Case(answer(b"HTTP/1.1 000 Odd"), *NO_ANSWER, cut_off("OddStatusError")),
    "status 101": Case(answer(b"HTTP/1.1 101 Switching Protocols"), *NO_ANSWER, cut_off("OddStatusError")),
    "status 299": Case(answer(b"HTTP/1.1 299 Odd"), 299, ANSWER, OK),
    "no reason": Case(answer(b"HTTP/1.1 200"), 200, ANSWER, OK),
    "high bytes in the reason": Case(answer(b"HTTP/1.1 200 \xc3\xb6"), 200, ANSWER, OK),
    "control characters": Case(answer(head=LENGTH + b"x-a: a\x01b\x7f\r\n"), 200, ANSWER, OK),
    "high bytes": Case(answer(head=LENGTH + b"x-a: a\xe9\xff\r\n"), 200, ANSWER, OK),
    "folded line": Case(answer(head=LENGTH + b"x-a: a\r\n b\r\n"), 200, ANSWER, OK),
    "bad name": Case(answer(head=LENGTH + b"x a: b\r\n"), *NO_ANSWER, GARBAGE),
    "no colon": Case(answer(head=LENGTH + b"abc\r\n"), *NO_ANSWER, GARBAGE),
    "60 KB of one line": Case(answer(head=LENGTH + b"x-a: " + b"a" * 60_000 + b"\r\n"), 200, ANSWER, OK),
    "70 KB of one line": Case(answer(head=LENGTH + b"x-a: " + b"a" * 70_000 + b"\r\n"), *NO_ANSWER, GARBAGE),
    "5,000 lines": Case(answer(head=LENGTH + b"x-a: a\r\n" * 5_000), *NO_ANSWER, GARBAGE),
    "bad length": Case(answer(head=b"content-length: abc\r\n"), *NO_ANSWER, GARBAGE),
    "two lengths": Case(answer(head=LENGTH + b"content-length: 5\r\n"), *NO_ANSWER, GARBAGE),
    "length and chunks": Case(answer(head=LENGTH + CHUNKED, body=chunks(ANSWER)), *NO_ANSWER, GARBAGE),
    "length too long": Case(answer(head=b"content-length: 500\r\n"), 200, None, OK),
    "no end of the chunks": Case(answer(head=CHUNKED, body=chunks(ANSWER, end=b"")), 200, None, OK),
    "chunk cut off": Case(answer(head=CHUNKED, body=b"ff\r\n" + ANSWER[:20]), 200, None, cut_off("ClientPayloadError")),
    "bad chunk": Case(answer(head=CHUNKED, body=b"zz\r\nabc"), *NO_ANSWER, GARBAGE),
    "fields behind": Case(answer(head=CHUNKED, body=chunks(ANSWER, end=b"0\r\nx-t: 1\r\n\r\n")), 200, ANSWER, OK),
    "chunk extensions": Case(
        answer(head=CHUNKED, body=b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(ANSWER), ANSWER)), 200, ANSWER, OK
    ),
    "100 before": Case(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(), 200, ANSWER, OK),
    "103 before": Case(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3 + answer(), 200, ANSWER, OK),
    "204": Case(answer(b"HTTP/1.1 204 No Content", b"", b""), 204, b"", NO_USAGE),
    "204 with a length": Case(answer(b"HTTP/1.1 204 No Content", body=b""), 204, b"", NO_USAGE),
    "204 with a body": Case(answer(b"HTTP/1.1 204 No Content"), *NO_ANSWER, GARBAGE),
    "304": Case(answer(b"HTTP/1.1 304 Not Modified", b"", b""), 304, b"", FAILED),
    "304 with a length": Case(answer(b"HTTP/1.1 304 Not Modified", body=b""), 304, b"", FAILED),
    "elsewhere": Case(answer(b"HTTP/1.1 307 Go", LENGTH + b"location: http://evil.example/\r\n"), 307, ANSWER, FAILED),
    "until it closes": Case(answer(head=b"connection: close\r\n"), 200, ANSWER, OK),
    "HTTP/1.0": Case(answer(b"HTTP/1.0 200 OK", b""), 200, ANSWER, OK),
    "two answers": Case(answer() * 2, 200, ANSWER, OK),
    "not what it is encoded in": Case(
        answer(head=LENGTH + b"content-encoding: gzip\r\n"), 200, ANSWER, ("unmetered", "undecodable body")
    ),
    "unknown encoding": Case(
        answer(head=LENGTH + b"content-encoding: x-odd\r\n"), 200, ANSWER, ("unmetered", "unreadable encoding: x-odd")
    ),
}


def converse(connection: socket.socket) -> None:
    """Sends what the case says that the request names, and closes."""
    asked = read_request(connection).split(b" ")[1]
    connection.sendall(CASES[asked.partition(b"?")[2].decode().replace("%20", " ")].sent)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(1 << 16):
        pass


@pytest.fixture(scope="module")
def vendor() -> Iterator[Listener]:
    with Listener(converse) as running:
        yield running


@pytest.fixture(autouse=True)
def clean_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No failure of ours is in the log, and nothing of what DeepSeek or the caller said."""
    caplog.set_level(logging.INFO)
    yield
    for record in caplog.get_records("call"):
        assert record.exc_info is None, record.exc_text
        for word in ("secret", "choices", "usage"):
            assert word not in record.getMessage()


def ask(port: int, target: str, body: bytes = ASKED) -> tuple[int, http.client.HTTPMessage, bytes | None]:
    """Status, headers and body of an answer; None for a body that broke off."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", target.replace(" ", "%20"), body, KEY)
        response = connection.getresponse()
        try:
            return response.status, response.headers, response.read()
        except (http.client.IncompleteRead, ConnectionError):
            return response.status, response.headers, None
    finally:
        connection.close()


@pytest.mark.parametrize("name", CASES)
def test_an_odd_answer_is_handed_on_or_told(
    name: str, vendor: Listener, gateway_of: Callable[[Listener], Served], records: Records
) -> None:
    case = CASES[name]
    status, headers, body = ask(gateway_of(vendor).port, f"/chat/completions?{name}")
    told = headers["x-costmeter-refused"] if isinstance(case.body, str) else body
    assert (status, told) == (case.status, case.body)
    record = records.one()
    assert (record["status"], record.get("reason")) == case.recorded
    assert record["event_id"] == headers["x-costmeter-event-id"]


@pytest.fixture
def gateway_of(records: Records) -> Iterator[Callable[[Listener], Served]]:
    """A gateway before a vendor."""
    running: list[Served] = []

    def start(vendor: Listener) -> Served:
        running.append(Served(vendor.base_url, records.spool).__enter__())
        return running[-1]

    yield start
    for served in running:
        served.stop()


def test_control_characters_in_a_header_become_spaces(
    vendor: Listener, gateway_of: Callable[[Listener], Served]
) -> None:
    _, headers, _ = ask(gateway_of(vendor).port, "/chat/completions?control characters")
    assert headers["x-a"] == "a b "


class Closing(Listener):
    """Keeps a connection for one request, and closes it when it has read the next."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []

    def converse(self, connection: socket.socket) -> None:
        for said in (answer(), b""):
            self.asked.append(read_request(connection).split(b" ")[0])
            connection.sendall(said)


def test_a_call_that_met_the_end_of_a_kept_connection_is_not_made_again(
    gateway_of: Callable[[Listener], Served], records: Records
) -> None:
    """The request is out, and whether DeepSeek has begun to answer it cannot be known: a second one might be billed
    twice. What is no call and may be repeated, a GET, the client repeats."""
    with Closing() as vendor:
        port = gateway_of(vendor).port
        assert ask(port, "/chat/completions")[0] == 200
        status, headers, _ = ask(port, "/chat/completions")
        assert (status, headers["x-costmeter-refused"]) == NO_ANSWER
        assert vendor.asked == [b"POST", b"POST"]
        assert [record["status"] for record in records.all()] == ["ok", "unmetered"]
        assert ask(port, "/chat/completions")[0] == 200
        assert httpx.get(f"http://127.0.0.1:{port}/models", headers=KEY).content == ANSWER
        assert vendor.asked == [b"POST", b"POST", b"POST", b"GET", b"GET"]
        assert vendor.connections == 3


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("is_stream", [False, True])
def test_an_encoded_answer_is_the_same_to_the_byte_and_is_read(
    encoding: str, is_stream: bool, gateway_of: Callable[[Listener], Served], records: Records
) -> None:
    encoded = ENCODINGS[encoding](recorded(CHAT_STREAM) if is_stream else ANSWER)
    pieces = [encoded[at : at + 7] for at in range(0, len(encoded), 7)]
    head = CHUNKED + b"content-encoding: %b\r\n" % encoding.encode()

    def converse(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer(head=head, body=chunks(*pieces)))

    with Listener(converse) as vendor:
        status, headers, body = ask(gateway_of(vendor).port, "/chat/completions")
    assert (status, headers["content-encoding"], body) == (200, encoding, encoded)
    assert records.one()["status"] == "ok"
    assert records.one()["usage"]["prompt_tokens"] > 0
