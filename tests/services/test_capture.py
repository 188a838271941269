"""What was recorded just now is posted as it is at hand: the same as what the database would say of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from costmeter.core.events import UsageEvent
from costmeter.core.usage import Usage
from costmeter.services.capture import capture
from costmeter.store import events
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from costmeter.store.tables import PendingRow
from tests.make import NOW, an_event, at, book, counted, record, splits, top_up, usage

BODIES: tuple[dict[str, Any], ...] = (
    an_event("plain"),
    an_event(None, "2025-03-03T14:00:00.000001+05:45", response_id="c56bbff7", started_at="2025-03-03T08:14:59Z"),
    an_event("all", project="поиск", user="u-17", api_key="backend", operation_id="o", requested_model="deepseek-chat"),
    an_event("tags", tags={"zz": "1", "a": "é", "team": "b"}, account="b"),
    an_event("detail", detail={"clock_offset_ms": -1500.25, "zz": [1, None, True], "a": {"deep": "text"}}),
    an_event("no cache", usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 11}),
    an_event("reasoning", usage=usage(64, 2, 9) | {"completion_tokens_details": {"reasoning_tokens": 4}}),
    an_event("unpriced", model="deepseek-9"),
    an_event("zeros", output=0),
)


def as_read(kept: UsageEvent) -> UsageEvent:
    """What the database says of an event to whom posts it."""
    assert kept.usage is not None
    detail = {**kept.detail, "flags": [*kept.usage.flags]} if kept.usage.flags else kept.detail
    return kept._replace(usage=Usage(*kept.usage[:4]), raw_usage=None, detail=detail)


def test_what_is_at_hand_is_what_would_be_read(engine: Engine) -> None:
    tally = record(engine, *BODIES)
    assert tally.accepted == len(BODIES)
    at_hand = {stored.event_key: stored for stored in tally.events}
    with reading(engine) as connection:
        read = events.oldest_pending(connection, ["default", "b"], 100)
        given = events.oldest_pending(connection, ["default", "b"], 100, at_hand)
        some = events.oldest_pending(connection, ["default", "b"], 100, dict([*at_hand.items()][1:]))
    assert [(key, as_read(kept)) for key, kept in given] == [tuple(stored) for stored in read]
    assert [kept.seal() for _, kept in given] == [kept.seal() for _, kept in read]
    assert some == read, "one of them is not at hand"


def test_it_is_not_read_again(engine: Engine) -> None:
    asked: list[str] = []
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    assert capture(engine, BODIES, book=book(), home=Home(), now=at(NOW)).accepted == len(BODIES)
    assert [statement for statement in asked if "FROM usage_event" in statement] == []
    assert splits(engine)["plain"] == ("0.00", "1.10", "0.00", "0.00")
    assert counted(engine, PendingRow) == [0]


def test_what_a_dead_process_left_is_posted_with_it(engine: Engine) -> None:
    record(engine, an_event("left"))
    capture(engine, [an_event("now")], book=book(), home=Home(), now=at(NOW))
    assert {*splits(engine)} == {"left", "now"}
    assert counted(engine, PendingRow) == [0]
