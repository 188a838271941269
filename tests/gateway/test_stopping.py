"""Calls that a budget does not cover are stopped before they are made; what each held ends as its call did."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event, text

from costmeter import wiring
from costmeter.core.errors import SetupError
from costmeter.core.reservations import OPEN, RELEASED, SETTLED
from costmeter.gateway.asked import read_asked
from costmeter.gateway.stopped import KNOWN_SECONDS
from costmeter.services.expire_reservations import expire_reservations
from costmeter.services.verify import verify
from costmeter.simulator import Simulator
from costmeter.store.tables import ReservationRow
from tests.api.serving import until
from tests.gateway.serving import Served
from tests.gateway.stopping import a_limit, ask, held, spent, states, stopping
from tests.make import rows, top_up

TINY = "0.0001"  # less than a call can cost: 2,000 tokens around it, and 50 of its answer


@pytest.fixture(scope="module")
def vendor() -> Iterator[Simulator]:
    with Simulator(topped_up="1000") as running:
        yield running


def served(vendor: Simulator) -> int:
    return len(vendor.ledger.calls)


def told(gateway: Served) -> str:
    return httpx.get(f"{gateway.base_url}/metrics").text


class TestRefused:
    @pytest.mark.parametrize("mode", ["soft", "hard"])
    def test_in_deepseeks_own_shape_and_never_sent(
        self, mode: str, engine: Engine, database_url: str, vendor: Simulator
    ) -> None:
        a_limit(engine, "0.000001")
        before = served(vendor)
        with stopping(database_url, vendor.base_url, mode) as gateway:
            refused = ask(gateway.base_url)
            assert refused.status_code == 402
            assert refused.headers["x-costmeter-refused"] == "costmeter_over_budget"
            error = refused.json()["error"]
            assert (error["type"], error["code"]) == ("unknown_error", "costmeter_over_budget")
            said = "budget 'all' does not cover this call: the call "
            assert error["message"].startswith(said + {"soft": "costs about 0.0000", "hard": "may cost 0.000"}[mode])
            assert error["message"].endswith(" USD, and not that much is left")
            assert "retry-after" not in refused.headers
            other = ask(gateway.base_url, path="/anthropic/v1/messages").json()
            assert (other["type"], other["error"]["type"]) == ("error", "billing_error")
        assert served(vendor) == before
        assert states(engine) == []

    def test_with_the_sums_of_a_budget_of_one_project_and_until_when(
        self, engine: Engine, database_url: str, vendor: Simulator
    ) -> None:
        a_limit(engine, TINY, per="day", where=["project=p"])
        a_limit(engine, TINY, "users", where=["user=u"])
        with stopping(database_url, vendor.base_url) as gateway:
            refused = ask(gateway.base_url, headers={"x-costmeter-project": "p"})
            assert (
                "of 0.0001 USD 0.00 are spent and 0.00 reserved: 0.0001 is left" in refused.json()["error"]["message"]
            )
            assert "; its period ends at 20" in refused.json()["error"]["message"]
            assert 0 < int(refused.headers["retry-after"]) <= 86_400
            assert "0.0001" not in ask(gateway.base_url, headers={"x-costmeter-user": "u"}).text
            assert ask(gateway.base_url, headers={"x-costmeter-project": "q"}).status_code == 200

    def test_by_tokens_by_tag_and_by_the_model_that_the_answer_names(
        self, engine: Engine, database_url: str, vendor: Simulator
    ) -> None:
        a_limit(engine, name="tokens", amount=None, tokens=2_000, where=["tag:team=a"])
        a_limit(engine, TINY, "pro", where=["model=deepseek-v4-pro"])
        with stopping(database_url, vendor.base_url) as gateway:
            team = ask(gateway.base_url, headers={"x-costmeter-tags": "team=a"})
            assert "may use 2" in team.json()["error"]["message"]
            assert ask(gateway.base_url, model="deepseek-v4-pro").status_code == 402
            claude = {"path": "/anthropic/v1/messages", "model": "claude-opus-4"}
            assert ask(gateway.base_url, **claude).status_code == 402
            assert ask(gateway.base_url, path="/anthropic/v1/messages", model="claude-sonnet-4").status_code == 200
            assert ask(gateway.base_url).status_code == 200

    def test_what_has_no_bound_in_hard_mode_alone_and_where_a_budget_stops(
        self, engine: Engine, database_url: str, vendor: Simulator
    ) -> None:
        a_limit(engine, "100.00", where=["project=p"])
        mine = {"x-costmeter-project": "p"}
        odd: dict[str, Any] = {"tools": [{"type": "web_search"}]}
        with stopping(database_url, vendor.base_url, "hard") as gateway:
            refused = ask(gateway.base_url, headers=mine, **odd)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "costmeter_no_bound")
            assert "a tool of the type 'web_search'" in refused.json()["error"]["message"]
            assert ask(gateway.base_url, **odd).status_code == 200
            unknown = ask(gateway.base_url, headers=mine, model="deepseek-9")
            assert "no USD price of 'deepseek-9'" in unknown.json()["error"]["message"]
        with stopping(database_url, vendor.base_url, "soft") as gateway:
            assert ask(gateway.base_url, headers=mine, **odd).status_code == 200
            unknown = ask(gateway.base_url, headers=mine, model="deepseek-9")
            assert unknown.json()["error"]["message"] == "Model Not Exist"  # which DeepSeek says


class TestHeld:
    def test_until_the_charge_takes_its_place(self, engine: Engine, database_url: str, vendor: Simulator) -> None:
        a_limit(engine)
        before = served(vendor)
        with stopping(database_url, vendor.base_url) as gateway:
            answers = [ask(gateway.base_url, f"call {number}", stream=number % 2 == 1) for number in range(4)]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert states(engine) == [SETTLED] * 4
        bills = vendor.ledger.calls[before:]
        assert (spent(engine), held(engine)) == (sum(paid.bill.cost for paid in bills), 0)
        assert all(row["cost"] >= paid.bill.cost for row, paid in zip(rows(engine, ReservationRow), bills, strict=True))
        assert verify(engine, full=True) == []

    @pytest.mark.parametrize("mode", ["soft", "hard"])
    def test_no_longer_than_a_call_that_failed(
        self, mode: str, engine: Engine, database_url: str, vendor: Simulator
    ) -> None:
        a_limit(engine)
        with stopping(database_url, vendor.base_url, mode) as gateway:
            assert ask(gateway.base_url, headers={"x-simulator-fault": "500"}).status_code == 500
            assert until(lambda: states(engine) == [RELEASED])
            assert held(engine) == 0

    def test_no_longer_than_a_call_that_was_never_sent(self, engine: Engine, database_url: str) -> None:
        a_limit(engine)
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with stopping(database_url, nowhere) as gateway:
            assert ask(gateway.base_url).status_code == 502
            assert until(lambda: states(engine) == [RELEASED])

    @pytest.mark.parametrize(("mode", "state"), [("soft", RELEASED), ("hard", OPEN)])
    def test_by_a_call_without_usage_until_it_expires_where_the_most_was_held(
        self, mode: str, state: str, engine: Engine, database_url: str, vendor: Simulator
    ) -> None:
        a_limit(engine)
        with stopping(database_url, vendor.base_url, mode) as gateway:
            assert ask(gateway.base_url, headers={"x-simulator-fault": "no_usage"}).status_code == 200
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
            body = json.dumps({"model": "deepseek-flash", "stream": True, "max_tokens": 400, "messages": [
                {"role": "user", "content": "Leave"}]})  # fmt: skip
            fault = {"x-simulator-fault": "stall;after=3;seconds=30", "authorization": "Bearer sk-0123456789abcdef"}
            connection.request("POST", "/chat/completions", body, fault)
            assert connection.getresponse().read(10)
            connection.close()
            assert until(lambda: states(engine) == [state] * 2)
        expire_reservations(engine, now=datetime.now(UTC) + timedelta(minutes=36))
        assert held(engine) == 0
        assert spent(engine) == 0
        assert verify(engine, full=True) == []

    def test_by_each_attempt_of_its_own(self, engine: Engine, database_url: str, vendor: Simulator) -> None:
        a_limit(engine)
        with stopping(database_url, vendor.base_url, retries=1) as gateway:
            assert ask(gateway.base_url, headers={"x-simulator-fault": "503"}).status_code == 503
            assert until(lambda: states(engine) == [RELEASED] * 2)
        assert len({row["identity"] for row in rows(engine, ReservationRow)}) == 2

    def test_in_soft_mode_as_long_as_answers_have_been_lately(
        self, engine: Engine, database_url: str, vendor: Simulator
    ) -> None:
        a_limit(engine, "100.00")
        with stopping(database_url, vendor.base_url, "soft") as gateway:
            for number in range(3):
                assert ask(gateway.base_url, f"Again {number}", max_tokens=None).status_code == 200
            assert ask(gateway.base_url, max_tokens=7).status_code == 200
        first, second, _, last = rows(engine, ReservationRow, ReservationRow.reservation_id)
        output = vendor.ledger.calls[-4].bill.usage.completion
        sent = second["tokens"] - output  # what the first one's answer was is expected of the second
        assert 0 < sent < 10
        assert first["tokens"] - 1_000 in (sent, sent - 1, sent + 1)
        assert last["tokens"] < 7 + 10


class TestNothingStops:
    def test_and_calls_cost_no_read_but_one_a_second(
        self, engine: Engine, database_url: str, vendor: Simulator
    ) -> None:
        a_limit(engine, stops=False)
        with stopping(database_url, vendor.base_url) as gateway:
            assert ask(gateway.base_url).status_code == 200
            admission = gateway.gateway._admission
            assert admission is not None
            said: list[str] = []
            asked = admission._database._opened()
            event.listen(asked, "before_cursor_execute", lambda *args: said.append(args[2]))
            began = time.monotonic()
            for _ in range(50):
                assert ask(gateway.base_url).status_code == 200
            reads = [statement for statement in said if statement.startswith("SELECT")]
            assert len(reads) <= 1 + (time.monotonic() - began) / KNOWN_SECONDS
            assert {statement.split()[0] for statement in said} <= {"SELECT", "BEGIN"}
        assert states(engine) == []

    def test_until_a_budget_is_added(self, engine: Engine, database_url: str, vendor: Simulator) -> None:
        with stopping(database_url, vendor.base_url) as gateway:
            assert ask(gateway.base_url).status_code == 200
            a_limit(engine, TINY)
            assert until(lambda: ask(gateway.base_url).status_code == 402)


class TestDatabaseAway:
    @pytest.mark.parametrize("mode", ["soft", "hard"])
    def test_open_lets_calls_through_and_counts_them(self, mode: str, vendor: Simulator, database_url: str) -> None:
        with stopping(database_url, vendor.base_url, mode, asks=_nowhere(database_url)) as gateway:
            assert ask(gateway.base_url).status_code == 200
            assert ask(gateway.base_url).status_code == 200
            assert "costmeter_gateway_unasked_total 2.0" in told(gateway)
        with stopping(database_url, vendor.base_url, mode) as gateway:
            assert "costmeter_gateway_unasked_total 0.0" in told(gateway)

    def test_closed_says_so_in_the_vendors_shape(self, vendor: Simulator, database_url: str) -> None:
        before = served(vendor)
        with stopping(database_url, vendor.base_url, away="closed", asks=_nowhere(database_url)) as gateway:
            refused = ask(gateway.base_url)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert refused.json()["error"]["type"] == "service_unavailable_error"
            assert ask(gateway.base_url, path="/anthropic/v1/messages").json()["error"]["type"] == "overloaded_error"
        assert served(vendor) == before

    def test_one_that_hangs_keeps_no_call_waiting_and_is_asked_again_when_it_answers(
        self, engine: Engine, database_url: str, vendor: Simulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        a_limit(engine)
        with stopping(database_url, vendor.base_url) as gateway:
            assert ask(gateway.base_url, "before").status_code == 200
            assert until(lambda: states(engine) == [SETTLED])
            with engine.connect() as other:
                other.execute(text(_LOCK[engine.dialect.name]))
                for number in range(3):
                    assert ask(gateway.base_url, f"meanwhile {number}").status_code == 200
                other.rollback()
            assert until(lambda: ask(gateway.base_url, "after").is_success and len(states(engine)) > 1)
            assert "costmeter_gateway_unasked_total 0.0" not in told(gateway)
        assert [record.message for record in caplog.records].count("the database answers again") == 1
        assert sum("the database is away" in record.message for record in caplog.records) == 1
        assert held(engine) == 0
        assert set(states(engine)) == {SETTLED}
        assert verify(engine, full=True) == []


# What keeps everybody else waiting; on SQLite the transaction itself has the only lock for writing.
_LOCK = {"postgresql": "LOCK TABLE account IN ACCESS EXCLUSIVE MODE", "sqlite": "SELECT 1"}


def _nowhere(database_url: str) -> str:
    """A database that is not there."""
    if database_url.startswith("sqlite"):
        return "sqlite:////dev/null/none.sqlite3"
    return "postgresql+psycopg://nobody@127.0.0.1:1/none"


class TestBalance:
    def test_what_it_does_not_cover_is_refused_as_deepseek_does(
        self, engine: Engine, database_url: str, vendor: Simulator
    ) -> None:
        with stopping(database_url, vendor.base_url, of_balance=True) as gateway:
            assert ask(gateway.base_url).status_code == 200  # the account keeps no balance
            top_up(engine, "0.00001", "2026-01-01T00:00:00Z")
            assert until(lambda: ask(gateway.base_url).status_code == 402)
            refused = ask(gateway.base_url)
            assert refused.json()["error"]["code"] == "costmeter_insufficient_balance"
            assert refused.json()["error"]["message"].startswith("Insufficient Balance: the call may cost 0.00")
            assert "0.00001 " not in refused.text
            top_up(engine, "1.00", "2026-01-01T00:00:00Z")
            assert ask(gateway.base_url, "covered").status_code == 200
        assert states(engine) == [SETTLED]
        assert held(engine) == 0
        assert verify(engine, full=True) == []


@pytest.mark.parametrize(
    ("path", "body", "model", "field"),
    [
        (b"/chat/completions", b'{"model":"deepseek-v4-flash"}', "deepseek-v4-flash", "max_tokens"),
        (b"/v1/responses", b'{"model":"deepseek-flash"}', "deepseek-flash", "max_output_tokens"),
        (b"/chat/completions", b'{"model":"claude-opus-4"}', "claude-opus-4", "max_tokens"),
        (b"/anthropic/v1/messages", b'{"model":"claude-opus-4"}', "deepseek-v4-pro", "max_tokens"),
        (b"/anthropic/v1/messages", b'{"model":"claude-3-haiku"}', "deepseek-flash", "max_tokens"),
        (b"/anthropic/v1/messages", b'{"model":"deepseek-v4-pro"}', "deepseek-v4-pro", "max_tokens"),
        (b"/anthropic/v1/messages", b'{"model":7}', None, "max_tokens"),
        (b"/anthropic/v1/messages", b"{", None, "max_tokens"),
    ],
)
def test_a_model_is_the_one_that_the_answer_names(path: bytes, body: bytes, model: str | None, field: str) -> None:
    asked = read_asked(path, body)
    assert (asked.model, asked.output_field) == (model, field)
    assert (asked.fields is None) == (body == b"{")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"STOP_AT_BALANCE": "true"},
            "COSTMETER_GATEWAY_STOP_AT_BALANCE needs COSTMETER_GATEWAY_STOPPING=soft or hard",
        ),
        ({"STOPPING": "soft"}, "COSTMETER_GATEWAY_STOPPING needs the database itself: unset COSTMETER_SERVER_URL"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    settings: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTMETER_SERVER_URL", "http://127.0.0.1:1")
    assert wiring.admission() is None
    for name, value in settings.items():
        monkeypatch.setenv(f"COSTMETER_GATEWAY_{name}", value)
    with pytest.raises(SetupError, match=says):
        wiring.admission()
