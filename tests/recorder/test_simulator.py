"""The recorder against the simulator: both books say the same of every call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI, OpenAI

from costmeter.core.periods import format_instant
from costmeter.core.usage import read_usage
from costmeter.recorder.client import wrap
from costmeter.simulator import Simulator, SimulatorClock

from .conftest import Records

BEFORE_OFF_PEAK = datetime(2025, 3, 1, 16, 29, 41, 120_000, tzinfo=UTC)
HELLO: Any = [{"role": "user", "content": "Tell me what the river said to the hill. " * 40}]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    answer_time = timedelta(seconds=18.88)  # each call begins in one band and ends in the other, or later
    with Simulator(SimulatorClock(BEFORE_OFF_PEAK), answer_time=answer_time) as running:
        yield running


def told(simulator: Simulator) -> list[tuple[object, ...]]:
    """What the simulator's ledger says of each call."""
    bills = [paid.bill for paid in simulator.ledger.calls]
    return [
        (
            bill.call_id,
            bill.model,
            bill.api_key,
            format_instant(bill.completed_at),
            bill.usage.cache_hit,
            bill.usage.cache_miss,
            bill.usage.completion,
        )
        for bill in bills
    ]


def recorded(records: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    fields = ("response_id", "model", "api_key", "completed_at")
    return [(*(record[field] for field in fields), *read_usage(record["usage"])[:3]) for record in records]


def test_both_books_agree_on_every_call(simulator: Simulator, records: Records) -> None:
    with OpenAI(api_key="sk-test-1", base_url=simulator.base_url) as original:
        client = wrap(original, _clock=simulator.clock, _spool=records.spool)
        for model in ("deepseek-chat", "deepseek-reasoner"):
            client.chat.completions.create(model=model, messages=HELLO)
            list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
            options = {"include_usage": True}
            list(client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options))  # type: ignore[call-overload]

    found = records.all()
    assert recorded(found) == told(simulator)
    assert found[0]["completed_at"] == "2025-03-01T16:30:00Z"
    assert {record["detail"]["stream"] for record in found} == {False, True}


def test_both_books_agree_on_every_async_call(simulator: Simulator, records: Records) -> None:
    async def ask() -> None:
        async with AsyncOpenAI(api_key="sk-test-1", base_url=simulator.base_url) as original:
            client = wrap(original, _clock=simulator.clock, _spool=records.spool)
            await client.chat.completions.create(model="deepseek-chat", messages=HELLO)
            async for _ in await client.chat.completions.create(model="deepseek-chat", messages=HELLO, stream=True):
                pass

    asyncio.run(ask())

    assert recorded(records.all()) == told(simulator)


def test_a_call_that_the_vendor_refuses_is_failed_in_one_book_and_not_in_the_other(records: Records) -> None:
    with (
        Simulator(SimulatorClock(BEFORE_OFF_PEAK), topped_up="0") as poor,
        OpenAI(api_key="sk-test-1", base_url=poor.base_url) as original,
    ):
        client = wrap(original, _clock=poor.clock, _spool=records.spool)
        with pytest.raises(APIStatusError, match="Insufficient Balance"):
            client.chat.completions.create(model="deepseek-chat", messages=HELLO)

        assert told(poor) == []
    record = records.one()
    assert (record["status"], record["http_status"]) == ("failed", 402)


def test_a_call_that_the_caller_leaves_is_billed_and_known_to_be_unmetered(
    simulator: Simulator, records: Records
) -> None:
    with OpenAI(api_key="sk-test-1", base_url=simulator.base_url) as original:
        client = wrap(original, _clock=simulator.clock, _spool=records.spool)
        with client.chat.completions.create(model="deepseek-reasoner", messages=HELLO, stream=True) as stream:
            chunk = next(iter(stream))

    record = records.one()
    assert (record["status"], record["reason"]) == ("unmetered", "closed early by the caller")
    assert (record["response_id"], record["model"]) == (chunk.id, "deepseek-reasoner")
