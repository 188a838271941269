"""How a fault is asked for, and which calls get one."""

from __future__ import annotations

from collections import Counter

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmeter.simulator import BadInputError
from costmeter.simulator.fault_plan import FaultPlan, parse_rates
from costmeter.simulator.faults import KINDS, Fault, parse_fault, read_fault

BAD = [
    ("reste", 'kind "reste": choose 400, 401'),
    ("", 'kind "": choose 400, 401'),
    ("reset;after=three", 'after_chunks "three": give a whole number of chunks'),
    ("reset;after=-1", "after_chunks -1: give a whole number"),
    ("reset;after=1.5", "after_chunks 1.5: give a whole number"),
    ("reset;after", "after_chunks true: give a whole number"),
    ("reset;before_head=1", "before_head 1: give true or false"),
    ("reset;before_head;after=1", "after_chunks 1: leave it out"),
    ("reset;after=1;after=2", 'after_chunks "2": give it once'),
    ("reset;seconds=1", "seconds 1: reset takes after_chunks and before_head besides its name"),
    ("silent;after=1", "after_chunks 1: silent takes nothing besides its name"),
    ("stall;seconds=-1", "seconds -1: give seconds, 0 or more"),
    ("stall;seconds=NaN", "seconds NaN: give seconds, 0 or more"),
    ("stall;seconds=1e999", "seconds Infinity: give seconds, 0 or more"),
    ("429;retry_after=0.5", "retry_after 0.5: give a whole number of seconds"),
    ("503;retry_after=1", "retry_after 1: 503 takes nothing besides its name"),
    ("garbage;noise=loud", 'noise "loud": choose bit or whole'),
    (f"reset;after={'[' * 10_000}", "give a whole number of chunks"),
]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reset", Fault("reset")),
        (" reset ; after=3 ", Fault("reset", after_chunks=3)),
        ("reset;before_head", Fault("reset", before_head=True)),
        ("reset;before_head=false;after=0", Fault("reset", after_chunks=0)),
        ("stall;before_head;seconds=0.5", Fault("stall", before_head=True, seconds=0.5)),
        ("429", Fault("429", retry_after=1)),
        ("429;retry_after=30", Fault("429", retry_after=30)),
        ("garbage;noise=whole;after=2", Fault("garbage", after_chunks=2, noise="whole")),
    ],
)
def test_a_fault_is_written_as_its_kind_and_its_options(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_needs_no_more_than_its_name(kind: str) -> None:
    assert parse_fault(kind) == read_fault({"kind": kind}) == Fault(kind)


@pytest.mark.parametrize(("text", "named"), BAD)
def test_a_bad_fault_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(BadInputError) as refused:
        parse_fault(text)

    assert named in str(refused.value)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 500))
def test_a_share_of_an_answer_is_never_all_of_it(share: float, count: int) -> None:
    fault = Fault("truncate", share=share)

    assert 0 <= fault.chunks_before(count) < count
    assert 0 <= fault.bytes_before(count) < count


def test_a_number_of_chunks_is_at_most_what_there_is() -> None:
    assert [Fault("reset", after_chunks=number).chunks_before(10) for number in (0, 3, 99)] == [0, 3, 10]


RATES = {"429": 0.1, "reset": 0.2, "stall;seconds=0.2": 0.05}


def test_chance_is_the_same_for_the_same_seed() -> None:
    plans = [FaultPlan(RATES, seed) for seed in (7, 7, 8)]
    first, second, other = ([plan.for_call(None) for _ in range(200)] for plan in plans)

    assert first == second
    assert first != other


def test_chance_keeps_to_its_rates() -> None:
    plan = FaultPlan(RATES, seed=1)
    faults = [plan.for_call(None) for _ in range(20_000)]

    kinds = Counter(fault and fault.kind for fault in faults)
    assert {kind: round(count / 20_000, 2) for kind, count in kinds.items()} == {
        None: 0.65, "429": 0.1, "reset": 0.2, "stall": 0.05,
    }  # fmt: skip
    places = {fault.share for fault in faults if fault}
    assert min(places) < 0.01
    assert max(places) > 0.99


def test_without_rates_nothing_happens_and_a_rate_of_1_is_always() -> None:
    nothing, always = FaultPlan({}, 0), FaultPlan({"silent": 1, "reset": 0}, 0)

    assert {nothing.for_call(None) for _ in range(100)} == {None}
    assert {fault and fault.kind for fault in (always.for_call(None) for _ in range(100))} == {"silent"}


def test_a_wish_comes_before_the_next_calls_and_these_before_chance() -> None:
    plan = FaultPlan({"silent": 1.0}, 0)
    plan.disturb_next(Fault("reset"), 2)

    kinds = [fault and fault.kind for fault in (plan.for_call(wish) for wish in (None, "truncate", None, None))]

    assert kinds == ["reset", "truncate", "reset", "silent"]


def test_tenths_add_up_to_one() -> None:
    FaultPlan(dict.fromkeys(("400", "401", "402", "422", "429", "500", "502", "503", "reset", "silent"), 0.1), 0)


def test_rates_on_the_command_line() -> None:
    assert parse_rates("") == {}
    assert parse_rates("429:0.01, stall;seconds=0.2:0.5") == {"429": 0.01, "stall;seconds=0.2": 0.5}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("reset", 'faults "reset": write a fault, a colon and its rate'),
        ("reset:often", 'faults "reset:often": write a fault, a colon and its rate'),
        ("reset:0.1,reset:0.2", "give reset one rate"),
    ],
)
def test_bad_rates_are_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(BadInputError) as refused:
        parse_rates(text)

    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, 'kind "": choose 400'),
        ({"kind": "reset", "count": 0}, "count 0: give a number of calls from 1 to 1000000"),
        ({"kind": "reset", "count": True}, "count true: give a number of calls"),
        ({"kind": "reset", "after": 3}, "after 3: no such field; there are kind, count, after_chunks"),
        ({"kind": "reset", "after_chunks": "3"}, 'after_chunks "3": give a whole number'),
        ({"kind": "silent", "seconds": 1}, "seconds 1: silent takes nothing"),
        (["reset"], "send a JSON object with kind or count"),
    ],
)
def test_a_bad_request_for_faults_is_refused_by_name_and_changes_nothing(
    shared_http: httpx2.Client, body: object, named: str
) -> None:
    answer = shared_http.post("/_simulator/faults", json=body)

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert shared_http.get("/_simulator/faults").json()["waiting"] == 0


@pytest.mark.parametrize(("wish", "named"), [bad for bad in BAD if bad[0]][:3])
def test_a_bad_wish_is_refused_by_name_and_counted(http: httpx2.Client, wish: str, named: str) -> None:
    answer = http.post("/chat/completions", json={}, headers={"x-simulator-fault": wish})

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert http.get("/_simulator/faults").json()["refused"] == {"400": 1}
