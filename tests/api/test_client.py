"""`costmeter.Client` against the real service: typed answers, lists without pages, and what is sent again."""

from __future__ import annotations

import io
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from costmeter import Client, ServiceError
from tests.api.serving import Api, posted
from tests.make import an_event, usage


@pytest.fixture
def client(api: Api) -> Iterator[Client]:
    with Client(str(api.base_url), api_key=api.headers["Authorization"].removeprefix("Bearer ")) as made:
        yield made


def test_a_month_from_first_call_to_file(client: Client, api: Api, tmp_path: Path) -> None:
    assert client.add_account("default").created
    given = client.add_credit("default", kind="granted", amount="2.00", effective_at="2025-03-01T00:00:00Z")
    assert (given.amount, given.created) == ("2.00", True)
    events = [an_event(f"e{n}", project="x") for n in range(3)] + [an_event("bad", completed_at="x")]
    recorded = client.record(events)
    assert (recorded.accepted, recorded.quarantined) == (3, 1)
    assert [(one.index, one.kind) for one in recorded.results] == [(3, "refused")]
    assert client.record(events[:3]).duplicates == 3
    posted(api)

    (info,) = client.balance("default").balance_infos
    assert (info.granted_balance, info.topped_up_balance) == ("0.00", "-1.30")
    report = client.report(month="2025-03", by=["project"], where=["project=x"])
    assert report.rows[0]["cost"] == report.totals["cost"] == "3.30"
    assert report.start == "2025-03-01T00:00:00Z"
    assert [call.event_id for call in client.events(project="x")] == ["e2", "e1", "e0"]
    charge = client.event("e1").charge
    assert charge is not None
    assert charge["cost"] == "1.10"
    assert [entry.kind for entry in client.ledger("default")][:1] == ["credit"]
    assert [credit.remaining for credit in client.credits("default")] == ["0.00"]
    assert [item.event_id for item in client.quarantine()] == ["bad"]
    assert [account.account for account in client.accounts()] == ["default"]

    out, whole = io.BytesIO(), tmp_path / "charges.csv"
    assert client.export_charges(out, month="2025-03") == len(out.getvalue())
    client.export_charges(whole, month="2025-03")
    assert whole.read_bytes() == out.getvalue()
    assert not list(tmp_path.glob(".charges*"))


def test_a_quote(client: Client) -> None:
    quoted = client.quote(model="deepseek-chat", completed_at="2025-03-01T16:30:00Z", usage=usage(0, 0, 1_000_000))
    assert (quoted.total, quoted.band) == ("0.55", "off_peak")


def test_a_list_of_many_pages_has_every_row_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costmeter.client.client.PAGE", 3)
    client.record([an_event(f"e{n}") for n in range(10)])
    assert [call.event_id for call in client.events()] == [f"e{n}" for n in reversed(range(10))]


def test_what_is_refused_says_what_and_why(client: Client) -> None:
    with pytest.raises(ServiceError) as refused:
        client.add_credit("default", kind="gift", amount="1.00")
    assert (refused.value.status, refused.value.kind, refused.value.field) == (422, "/problems/invalid-input", "kind")
    assert str(refused.value) == "kind 'gift': use one of granted, topped_up"
    with pytest.raises(ServiceError, match="no account 'nobody'"):
        client.balance("nobody")


def test_a_wrong_key_is_not_tried_again(api: Api) -> None:
    with Client(str(api.base_url), api_key="cm_x") as client, pytest.raises(ServiceError) as refused:
        client.record([])
    assert refused.value.status == 401


def whole(caller: socket.socket) -> bytes:
    """A request with all of its body."""
    request = b""
    while True:
        request += caller.recv(1 << 16)
        head, ended, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if ended and len(body) == (int(length[1]) if length else 0):
            return request


@contextmanager
def between(api: Api, answers: list[bytes | None]) -> Iterator[tuple[str, list[int]]]:
    """A port in front of the service: each connection first gets the next of these answers (None: it is cut off after
    its request went through), and goes through once there are no more."""
    seen: list[int] = []
    target = (api.base_url.host, api.base_url.port or 0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                with caller:
                    request = whole(caller)
                    seen.append(len(request))
                    answer = answers.pop(0) if answers else b""
                    if answer:
                        caller.sendall(answer)
                        continue
                    with socket.create_connection(target) as through:
                        through.sendall(request.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1))
                        while block := through.recv(1 << 16):
                            if answer is not None:
                                caller.sendall(block)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_what_got_no_answer_is_sent_again_and_counts_once(api: Api) -> None:
    key = api.headers["Authorization"].removeprefix("Bearer ")
    with between(api, [BUSY, None]) as (url, seen), Client(url, api_key=key) as client:
        given = client.add_credit("default", kind="topped_up", amount="1.00")
    assert len(seen) == 3
    assert given.created is False  # the second time it had gone through
    with between(api, [None, BUSY]) as (url, seen), Client(url, api_key=key) as client:
        assert client.record([an_event("a")]).duplicates == 1
    assert len(seen) == 3
    assert len(api.get("/v1/accounts/default/credits").json()["data"]) == 1


def test_it_gives_up_after_its_tries(api: Api) -> None:
    with between(api, [BUSY] * 5) as (url, seen), Client(url, api_key="x", tries=2) as client:
        with pytest.raises(ServiceError) as refused:
            client.record([])
        assert (refused.value.status, len(seen)) == (503, 2)


def test_a_server_that_is_not_there_or_is_another_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", api_key="x", tries=1) as client,
        pytest.raises(ServiceError, match="cannot be reached") as away,
    ):
        client.record([])
    assert away.value.status is None
