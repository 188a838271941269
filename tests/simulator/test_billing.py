"""What calls cost, in which band, and from which balance they are taken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion

from costmeter.simulator import Simulator, SimulatorClock

from .asking import LONG_PROMPT, NOON, ask, cost_by_hand, usage_of


def bill(client: OpenAI) -> ChatCompletion:
    """One call of deepseek-chat: 495 tokens in, 100 out."""
    return ask(client, max_tokens=100)


def books(http: httpx2.Client) -> dict[str, Any]:
    """The ledger as anybody can read it."""
    body: dict[str, Any] = http.get("/_simulator/ledger").json()
    return body


def test_a_call_costs_tokens_times_the_listed_price(http: httpx2.Client, client: OpenAI) -> None:
    first, second = usage_of(bill(client)), usage_of(bill(client))

    costs = [call["cost"] for call in books(http)["calls"]]
    assert costs == ["0.00024365", "0.00015405"]  # 495 x 0.27 + 100 x 1.10; 448 x 0.07 + 47 x 0.27 + 100 x 1.10
    assert [Decimal(cost) for cost in costs] == [cost_by_hand(first), cost_by_hand(second)]


def test_a_call_in_cny_costs_the_list_in_cny(clock: SimulatorClock) -> None:
    with Simulator(clock, currency="CNY") as simulator, OpenAI(api_key="sk-t", base_url=simulator.base_url) as client:
        ask(client, model="deepseek-reasoner", max_tokens=100)

        (paid,) = simulator.ledger.calls
        assert paid.as_json()["cost"] == "0.00358"  # 495 x 4 + 100 x 16, by the million
        assert simulator.ledger.as_json()["currency"] == "CNY"


def test_a_charge_is_taken_from_grants_then_top_ups_then_owed(clock: SimulatorClock) -> None:
    """Two calls of 0.00024365 and 0.00015405 against 0.0002 granted, 0.0001 and 0.00005 topped up."""
    with (
        Simulator(clock, granted="0.0002", topped_up="0.0001") as simulator,
        OpenAI(api_key="sk-test", base_url=simulator.base_url) as client,
        httpx2.Client(base_url=simulator.base_url) as http,
    ):
        simulator.ledger.add_credit("topped_up", "0.00005")
        bill(client)
        bill(client)

        splits = [[call[part] for part in ("granted", "topped_up", "overdraft")] for call in books(http)["calls"]]
        assert splits == [["0.0002", "0.00004365", "0.00"], ["0.00", "0.00010635", "0.0000477"]]
        assert books(http)["granted_balance"] == "0.00"
        assert books(http)["topped_up_balance"] == books(http)["total_balance"] == "-0.0000477"
        assert books(http)["charged"] == "0.0003977"


def test_a_call_in_flight_finishes_below_zero_and_the_next_is_refused(clock: SimulatorClock) -> None:
    with (
        Simulator(clock, topped_up="0.000000000001") as simulator,
        OpenAI(api_key="sk-test", base_url=simulator.base_url, max_retries=0) as client,
    ):
        bill(client)
        with pytest.raises(openai.APIStatusError, match="Insufficient Balance") as refused:
            bill(client)
        assert refused.value.status_code == 402
        assert simulator.ledger.balance().topped_up == 1 - 243_650_000
        assert len(simulator.ledger.calls) == 1

        simulator.ledger.add_credit("topped_up", "0.000243649999")
        assert simulator.ledger.balance().total == 0
        with pytest.raises(openai.APIStatusError, match="Insufficient Balance"):
            bill(client)

        simulator.ledger.add_credit("granted", "0.01")
        bill(client)


def test_a_grant_does_not_repay_what_is_owed(clock: SimulatorClock) -> None:
    with (
        Simulator(clock, topped_up="0.0001") as simulator,
        OpenAI(api_key="sk-test", base_url=simulator.base_url) as client,
    ):
        bill(client)
        simulator.ledger.add_credit("granted", "5.00")

        balance = simulator.ledger.balance().as_json()
        assert balance["granted_balance"] == "5.00"
        assert balance["topped_up_balance"] == "-0.00014365"
        assert balance["total_balance"] == "4.99985635"


def test_a_grant_that_expires_while_the_answer_is_made_does_not_pay(clock: SimulatorClock) -> None:
    expiry = NOON + timedelta(seconds=30)
    with (
        Simulator(clock, granted="1", grant_expires_at=expiry, answer_time=timedelta(seconds=15)) as simulator,
        OpenAI(api_key="sk-test", base_url=simulator.base_url) as client,
    ):
        bill(client)
        bill(client)

        first, second = simulator.ledger.calls
        assert first.split.granted == first.bill.cost
        assert second.bill.completed_at == expiry
        assert second.split.topped_up == second.bill.cost
        assert simulator.ledger.balance().granted == 0


EDGES = [
    ("2025-03-01T16:29:59.999999+00:00", "standard", "0.00024365"),
    ("2025-03-01T16:30:00+00:00", "off_peak", "0.000121825"),
    ("2025-03-02T00:29:59.999999+00:00", "off_peak", "0.000121825"),
    ("2025-03-02T00:30:00+00:00", "standard", "0.00024365"),
    ("2025-02-26T16:29:59.999999+00:00", "flat", "0.00024365"),
    ("2025-02-26T16:30:00+00:00", "off_peak", "0.000121825"),
]


@pytest.mark.parametrize(("instant", "band", "cost"), EDGES)
def test_the_band_changes_exactly_at_its_edge(
    clock: SimulatorClock, http: httpx2.Client, client: OpenAI, instant: str, band: str, cost: str
) -> None:
    clock.set(datetime.fromisoformat(instant))

    bill(client)

    (call,) = books(http)["calls"]
    assert (call["completed_at"], call["band"], call["cost"]) == (instant.replace("+00:00", "Z"), band, cost)


@pytest.mark.parametrize("stream", [False, True])
def test_the_completion_decides_and_not_the_start(
    clock: SimulatorClock, simulator: Simulator, client: OpenAI, stream: bool
) -> None:
    start = datetime(2025, 3, 1, 16, 29, 41, 120_000, tzinfo=UTC)
    clock.set(start)
    simulator.answer_time = timedelta(seconds=18, milliseconds=880)

    answer = client.chat.completions.create(
        model="deepseek-chat", messages=[{"role": "user", "content": LONG_PROMPT}], stream=stream
    )
    created = {chunk.created for chunk in answer} if stream else {answer.created}  # type: ignore[union-attr]

    (paid,) = simulator.ledger.calls
    assert created == {int(start.timestamp())}
    assert paid.bill.completed_at == clock.now() == datetime(2025, 3, 1, 16, 30, tzinfo=UTC)
    assert paid.as_json()["completed_at"] == "2025-03-01T16:30:00Z"
    assert paid.bill.band == "off_peak"


def test_a_call_that_outlives_the_price_table_is_billed_as_it_began(
    clock: SimulatorClock, simulator: Simulator, client: OpenAI
) -> None:
    clock.set(datetime(2025, 9, 5, 15, 59, 59, tzinfo=UTC))
    simulator.answer_time = timedelta(seconds=1)

    bill(client)

    (paid,) = simulator.ledger.calls
    assert (paid.bill.band, paid.as_json()["cost"]) == ("standard", "0.00024365")
    with pytest.raises(openai.BadRequestError, match="Model Not Exist"):
        bill(client)


def test_the_books_add_up_after_many_calls_at_once(simulator: Simulator, http: httpx2.Client, client: OpenAI) -> None:
    simulator.ledger.add_credit("granted", "0.01")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ask(client, f"Question {number % 10}", model="deepseek-reasoner"), range(40)))

    body = books(http)
    parts = {name: sum(Decimal(call[name]) for call in body["calls"]) for name in ("granted", "topped_up", "overdraft")}
    assert len(body["calls"]) == len({call["id"] for call in body["calls"]}) == 40
    assert Decimal(body["charged"]) == sum(Decimal(call["cost"]) for call in body["calls"]) == sum(parts.values())
    assert Decimal(body["granted_balance"]) == Decimal("0.01") - parts["granted"]
    assert Decimal(body["topped_up_balance"]) == 100 - parts["topped_up"] - parts["overdraft"]
    assert Decimal(body["total_balance"]) == Decimal("100.01") - Decimal(body["charged"])
