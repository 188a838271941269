"""Who calls too fast is told when to come again; a call on its way gives its place back however it ends."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from costmeter import wiring
from costmeter.core.rate_limits import Limits
from costmeter.gateway import rates
from costmeter.gateway.callers import Caller
from costmeter.gateway.rates import Rates
from costmeter.gateway.refusals import RefusedCallError
from costmeter.recorder.attribution import NOBODY
from costmeter.recorder.draft import write_attribution
from costmeter.services.limit_key import limit_key
from costmeter.services.rotate_key import rotate_key
from tests.api.serving import until
from tests.gateway.keyed import ANSWER, ASKED, CHAT, MESSAGES, Keyed, keyed, refusal
from tests.gateway.serving import Served
from tests.recorder.bodies import CHAT_STREAM, recorded
from tests.recorder.conftest import Records, TestClock
from tests.recorder.replay import ReplayServer, Reply, json_reply, stream_reply

TOO_FAST = (429, "costmeter_rate_limited")
PASSED = (200, "not by the gateway")
ONE_AT_ONCE = Limits(None, 1)


@pytest.fixture
def gateway(sqlite_url: str, server: ReplayServer, records: Records, clock: TestClock) -> Iterator[Keyed]:
    with keyed(sqlite_url, server, records, clock, stall_seconds=0.5) as made:
        yield made


class TestPerMinute:
    def test_so_many_and_no_more_until_a_minute_is_over(self, gateway: Keyed) -> None:
        key = gateway.key(limits=Limits(3))
        assert [refusal(gateway.ask(key)) for _ in range(3)] == [PASSED] * 3
        gateway.clock.advance(20.5)
        refused = gateway.ask(key)
        assert refusal(refused) == TOO_FAST
        assert refused.headers["retry-after"] == "40"
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "costmeter_rate_limited")
        assert error["message"] == "too many calls: this key may make 3 a minute; try again in 40 s"
        gateway.clock.advance(39.5)
        assert [refusal(gateway.ask(key)) for _ in range(4)] == [PASSED] * 3 + [TOO_FAST]

    def test_what_is_refused_is_counted_and_no_call(self, gateway: Keyed) -> None:
        key = gateway.key(limits=Limits(1))
        told = [gateway.ask(key, path) for path in (CHAT, MESSAGES, CHAT)]
        assert [refusal(answer) for answer in told] == [PASSED, TOO_FAST, TOO_FAST]
        assert told[1].json()["type"] == "error"
        assert told[1].json()["error"]["type"] == "rate_limit_error"
        assert len(gateway.server.requests) == 1
        assert len(gateway.records.all()) == 1
        assert 'costmeter_gateway_refused_total{code="costmeter_rate_limited"} 2.0' in gateway.figures()

    def test_what_is_no_call_is_not_limited(self, gateway: Keyed) -> None:
        key = gateway.key(limits=Limits(1))
        assert [refusal(gateway.ask(key, "/models", method="GET")) for _ in range(5)] == [PASSED] * 5
        assert refusal(gateway.ask(key)) == PASSED

    def test_a_name_has_its_limit_once_however_many_keys_it_has(self, gateway: Keyed) -> None:
        old, other = gateway.key(limits=Limits(2)), gateway.key("other", limits=Limits(2))
        now = gateway.clock.now()
        _, new = rotate_key(gateway.engine, "backend", overlap=timedelta(hours=1), by="root", now=now)
        assert [refusal(gateway.ask(key)) for key in (old, new, old, new)] == [PASSED] * 2 + [TOO_FAST] * 2
        assert refusal(gateway.ask(other)) == PASSED

    def test_a_limit_that_is_set_anew_counts_within_a_second(self, gateway: Keyed) -> None:
        key = gateway.key()
        assert [refusal(gateway.ask(key)) for _ in range(3)] == [PASSED] * 3
        for limits, then in ((Limits(1), [PASSED, TOO_FAST]), (Limits(3), [PASSED, PASSED, TOO_FAST])):
            limit_key(gateway.engine, "backend", limits, by="root", now=gateway.clock.now())
            gateway.clock.advance(1.0)
            assert [refusal(gateway.ask(key)) for _ in then] == then

    def test_of_many_at_once_as_many_pass_as_may(self, gateway: Keyed) -> None:
        key, told = gateway.key(limits=Limits(7)), list[tuple[int, str]]()
        threads = [threading.Thread(target=lambda: told.append(refusal(gateway.ask(key)))) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(told) == [PASSED] * 7 + [TOO_FAST] * 23
        assert len(gateway.records.all()) == 7


def under_way(gateway: Keyed, key: str) -> http.client.HTTPConnection:
    """A call whose answer has begun and goes on."""
    gateway.server.answer_with(stream_reply(recorded(CHAT_STREAM)[:600], "stalled"))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.served.port)
    connection.request("POST", CHAT, ASKED, {"authorization": f"Bearer {key}"})
    assert connection.getresponse().read(10)
    gateway.server.answer_with(json_reply(ANSWER))
    return connection


class TestAtOnce:
    def test_one_more_is_refused_and_others_are_not(self, gateway: Keyed) -> None:
        key, other = (gateway.key(name, limits=ONE_AT_ONCE) for name in ("backend", "other"))
        connection = under_way(gateway, key)
        refused = gateway.ask(key)
        assert (refusal(refused), refused.headers["retry-after"]) == (TOO_FAST, "1")
        assert refusal(gateway.ask(other)) == PASSED
        connection.close()

    def test_a_caller_who_leaves_gives_his_place_back(self, gateway: Keyed) -> None:
        key = gateway.key(limits=ONE_AT_ONCE)
        under_way(gateway, key).close()
        until(lambda: refusal(gateway.ask(key)) == PASSED)

    def test_and_so_does_one_who_leaves_in_the_middle_of_his_body(self, gateway: Keyed) -> None:
        key = gateway.key(limits=ONE_AT_ONCE)
        connection = http.client.HTTPConnection("127.0.0.1", gateway.served.port)
        connection.putrequest("POST", CHAT)
        connection.putheader("authorization", f"Bearer {key}")
        connection.putheader("content-length", "1000")
        connection.endheaders(b"{")
        until(lambda: refusal(gateway.ask(key)) == TOO_FAST)
        connection.close()
        until(lambda: refusal(gateway.ask(key)) == PASSED)

    @pytest.mark.parametrize(
        "reply",
        [
            json_reply(ANSWER),
            json_reply(b'{"error":{}}', 500),
            stream_reply(recorded(CHAT_STREAM)),
            stream_reply(recorded(CHAT_STREAM)[:600], "truncated"),
            stream_reply(recorded(CHAT_STREAM)[:600], "reset"),
            stream_reply(recorded(CHAT_STREAM)[:600], "stalled"),
            Reply(ending="reset", is_silent=True),
            Reply(ending="stalled", is_silent=True),
        ],
    )
    def test_however_an_answer_ends(self, gateway: Keyed, reply: Reply) -> None:
        key = gateway.key(limits=ONE_AT_ONCE)
        for _ in range(3):
            gateway.server.answer_with(reply)
            try:
                told = refusal(gateway.ask(key))
            except httpx.RemoteProtocolError:
                told = (0, "broken off")
            assert told != TOO_FAST
            # A caller may have seen the end a moment before the gateway did.
            gateway.server.answer_with(json_reply(ANSWER))
            until(lambda: refusal(gateway.ask(key)) == PASSED)

    def test_a_body_that_is_refused(
        self, sqlite_url: str, server: ReplayServer, records: Records, clock: TestClock
    ) -> None:
        from costmeter.gateway.app import Manners

        with keyed(sqlite_url, server, records, clock, manners=Manners(body_limit=10)) as gateway:
            key = gateway.key(limits=ONE_AT_ONCE)
            assert [refusal(gateway.ask(key))[0] for _ in range(3)] == [413] * 3


class TestForAll:
    """One limit for keys that have none of their own, of costmeter's or of DeepSeek's."""

    def test_a_key_of_costmeters(
        self, sqlite_url: str, server: ReplayServer, records: Records, clock: TestClock
    ) -> None:
        with keyed(sqlite_url, server, records, clock, limits=Limits(2, 8)) as gateway:
            plain, own = gateway.key("plain"), gateway.key("own", limits=Limits(3))
            assert [refusal(gateway.ask(plain)) for _ in range(3)] == [PASSED] * 2 + [TOO_FAST]
            assert [refusal(gateway.ask(own)) for _ in range(4)] == [PASSED] * 3 + [TOO_FAST]

    def test_a_key_of_deepseeks_whatever_its_caller_calls_it(
        self, server: ReplayServer, records: Records, clock: TestClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.answer_with(json_reply(ANSWER))
        monkeypatch.setenv("COSTMETER_GATEWAY_CALLS_PER_MINUTE", "2")
        monkeypatch.setenv("COSTMETER_GATEWAY_CALLS_AT_ONCE", "8")
        with Served(server.base_url, records.spool, callers=wiring.callers(), clock=clock) as gateway:
            told = [
                refusal(httpx.post(gateway.base_url + CHAT, headers={**headers, "x-costmeter-api-key": f"k{n}"}))
                for headers in ({"authorization": "Bearer sk-0123456789abcdef"}, {"x-api-key": "sk-other"}, {})
                for n in range(3)
            ]
        assert told == ([PASSED] * 2 + [TOO_FAST]) * 3
        assert len(records.all()) == 6


def test_who_has_not_called_for_long_is_forgotten_but_not_with_a_call_on_its_way(
    clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "KEPT", 3)
    kept = Rates(clock.monotonic)

    def caller(name: str) -> Caller:
        return Caller(NOBODY, write_attribution(NOBODY), None, Limits(1, 1), name)

    with kept.counted(caller("long")):
        for name in ("a", "b", "c", "d"):
            with kept.counted(caller(name)):
                pass
        with pytest.raises(RefusedCallError, match="1 at once"), kept.counted(caller("long")):
            pass
    with pytest.raises(RefusedCallError, match="1 a minute"), kept.counted(caller("d")):
        pass
    with kept.counted(caller("a")):
        pass
