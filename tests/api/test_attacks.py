"""What a hostile client sends: too much, too deep, too slow, and texts that mean something elsewhere."""

from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import socket
import threading
from typing import Any

import httpx
import pytest
from sqlalchemy import inspect, text

from costmeter.api import limits
from costmeter.api.limits import UNPACKED, Limits, unpack
from tests.api.serving import Api, posted, served, until
from tests.make import an_event

JSON = {"Content-Type": "application/json"}
PACKED = gzip.compress(b"{}")


def test_a_body_of_a_gibibyte_is_refused_by_its_length_alone(sqlite_api: Api) -> None:
    answer = raw(sqlite_api, f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 30}\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401")  # before the body, even before its length, stands the key
    answer = raw(sqlite_api, f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 30}\r\n", key=True)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"/problems/too-large" in answer


def test_a_chunked_body_is_counted_as_it_comes(sqlite_api: Api) -> None:
    def parts() -> Any:
        for _ in range(64):
            yield b" " * (1 << 20)

    try:
        answer = sqlite_api.post("/v1/events", content=parts(), headers=JSON)
    except httpx.WriteError:  # the server may have closed while we were still sending
        pass
    else:
        assert answer.status_code == 413


def test_a_gzip_bomb_is_not_unpacked(sqlite_api: Api) -> None:
    bomb = gzip.compress(b"0" * (1 << 30), 1)
    assert len(bomb) < limits.BODY
    answer = sqlite_api.post("/v1/events", content=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


def test_what_is_just_within_the_bound_is_unpacked() -> None:
    assert len(unpack(gzip.compress(b"0" * UNPACKED))) == UNPACKED


@pytest.mark.parametrize("body", [b"no gzip", PACKED[:-4], PACKED + b"rest"], ids=["other", "cut", "longer"])
def test_what_is_no_gzip_is_a_400(sqlite_api: Api, body: bytes) -> None:
    answer = sqlite_api.post("/v1/events", content=body, headers={**JSON, "Content-Encoding": "gzip"})
    assert answer.status_code == 400


def test_another_encoding_is_a_415(sqlite_api: Api) -> None:
    answer = sqlite_api.post("/v1/events", content=b"{}", headers={**JSON, "Content-Encoding": "br"})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/quote", "/v1/accounts"])
def test_json_nested_too_deep_is_a_client_error(sqlite_api: Api, path: str) -> None:
    for deep in (b"[" * 1_000_000, b'{"a":' * 500_000, b'{"usage": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"):
        answer = sqlite_api.post(path, content=deep, headers=JSON)
        assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize("number", ["1e999", "-1", "1.5", "9" * 5_000, "NaN", "true", "null", '"7"'])
def test_numbers_that_are_none_are_refused(sqlite_api: Api, number: str) -> None:
    event = json.dumps(an_event("a")).replace("1000000", number)
    assert sqlite_api.post("/v1/events", content=event, headers=JSON).status_code in (400, 422)
    assert sqlite_api.get("/v1/events").status_code == 404  # the account was never made


def test_a_slow_body_is_given_up(sqlite_url: str) -> None:
    """The app behind a limit of a tenth of a second: nothing else is different."""
    import asyncio

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async def never(_: Any = None) -> Any:
        await asyncio.sleep(3_600)

    async def run() -> None:
        scope = {"type": "http", "path": "/v1/events", "headers": []}
        await Limits(app, seconds=0.1)(scope, never, never)

    with pytest.raises(Exception, match=r"408: nothing of the body came for 0\.1 s"):
        asyncio.run(run())


def test_too_many_at_once_are_told_to_come_again(sqlite_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [connection(sqlite_api) for _ in range(limits.AT_ONCE)]
    half = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n{bearer(sqlite_api)}\r\n{{"
    try:
        for one in held:
            one.sendall(half.encode())
        answer = until(lambda: refused(sqlite_api))
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["type"] == "/problems/overloaded"
        assert sqlite_api.get("/healthz").status_code == 200
    finally:
        for one in held:
            one.close()
    until(lambda: sqlite_api.get("/v1/prices/check").status_code == 200)


def refused(api: Api) -> httpx.Response | None:
    answer = api.get("/v1/prices/check")
    return answer if answer.status_code == 503 else None


NASTY = [
    "'; DROP TABLE usage_event; --",
    '" OR 1=1 --',
    "../../etc/passwd",
    "..%2f..%2fetc",
    "a\r\nX-Injected: yes",
    "%0d%0aX-Injected: yes",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\u202e\u0000x",
    "{{7*7}}${7*7}",
    "x" * 5_000,
]


@pytest.mark.parametrize("nasty", NASTY)
def test_a_nasty_text_is_data_wherever_it_stands(api: Api, nasty: str) -> None:
    event = an_event("a", project=nasty, user=nasty, api_key=nasty, tags={"t": nasty}, operation_id=nasty)
    answers = [
        api.post("/v1/events", json=event),
        api.post("/v1/events", json=an_event(nasty, response_id=nasty, model=nasty)),
        api.post("/v1/accounts", json={"account": nasty, "timezone": nasty}),
        api.post("/v1/accounts/default/credits", json={"kind": nasty, "amount": nasty, "reference": nasty}),
        api.post("/v1/accounts/default/credits", json={"kind": "granted", "amount": "1.00", "reference": nasty[:200]}),
        api.post("/v1/quarantine/discard", json={"items": [nasty], "reason": nasty}),
        api.post("/v1/keys", json={"name": nasty[:200], "roles": ["read"], "accounts": [nasty[:60]]}),
        api.post("/v1/quote", json={**an_event(None), "model": nasty}),
        *(
            api.get(path, params=params)
            for path, params in (
                ("/v1/events", {"project": nasty, "account": nasty}),
                ("/v1/reports/spend", {"month": "2025-03", "where": f"project={nasty}", "by": "project"}),
                ("/v1/reports/spend", {"month": nasty, "by": nasty, "timezone": nasty}),
                ("/v1/reports/spend", {"month": "2025-03", "by": f"tag:{nasty}"}),
                ("/v1/exports/charges", {"month": "2025-03", "where": f"user={nasty}"}),
                ("/v1/audit", {"account": nasty, "cursor": nasty}),
                ("/v1/quarantine", {"cursor": nasty}),
            )
        ),
    ]
    for answer in answers:
        assert answer.status_code < 500, (answer.request.url, answer.text)
        assert "x-injected" not in answer.headers
    tables = set(inspect(api.engine).get_table_names())
    assert {"usage_event", "charge", "credit"} <= tables


@pytest.mark.parametrize("path", ["/v1/accounts/..%2f..%2f/balance", "/v1/events/..%2F..%2Fetc%2Fpasswd", "//v1/keys"])
def test_path_tricks_lead_nowhere(sqlite_api: Api, path: str) -> None:
    assert sqlite_api.get(path).status_code in (404, 422)


def test_formulas_do_not_run_in_the_exported_file(api: Api) -> None:
    nasty = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"]
    events = [an_event(f"e{n}", user=name) for n, name in enumerate(nasty)]
    api.post("/v1/events", json={"events": events})
    posted(api)
    rows = csv.reader(io.StringIO(api.get("/v1/exports/charges?month=2025-03").text))
    users = [row[3] for row in rows][1:]
    assert all(user.startswith("'") or not user.startswith(("=", "+", "-", "@", "\t")) for user in users)


def test_no_secret_is_in_a_log_an_answer_a_metric_or_the_database(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A vendor's key wherever a client may put it by mistake, our own keys, a prompt and an answer."""
    caplog.set_level(logging.DEBUG)
    vendor, prompt = "sk-3f2a9d7c51e84b06a7d2c9f0b1e4d8aa", "the quick brown fox confides"
    own = api.headers["Authorization"].removeprefix("Bearer ")
    event = an_event("a", api_key=vendor, user=f"Bearer {vendor}", project=vendor, messages=prompt, tags={"k": vendor})
    answers = [
        api.post("/v1/events", json=event),
        api.post("/v1/events", json=an_event("b", completed_at="x", api_key=vendor, prompt=prompt)),
        api.post("/v1/events", json=an_event("c", account=own, completed_at="2999-01-01T00:00:00Z")),
        api.post("/v1/events", content=f"{{{vendor} {prompt}", headers={"Content-Type": "application/x-ndjson"}),
        api.get("/v1/events", params={"account": vendor}),
        api.get("/v1/events", params={"cursor": own}),
        api.get(f"/v1/accounts/{vendor}"),
        api.get("/v1/reports/spend", params={"month": vendor, "by": own}),
        api.post("/v1/accounts", json={"account": "x", "timezone": vendor}),
        api.post("/v1/accounts/default/credits", json={"kind": own, "amount": "1", "reference": vendor}),
        api.get("/v1/accounts", headers={"Authorization": f"Bearer {vendor}"}),
        api.get("/metrics"),
    ]
    # What a server logs: neither what this client does, nor uvicorn's own log of requests, which is off.
    not_ours = ("httpx", "httpcore", "uvicorn.access")
    logged = "".join(one.getMessage() for one in caplog.records if not one.name.startswith(not_ours))
    with api.engine.connect() as connection:
        names = inspect(api.engine).get_table_names()
        stored = "".join(str(row) for name in names for row in connection.execute(text(f'SELECT * FROM "{name}"')))
    told = "".join(answer.text + str(answer.headers) for answer in answers) + logged + stored
    for secret in (vendor, own.split("_")[2], prompt):
        assert secret not in told
    assert "fp_" in stored


def connection(api: Api) -> socket.socket:
    return socket.create_connection((api.base_url.host, api.base_url.port or 0), timeout=20)


def bearer(api: Api) -> str:
    return f"Authorization: {api.headers['Authorization']}\r\n"


def raw(api: Api, head: str, *, key: bool = False) -> bytes:
    """The answer, of JSON, to a request that is sent as it stands."""
    with connection(api) as sock:
        sock.sendall((head + (f"{bearer(api)}\r\n" if key else "")).encode())
        answer = sock.recv(65_536)
        while not answer.endswith(b"}"):
            answer += sock.recv(65_536)
        return answer


def test_requests_at_the_same_time_are_each_recorded_once(api: Api) -> None:
    """Forty threads, each with ids of its own and ids that all of them send."""
    headers, url = dict(api.headers), str(api.base_url)
    counts: list[dict[str, int]] = []

    def send(number: int) -> None:
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            for part in range(5):
                events = [an_event(f"own-{number}-{part}"), an_event(f"shared-{part}")]
                counts.append(client.post("/v1/events", json={"events": events}).json())

    threads = [threading.Thread(target=send, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one["accepted"] for one in counts) == 40 * 5 + 5
    assert sum(one["duplicates"] for one in counts) == 39 * 5
    posted(api)
    assert api.get("/v1/reports/spend?month=2025-03").json()["totals"]["calls"] == 205


def test_an_answer_that_takes_too_long_is_given_up(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costmeter.api.service.READ_SECONDS", 0.2)
    with served(postgres_url) as api, api.engine.connect() as other:
        api.post("/v1/events", json=an_event("a"))
        posted(api)
        other.execute(text("LOCK TABLE usage_event IN ACCESS EXCLUSIVE MODE"))
        answer = api.get("/v1/events")
        other.rollback()
        assert (answer.status_code, answer.json()["detail"]) == (503, "the database took too long; ask for less")
        assert answer.headers["retry-after"] == "5"
        assert api.get("/v1/events").status_code == 200
