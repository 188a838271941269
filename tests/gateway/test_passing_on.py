"""What goes through comes out the same, and each call is one record."""

from __future__ import annotations

import gzip
import http.client
import socket
import time
from typing import Any

import httpx
import pytest

from tests.gateway.serving import Served
from tests.recorder.bodies import CHAT_JSON, CHAT_STREAM, recorded
from tests.recorder.conftest import Records
from tests.recorder.replay import ReplayServer, Reply, json_reply, stream_reply

ASKED = b'{"model":"deepseek-reasoner","stream":true,"messages":[{"role":"user","content":"Hello"}]}'
KEY = {"authorization": "Bearer sk-0123456789abcdef"}
ANSWER = b'{"id":"r-1","model":"deepseek-chat","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'


def post(base_url: str, path: str = "/chat/completions", **more: Any) -> httpx.Response:
    headers = {**KEY, "content-type": "application/json", **more.pop("headers", {})}
    return httpx.post(base_url + path, content=more.pop("content", ASKED), headers=headers, timeout=30, **more)


@pytest.mark.parametrize("name", [CHAT_JSON, CHAT_STREAM])
def test_the_answer_is_the_same_to_the_byte(name: str, server: ReplayServer, gateway: Served, records: Records) -> None:
    body = recorded(name)
    server.answer_with(stream_reply(body) if name.endswith(".sse") else json_reply(body))
    direct, through = post(server.base_url), post(gateway.base_url)
    assert through.content == direct.content == body
    ours = records.one()["event_id"]
    own = {"x-costmeter-event-id": ours}
    assert dict(through.headers) == {**direct.headers, **own}
    assert records.one()["status"] == "ok"


def test_the_request_is_the_same_but_for_its_host_and_our_headers(server: ReplayServer, gateway: Served) -> None:
    server.answer_with(json_reply(ANSWER))
    extra = {"x-stainless-lang": "js", "user-agent": "OpenAI/JS 5.1", "x-costmeter-project": "search", "accept": "*/*"}
    post(server.base_url, "/v1/chat/completions?a=%20b", headers=extra)
    post(gateway.base_url, "/v1/chat/completions?a=%20b", headers=extra)
    (path, direct, body), (other_path, through, other_body) = server.requests
    assert (other_path, other_body) == (path, body)
    for headers in (direct, through):
        del headers["host"]
    del direct["x-costmeter-project"]
    direct.pop("connection", None)
    assert through == direct


def test_a_call_is_attributed_by_its_headers_and_its_key(
    server: ReplayServer, gateway: Served, records: Records
) -> None:
    server.answer_with(json_reply(ANSWER))
    post(gateway.base_url, headers={"x-costmeter-project": "search", "x-costmeter-tags": "team=a"})
    record = records.one()
    assert record["project"] == "search"
    assert record["tags"] == {"team": "a"}
    assert record["api_key"].startswith("fp_")
    assert record["requested_model"] == "deepseek-reasoner"
    assert record["usage"] == {"prompt_tokens": 3, "completion_tokens": 4}


def test_an_encoded_answer_stays_encoded_and_is_read(server: ReplayServer, gateway: Served, records: Records) -> None:
    encoded = gzip.compress(ANSWER)
    server.answer_with(json_reply(encoded, headers={"content-encoding": "gzip"}))
    with httpx.stream("POST", gateway.base_url + "/chat/completions", content=ASKED, headers=KEY) as response:
        assert b"".join(response.iter_raw()) == encoded
        assert response.headers["content-encoding"] == "gzip"
    assert records.one()["usage"] == {"prompt_tokens": 3, "completion_tokens": 4}


@pytest.mark.parametrize("status", [400, 401, 402, 422, 429, 500, 503])
def test_a_refusal_is_passed_on_and_recorded_as_failed(
    status: int, server: ReplayServer, gateway: Served, records: Records
) -> None:
    body = b'{"error":{"message":"no","type":"t","param":null,"code":"why"}}'
    server.answer_with(json_reply(body, status, {"retry-after": "7"}))
    response = post(gateway.base_url)
    assert (response.status_code, response.content, response.headers["retry-after"]) == (status, body, "7")
    record = records.one()
    assert (record["status"], record["http_status"], record["error_code"]) == ("failed", status, "why")


def test_what_is_no_call_is_passed_on_and_not_recorded(server: ReplayServer, gateway: Served, records: Records) -> None:
    server.answer_with(json_reply(b'{"data":[]}'))
    assert httpx.get(gateway.base_url + "/models", headers=KEY).json() == {"data": []}
    posted = httpx.post(gateway.base_url + "/anthropic/v1/messages/count_tokens", content=b"{}", headers=KEY)
    assert posted.json() == {"data": []}
    assert [path for path, _, _ in server.requests] == ["/models", "/anthropic/v1/messages/count_tokens"]
    assert server.requests[1][2] == b"{}"
    assert records.all() == []


@pytest.mark.parametrize("ending", ["truncated", "reset"])
def test_an_answer_that_breaks_off_breaks_off_for_the_caller(
    ending: str, server: ReplayServer, gateway: Served, records: Records
) -> None:
    server.answer_with(stream_reply(recorded(CHAT_STREAM)[:600], ending))
    received: list[bytes] = []
    with httpx.Client() as client:
        asked = client.build_request("POST", gateway.base_url + "/chat/completions", content=ASKED, headers=KEY)
        response = client.send(asked, stream=True)
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(response.iter_raw())
    assert b"".join(received) == recorded(CHAT_STREAM)[:600]
    record = records.one()
    assert record["status"] == "unmetered"
    assert record["reason"].startswith("cut off")


def test_no_answer_is_told_in_the_vendors_shape(server: ReplayServer, gateway: Served, records: Records) -> None:
    server.answer_with(Reply(ending="reset", is_silent=True))
    response = post(gateway.base_url)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "costmeter_no_answer"
    assert records.one()["status"] == "unmetered"


def test_a_vendor_that_cannot_be_reached_gets_no_call(records: Records) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with Served(nowhere, records.spool) as gateway:
        response = post(gateway.base_url)
        assert (response.status_code, response.json()["error"]["code"]) == (502, "costmeter_no_answer")
        assert nowhere not in response.text
    record = records.one()
    assert (record["status"], record["error_code"]) == ("failed", "ClientConnectorError")


def test_a_stall_ends_after_the_time_that_is_set(server: ReplayServer, records: Records) -> None:
    with Served(server.base_url, records.spool, stall_seconds=0.3) as gateway:
        server.answer_with(Reply(ending="stalled", is_silent=True))
        assert post(gateway.base_url).status_code == 504
    assert records.one()["reason"] == "timed out"


def test_a_caller_who_leaves_ends_the_call_upstream_at_once(
    server: ReplayServer, gateway: Served, records: Records
) -> None:
    server.answer_with(stream_reply(recorded(CHAT_STREAM)[:600], "stalled"))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    connection.request("POST", "/chat/completions", ASKED, KEY)
    assert connection.getresponse().read(10)
    connection.close()
    for _ in range(100):
        if records.all():
            break
        time.sleep(0.05)
    assert records.one()["reason"] == "closed early by the caller"


def test_a_key_of_costmeters_does_not_reach_the_vendor(server: ReplayServer, gateway: Served, records: Records) -> None:
    server.answer_with(json_reply(ANSWER))
    response = post(gateway.base_url, headers={"authorization": "Bearer cm_0123456789abcdef_0123"})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "costmeter_no_vendor_key")
    assert server.requests == []
    assert records.all() == []


def test_a_body_beyond_the_limit_is_refused(server: ReplayServer, gateway: Served, records: Records) -> None:
    server.answer_with(json_reply(ANSWER))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    connection.putrequest("POST", "/chat/completions")
    connection.putheader("content-length", str(1 << 30))
    connection.endheaders(b"{")
    refused = connection.getresponse()
    assert (refused.status, refused.headers["x-costmeter-refused"]) == (413, "costmeter_body_too_large")
    connection.close()
    assert records.all() == []


def test_it_tells_how_it_stands(server: ReplayServer, gateway: Served) -> None:
    server.answer_with(json_reply(ANSWER))
    post(gateway.base_url)
    assert httpx.get(gateway.base_url + "/healthz").json() == {"status": "ok"}
    told = httpx.get(gateway.base_url + "/metrics").text
    assert 'costmeter_gateway_requests_total{route="chat",status="200"} 1.0' in told
    assert "costmeter_recorded_calls_total 1.0" in told
    assert "costmeter_spool_limit_bytes 1.073741824e+09" in told  # 1 GiB
    assert "costmeter_spool_bytes " in told
