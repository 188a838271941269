"""What recording keeps of calls, and what it counts, whoever records beside it."""

from __future__ import annotations

import json
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from costmeter.services.record_calls import Broken, Received, record_calls
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import ChargeRow, EventRow, IdentityRow, PendingRow
from tests.make import (
    MARCH,
    NOW,
    an_event,
    an_unmetered,
    at,
    book,
    counted,
    outcome,
    post,
    record,
    rows,
    stored_ids,
    usage,
)


class TestWhatIsStoredAndNotCharged:
    def test_failed_and_unmetered_calls_are_stored_and_never_charged(self, engine: Engine) -> None:
        failed = an_event("f", status="failed", http_status=402, error_code="insufficient_balance") | {"usage": None}
        tally = record(engine, failed, an_unmetered("u", estimate={"output_tokens": 10}), an_event("z", output=0))
        assert (outcome(tally), tally.failed, tally.unmetered) == ((3, 0, 0, 0), 1, 1)
        assert post(engine) == 1, "a usage of zeros is measured"
        (charge,) = rows(engine, ChargeRow)
        assert (charge["cost"], charge["status"]) == (0, "priced")
        stored = {row["event_id"]: row for row in rows(engine, EventRow)}
        assert (stored["f"]["http_status"], stored["f"]["error_code"]) == (402, "insufficient_balance")
        assert stored["u"]["reason"] == "stream_aborted"
        assert stored["u"]["detail"] == {"estimate": {"output_tokens": 10}}

    def test_an_absent_status_with_a_null_usage_is_unmetered(self, engine: Engine) -> None:
        assert record(engine, an_event() | {"usage": None}).unmetered == 1

    def test_an_unknown_model_is_stored_counted_and_has_no_cost(self, engine: Engine) -> None:
        tally = record(engine, an_event(model="deepseek-9"), an_event("b"))
        assert (outcome(tally), tally.unpriced) == ((2, 0, 0, 0), 1)
        post(engine)
        costs = {row["status"]: row["cost"] for row in rows(engine, ChargeRow)}
        assert costs == {"unpriced": None, "priced": 1_100_000_000_000}

    def test_the_raw_usage_is_kept_by_its_numbers(self, engine: Engine) -> None:
        raw = usage(1, 2, 3, service_tier="x", completion_tokens_details={"reasoning_tokens": 2, "note": "a prompt"})
        record(engine, an_event() | {"usage": raw})
        (event,) = rows(engine, EventRow)
        assert event["usage"] == usage(1, 2, 3, completion_tokens_details={"reasoning_tokens": 2})
        assert event["reasoning_tokens"] == 2


HOSTILE = [
    "\ud800", "a\x00b", "\x7f\u202e", "x" * 300, "", "None", 2**63, -(2**63), 2**200, 0, -1, 1.5, 1e308, float("inf"),
    float("nan"), True, None, [], {}, ["\ud800"], {"\x00": "\ud800"}, {"a": float("nan")},
    {"a": {"b": {"c": {"d": 1}}}}, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
    "2025-13-01T00:00:00Z", MARCH,
]  # fmt: skip
FIELDS = [
    "event_id", "account", "project", "user", "api_key", "tags", "provider", "model", "requested_model", "response_id",
    "operation_id", "status", "started_at", "completed_at", "usage", "http_status", "error_code", "reason", "estimate",
    "detail", "prompt",
]  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> object:
    """A line of a file: a good event of few ids, one with hostile fields, or no event at all."""
    body = an_event(
        draw(st.sampled_from(["a", "b", "c", None])),
        draw(st.sampled_from([MARCH, "2025-03-03T16:30:00Z", "2026-01-01T00:00:00Z"])),
        output=draw(st.integers(0, 2)),
        response_id=draw(st.sampled_from([None, "r-1", "r-2"])),
    )
    for field in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        body[field] = draw(st.sampled_from(HOSTILE))
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from([*HOSTILE, Broken("0" * 64, 1, "Expecting value")]))
    return body


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lines(), max_size=12))
def test_the_counts_always_add_up_to_the_lines_and_everything_is_kept(engine: Engine, bodies: list[object]) -> None:
    before = counted(engine, EventRow)[0]
    tally = record(engine, *bodies)
    assert sum(outcome(tally)) == len(bodies)
    assert tally.conflicts + tally.quarantined == len(tally.refusals)
    assert max(tally.unpriced, tally.unmetered, tally.failed, tally.without_id) <= tally.accepted
    events, pending = counted(engine, EventRow, PendingRow)
    assert events == before + tally.accepted
    for account in sorted(tally.accounts):
        pending -= post(engine, account)
    assert pending == 0
    again = record(engine, *bodies)
    assert again.accepted == 0
    assert again.duplicates + again.conflicts + again.quarantined == len(bodies)


def record_ids(url: str, first: int, last: int) -> tuple[int, int, int, int]:
    """Record calls by id as another process does, some at a time; every writer sends its own order."""
    engine = open_engine(url)
    numbers = list(range(first, last))
    try:
        total = [0, 0, 0, 0]
        for start in range(0, len(numbers), 10):
            bodies = [an_event(f"call-{number}", output=number) for number in numbers[start : start + 10]]
            tally = record_calls(engine, [Received(b) for b in bodies], now=at(NOW), book=book(), home=Home())
            total = [total[i] + count for i, count in enumerate(outcome(tally))]
        return total[0], total[1], total[2], total[3]
    finally:
        engine.dispose()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_writers_that_record_the_same_ids_at_once_record_each_once(database_url: str, kind: str) -> None:
    spans = [(0, 60), (30, 90), (0, 90)]
    pool = (
        ThreadPoolExecutor(len(spans))
        if kind == "threads"
        else ProcessPoolExecutor(len(spans), mp_context=get_context("spawn"))
    )
    with pool:
        answers = list(pool.map(record_ids, [database_url] * len(spans), *zip(*spans, strict=True)))
    accepted, duplicates, conflicts, refused = (sum(column) for column in zip(*answers, strict=True))
    assert (accepted, duplicates, conflicts, refused) == (90, 120, 0, 0)
    engine = open_engine(database_url)
    assert sorted(stored_ids(engine)) == sorted(f"call-{number}" for number in range(90))
    with reading(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(IdentityRow)) == 90
    engine.dispose()


def test_a_body_survives_the_way_through_json(engine: Engine) -> None:
    body = json.loads(
        json.dumps(an_event(tags={"團隊": "é\u2028"}, project="プロジェクト", detail={"n": 0.1, "b": False}))
    )
    record(engine, body)
    (event,) = rows(engine, EventRow)
    assert (event["tags"], event["project"]) == ({"團隊": "é\u2028"}, "プロジェクト")
    assert event["detail"] == {"n": 0.1, "b": False}


def test_recorders_of_the_same_calls_in_other_orders_lose_none(postgres_url: str) -> None:
    """Identities are written in one order, so that recorders queue up instead of ending each other's transactions."""
    shuffled = []
    for seed in range(4):
        bodies = [an_event(f"c{n}", output=1, response_id=f"r{n}") for n in range(600)]
        random.Random(seed).shuffle(bodies)
        shuffled.append(bodies)
    engine = open_engine(postgres_url)
    with ThreadPoolExecutor(4) as pool:
        tallies = list(pool.map(lambda bodies: record(engine, *bodies), shuffled))

    assert sum(tally.accepted for tally in tallies) == 600
    assert sum(tally.duplicates for tally in tallies) == 1_800
    assert counted(engine, EventRow) == [600]
    engine.dispose()
