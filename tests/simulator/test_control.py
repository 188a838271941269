"""The routes with which a test or a person works the simulator."""

from __future__ import annotations

import httpx2
import pytest
from openai import OpenAI

from costmeter.simulator import HostClock, Simulator, SimulatorClock

from .asking import ask


def test_the_books_of_a_new_simulator(http: httpx2.Client) -> None:
    assert http.get("/_simulator/ledger").json() == {
        "currency": "USD",
        "granted_balance": "0.00",
        "topped_up_balance": "100.00",
        "total_balance": "100.00",
        "charged": "0.00",
        "calls": [],
    }


def test_the_books_of_a_call(http: httpx2.Client, client: OpenAI) -> None:
    answer = ask(client, model="deepseek-reasoner", max_tokens=40)

    assert answer.usage is not None
    (call,) = http.get("/_simulator/ledger").json()["calls"]
    assert call.pop("api_key").startswith("fp_")
    assert call == {
        "id": answer.id,
        "model": "deepseek-reasoner",
        "completed_at": "2025-03-01T12:00:00Z",
        "band": "standard",
        "usage": answer.usage.model_dump(exclude_unset=True),
        "cost": "0.00035985",
        "granted": "0.00",
        "topped_up": "0.00035985",
        "overdraft": "0.00",
        "aborted": False,
        "fault": None,
    }


def test_credits_are_paid_in(clock: SimulatorClock, http: httpx2.Client) -> None:
    body = {"kind": "granted", "amount": "5.00", "expires_at": "2025-03-01T12:00:01Z"}
    answer = http.post("/_simulator/credits", json=body)

    assert answer.status_code == 201
    assert answer.json() == {
        "currency": "USD",
        "granted_balance": "5.00",
        "topped_up_balance": "100.00",
        "total_balance": "105.00",
    }
    assert (
        http.post("/_simulator/credits", json={"kind": "topped_up", "amount": "0.5"}).json()["total_balance"]
        == "105.50"
    )
    http.post("/_simulator/clock", json={"advance_seconds": 1})
    assert http.get("/_simulator/ledger").json()["total_balance"] == "100.50"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, 'kind "": choose granted or topped_up'),
        ({"kind": "gift", "amount": "5.00"}, 'kind "gift": choose granted or topped_up'),
        ({"kind": "granted"}, 'amount "": write a decimal string'),
        ({"kind": "granted", "amount": 5.0}, "amount 5.0: write a decimal string"),
        ({"kind": "granted", "amount": "0.00"}, 'amount "0.00": a credit is more than 0'),
        ({"kind": "granted", "amount": "1", "expires_at": "soon"}, 'expires_at "soon": write an instant'),
        (
            {"kind": "granted", "amount": "1", "expires_at": "2025-03-01T12:00:00Z"},
            "choose one after 2025-03-01T12:00:00Z",
        ),
        ({"kind": "topped_up", "amount": "1", "expires_at": "2026-03-01T12:00:00Z"}, "only granted credits expire"),
        ({"kind": "granted", "amount": "1", "expires": "x"}, 'expires "x": no such field; there are kind, amount'),
        (["granted"], "send a JSON object with kind or amount or expires_at"),
    ],
)
def test_a_bad_credit_is_refused_by_name_and_changes_nothing(
    shared_http: httpx2.Client, body: object, named: str
) -> None:
    answer = shared_http.post("/_simulator/credits", json=body)

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert shared_http.get("/_simulator/ledger").json()["total_balance"] == "100.00"


def test_the_clock_is_read_set_and_moved(clock: SimulatorClock, http: httpx2.Client) -> None:
    assert http.get("/_simulator/clock").json() == {"now": "2025-03-01T12:00:00Z"}
    assert http.post("/_simulator/clock", json={"now": "2025-03-02T00:30:00+08:00"}).json() == {
        "now": "2025-03-01T16:30:00Z"
    }
    assert http.post("/_simulator/clock", json={"advance_seconds": 0.000001}).json() == {
        "now": "2025-03-01T16:30:00.000001Z"
    }
    assert clock.now().microsecond == 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"now", 'body "now": send a JSON object'),
        (b"{}", 'give either "now" or "advance_seconds"'),
        (b'{"now": "2025-03-01T12:00:00Z", "advance_seconds": 1}', 'give either "now" or "advance_seconds"'),
        (b'{"now": "2025-03-01T12:00:00"}', 'now "2025-03-01T12:00:00": write an instant with its offset'),
        (b'{"advance_seconds": -1}', "time passes forwards"),
        (b'{"advance_seconds": "1"}', 'advance_seconds "1": give a number of seconds'),
        (b'{"advance_seconds": true}', "advance_seconds true: give a number"),
        (b'{"advance_seconds": NaN}', "advance_seconds NaN: give a number"),
        (b'{"advance_seconds": 1e300}', "give a number of seconds"),
        (b'{"advance_seconds": 1e12}', "before the year 10000"),
    ],
)
def test_a_bad_move_of_the_clock_is_refused_by_name(
    shared_simulator: Simulator, shared_http: httpx2.Client, body: bytes, named: str
) -> None:
    before = shared_simulator.clock.now()
    answer = shared_http.post("/_simulator/clock", content=body)

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert shared_simulator.clock.now() == before


def test_the_clock_of_the_host_cannot_be_moved() -> None:
    with Simulator(HostClock()) as simulator:
        answer = httpx2.post(f"{simulator.base_url}/_simulator/clock", json={"advance_seconds": 1})

    assert answer.status_code == 400
    assert "start the simulator at an instant of its own" in answer.json()["error"]["message"]
