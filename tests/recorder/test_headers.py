"""What a request's own headers say of whose call it is, and that they never leave with it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.core.secrets import fingerprint
from costmeter.recorder import headers as headers_module
from costmeter.recorder.attribution import NOBODY, Attribution, attribute
from costmeter.recorder.headers import read_attribution
from costmeter.recorder.library import begin
from costmeter.recorder.recorder import open_recorder
from costmeter.recorder.transport import AsyncRecordingTransport, RecordingTransport

from .conftest import Records
from .replay import ReplayServer, Reply
from .replies import ASKED, REPLIES

ALL = {
    "x-costmeter-account": "acme",
    "X-Costmeter-Project": "search",
    "x-costmeter-user": "u-17",
    "x-costmeter-api-key": "backend-prod",
    "x-costmeter-tags": "team=a, env=prod",
    "x-costmeter-unknown": "1",
}
SAID = Attribution("acme", "search", "u-17", "backend-prod", {"team": "a", "env": "prod"})
FIELDS = ("account", "project", "user", "api_key", "tags")


def of(record: dict[str, Any]) -> Attribution:
    return Attribution(*(record[field] for field in FIELDS))


def strangers(server: ReplayServer) -> list[str]:
    """What left that is costmeter's own."""
    return [name for _, headers, _ in server.requests for name in headers if "costmeter" in name]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, NOBODY),
        ({b"authorization": b"Bearer sk-test"}, NOBODY),
        ({b"x-costmeter-user": b" u-17 "}, Attribution(user="u-17")),
        ({b"x-costmeter-user": b""}, NOBODY),
        ({b"x-costmeter-user": b"J%C3%BCrgen%2C 100%"}, Attribution(user="J\xfcrgen, 100%")),
        ({b"x-costmeter-project": "s\xfc\xdf".encode()}, Attribution(project="s\xfc\xdf")),
        ({b"x-costmeter-account": b"acme"}, Attribution(account="acme")),
        ({b"x-costmeter-tags": b"a=1,b = 2 ,,c=x%3Dy%2Cz,d="}, Attribution(tags={"a": "1", "b": "2", "c": "x=y,z"})),
        ({b"x-costmeter-tags": b"a=1=2"}, Attribution(tags={"a": "1=2"})),
        ({b"x-costmeter-tags": b"a=1,a=2"}, Attribution(tags={"a": "2"})),
    ],
)
def test_headers_say_whose_call_it_is(headers: dict[bytes, bytes], said: Attribution) -> None:
    assert read_attribution(headers) == said


@pytest.mark.parametrize(
    ("header", "value", "said", "reported"),
    [
        ("account", b"%20", NOBODY, "account ' '"),
        ("account", b"x" * 65, NOBODY, "1 to 64 printable characters"),
        ("account", b"a%0Ab", NOBODY, "account 'a\\nb'"),
        ("user", b"%FF", NOBODY, "write UTF-8, percent-encoded"),
        ("user", b"\xff", NOBODY, "write UTF-8, percent-encoded"),
        ("tags", b"team", NOBODY, "'team': write name=value"),
        ("tags", b"=a, env=prod", Attribution(tags={"env": "prod"}), "'=a': write name=value"),
        ("tags", b"team=%FF, env=prod", Attribution(tags={"env": "prod"}), "'%FF': write UTF-8"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_ignored_and_reported_once(
    header: str, value: bytes, said: Attribution, reported: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(headers_module, "_reported", set())
    name = f"x-costmeter-{header}".encode()

    assert [read_attribution({name: value + b" " * n, b"host": b"x"}) for n in range(3)] == [said] * 3
    assert len(caplog.messages) == 1
    assert name.decode() in caplog.text
    assert reported in caplog.text


def test_a_key_in_a_header_is_neither_kept_nor_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(headers_module, "_reported", set())
    key = "sk-0123456789abcdef"

    assert read_attribution({b"x-costmeter-api-key": key.encode()}).api_key == fingerprint(key)
    read_attribution({b"x-costmeter-tags": key.encode()})

    assert fingerprint(key) in caplog.text
    assert key not in caplog.text


@given(st.dictionaries(st.text(min_size=1, max_size=9), st.text(min_size=1, max_size=9), max_size=3))
def test_any_tags_can_be_said_in_percent_encoding(tags: dict[str, str]) -> None:
    if any("\ud800" <= character <= "\udfff" for text in (*tags, *tags.values()) for character in text):
        return  # half of a surrogate pair has no UTF-8
    said = ",".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in tags.items())
    expected = {n.replace("\x00", ""): t.replace("\x00", "") for n, t in tags.items()}

    assert read_attribution({b"x-costmeter-tags": said.encode()}).tags == {n: t for n, t in expected.items() if n and t}


@given(st.dictionaries(st.sampled_from(["account", "project", "user", "api-key", "tags"]), st.binary()))
def test_no_bytes_raise(values: dict[str, bytes]) -> None:
    read_attribution({f"x-costmeter-{name}".encode(): value for name, value in values.items()})


def test_every_header_of_costmeters_own_is_seen(records: Records) -> None:
    own = [("X-Costmeter-Anything", "1"), ("x-costmeter-", "1")]
    others = [("x-costmeter", "1"), ("costmeter-x", "1")]
    request = httpx2.Request("GET", "http://x", headers=[*own, *others])

    call, sent = begin(open_recorder(NOBODY, spool=records.spool), request)

    assert call is None
    assert sent.headers.raw == [*request.headers.raw[:1], *request.headers.raw[3:]]
    assert [name for name, _ in request.headers.raw[1:3]] == [b"X-Costmeter-Anything", b"x-costmeter-"]


def test_headers_go_over_the_block_and_that_over_the_door_and_tags_merge(
    library: Any, server: ReplayServer, records: Records
) -> None:
    server.answer_with(REPLIES["json"])
    door = RecordingTransport(
        account="a-1", project="p-1", user="u-1", tags={"a": "1", "b": "1", "c": "1"}, _spool=records.spool
    )
    with library.Client(transport=door, base_url=server.base_url) as client:
        with attribute(project="p-2", user="u-2", tags={"b": "2", "c": "2"}):
            client.post("/chat/completions", json=ASKED, headers={"x-costmeter-user": "u-3", "x-costmeter-tags": "c=3"})
        client.post("/chat/completions", json=ASKED, headers=ALL)

    first, second = map(of, records.all())
    assert first == Attribution("a-1", "p-2", "u-3", None, {"a": "1", "b": "2", "c": "3"})
    assert second == SAID._replace(tags={"a": "1", "b": "1", "c": "1", "team": "a", "env": "prod"})


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/chat/completions"), ("POST", "/embeddings"), ("GET", "/models")]
)
def test_no_header_of_costmeters_own_leaves(
    method: str, path: str, library: Any, server: ReplayServer, records: Records
) -> None:
    server.answer_with(REPLIES["json"])
    with library.Client(transport=RecordingTransport(_spool=records.spool), headers={"x-other": "1"}) as client:
        request = client.build_request(method, server.base_url + path, content=b"{}", headers=ALL)
        before = request.headers.raw
        response = client.send(request)

    assert strangers(server) == []
    assert server.requests[0][1]["x-other"] == "1"
    assert server.requests[0][2] == b"{}"
    assert response.request is request
    assert request.headers.raw == before


def test_a_body_that_is_still_to_be_produced_is_sent_once(library: Any, server: ReplayServer, records: Records) -> None:
    server.answer_with(REPLIES["json"])
    with library.Client(transport=RecordingTransport(_spool=records.spool), base_url=server.base_url) as client:
        client.post("/chat/completions", content=iter([b'{"model"', b':"m"}']), headers=ALL)

    assert server.requests[0][1]["transfer-encoding"] == "chunked"
    assert of(records.one()) == SAID


def test_a_redirect_keeps_its_attribution(library: Any, server: ReplayServer, records: Records) -> None:
    server.answer_with(Reply(b"", 307, {"location": "/v1/chat/completions"}), REPLIES["json"])
    transport = RecordingTransport(_spool=records.spool)
    with library.Client(transport=transport, base_url=server.base_url, follow_redirects=True) as client:
        client.post("/chat/completions", json=ASKED, headers=ALL)

    assert [(record["http_status"], of(record)) for record in records.all()] == [(307, SAID), (200, SAID)]
    assert strangers(server) == []


def test_an_authentication_of_two_steps_keeps_its_attribution(
    library: Any, server: ReplayServer, records: Records
) -> None:
    challenge = {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'}
    server.answer_with(Reply(b"{}", 401, challenge), REPLIES["json"])

    async def ask() -> None:
        transport = AsyncRecordingTransport(_spool=records.spool)
        async with library.AsyncClient(transport=transport, base_url=server.base_url) as client:
            response = await client.post(
                "/chat/completions", json=ASKED, headers=ALL, auth=library.DigestAuth("user", "password")
            )
            assert response.status_code == 200

    asyncio.run(ask())

    assert [(record["http_status"], of(record)) for record in records.all()] == [(401, SAID), (200, SAID)]
    assert server.requests[1][1]["authorization"].startswith("Digest ")
    assert strangers(server) == []
