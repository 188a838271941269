"""What the gateway does of itself, where it is set: usage asked for, further attempts, costs told, answers drained."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator

import httpx
import pytest

from costmeter.core.money import format_amount
from costmeter.gateway.app import Manners
from costmeter.gateway.costs import Costs
from costmeter.gateway.exchange import LONGEST_PAUSE, pause
from costmeter.gateway.requests import with_usage
from costmeter.prices.read import load_book
from costmeter.services.quote_call import quote_call
from costmeter.simulator import Simulator
from tests.gateway.serving import Served
from tests.gateway.test_passing_on import ANSWER, ASKED, KEY, post
from tests.recorder.bodies import CHAT_STREAM, recorded
from tests.recorder.conftest import Records
from tests.recorder.replay import ReplayServer, Reply, json_reply, stream_reply

CHAT = b"/chat/completions"


class TestUsageIsAskedFor:
    @pytest.mark.parametrize(
        ("body", "sent"),
        [
            (
                b'{"model":"m","stream":true,"n":1e1}',
                b'{"model":"m","stream":true,"n":1e1,"stream_options":{"include_usage":true}}',
            ),
            (
                b'{"stream":true,"stream_options":{"x":1,"include_usage":false}}',
                b'{"stream":true,"stream_options":{"x":1,"include_usage":true}}',
            ),
            (b'{"stream":true,"stream_options":{"include_usage":true} }', None),
            (b'{"stream":false}', None),
            (b'{"model":"m"}', None),
            (b'{"stream":true', None),
            (b'{"stream":true,"stream_options":7}', None),
            (b"[1]", None),
            (b"\xff\xfe", None),
            (b"", None),
        ],
    )
    def test_where_a_stream_did_not(self, body: bytes, sent: bytes | None) -> None:
        assert with_usage(body, CHAT) == (body if sent is None else sent)

    def test_but_not_in_the_other_formats(self) -> None:
        assert with_usage(b'{"stream":true}', b"/anthropic/v1/messages") == b'{"stream":true}'
        assert with_usage(b'{"stream":true}', b"/responses") == b'{"stream":true}'

    def test_by_setting(self, server: ReplayServer, records: Records) -> None:
        server.answer_with(stream_reply(recorded(CHAT_STREAM)))
        with Served(server.base_url, records.spool, manners=Manners(include_usage=True)) as gateway:
            post(gateway.base_url)
        _, headers, body = server.requests[0]
        assert json.loads(body) == {**json.loads(ASKED), "stream_options": {"include_usage": True}}
        assert headers["content-length"] == str(len(body))


class TestFurtherAttempts:
    BUSY = json_reply(b'{"error":{"message":"busy","code":"busy"}}', 503, {"retry-after": "0"})

    def test_are_calls_of_one_operation(self, server: ReplayServer, records: Records) -> None:
        silent = Reply(ending="reset", is_silent=True)
        server.answer_with(self.BUSY, silent, json_reply(ANSWER))
        with Served(server.base_url, records.spool, retries=2) as gateway:
            response = post(gateway.base_url)
        assert (response.status_code, response.content) == (200, ANSWER)
        found = records.all()
        assert [record["status"] for record in found] == ["failed", "unmetered", "ok"]
        assert len({record["event_id"] for record in found}) == 3
        assert {record["operation_id"] for record in found} == {found[0]["event_id"]}
        assert response.headers["x-costmeter-event-id"] == found[2]["event_id"]

    def test_end_with_the_last_answer(self, server: ReplayServer, records: Records) -> None:
        server.answer_with(self.BUSY)
        with Served(server.base_url, records.spool, retries=1) as gateway:
            response = post(gateway.base_url)
        assert (response.status_code, response.content) == (503, self.BUSY.body)
        assert [record["http_status"] for record in records.all()] == [503, 503]

    def test_are_not_made_at_what_was_refused_for_good(self, server: ReplayServer, records: Records) -> None:
        server.answer_with(json_reply(b"{}", 402), json_reply(ANSWER))
        with Served(server.base_url, records.spool, retries=3) as gateway:
            assert post(gateway.base_url).status_code == 402
        assert records.one()["http_status"] == 402

    def test_wait_as_long_as_they_are_told(self) -> None:
        assert pause(0, "3") == 3
        assert pause(0, "4000") == LONGEST_PAUSE
        assert 0.25 <= pause(0) <= 0.5
        assert 1 <= pause(2, "Thu, 26 Nov 2026 14:53:59 GMT") <= 2
        assert pause(50) <= LONGEST_PAUSE


class TestCosts:
    @pytest.fixture
    def vendor(self) -> Iterator[Simulator]:
        with Simulator() as running:
            yield running

    def test_are_told_with_an_answer_that_comes_whole(self, vendor: Simulator, records: Records) -> None:
        costs = Costs(load_book(None), lambda account: {"default": "USD"}[account])
        asked = {"model": "deepseek-v4-flash", "messages": [{"role": "user", "content": "Hello"}]}
        with Served(vendor.base_url, records.spool, costs=costs) as gateway:
            for _ in range(100):  # the currency of the account is asked for meanwhile
                response = httpx.post(gateway.base_url + "/chat/completions", json=asked, headers=KEY)
                if "x-costmeter-cost" in response.headers:
                    break
                time.sleep(0.02)
        record = records.all()[-1]
        charge = quote_call(
            load_book(None), model=record["model"], completed_at=record["completed_at"], usage=record["usage"]
        )
        assert response.headers["x-costmeter-cost"] == format_amount(charge.total)
        assert response.headers["x-costmeter-currency"] == "USD"

    def test_of_a_stream_are_not_as_nothing_waits_for_its_end(self, records: Records) -> None:
        costs = Costs(load_book(None), lambda _: "USD")
        asked = {"model": "deepseek-v4-flash", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        with (
            Simulator(chunk_delay=0.002) as vendor,
            Served(vendor.base_url, records.spool, costs=costs) as gateway,
        ):
            for _ in range(3):
                response = httpx.post(gateway.base_url + "/chat/completions", json=asked, headers=KEY)
                assert "x-costmeter-cost" not in response.headers
        assert [record["status"] for record in records.all()] == ["ok"] * 3

    def test_go_untold_while_the_database_is_away(self, vendor: Simulator, records: Records) -> None:
        def away(_: str) -> str:
            raise ConnectionError

        asked = {"model": "deepseek-v4-flash", "messages": [{"role": "user", "content": "Hello"}]}
        with Served(vendor.base_url, records.spool, costs=Costs(load_book(None), away)) as gateway:
            for _ in range(3):
                response = httpx.post(gateway.base_url + "/chat/completions", json=asked, headers=KEY)
                assert (response.status_code, "x-costmeter-cost" in response.headers) == (200, False)


def test_an_answer_is_drained_for_its_usage_when_its_caller_has_left(records: Records) -> None:
    with Simulator(chunk_delay=0.02) as vendor, Served(vendor.base_url, records.spool, drain=True) as gateway:
        asked = {
            "model": "deepseek-v4-flash",
            "messages": [{"role": "user", "content": "Count to twenty."}],
            "stream": True,
        }
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
        connection.request("POST", "/chat/completions", json.dumps(asked), KEY)
        assert connection.getresponse().read(10)
        connection.close()
        for _ in range(400):
            if records.all():
                break
            time.sleep(0.05)
        assert records.one()["status"] == "ok"
        assert records.one()["usage"]["completion_tokens"] > 0
