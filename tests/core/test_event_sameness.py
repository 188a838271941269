"""What makes two events the same, and what two doors say of one call."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from costmeter.core.events import SAME_CALL, read_event
from costmeter.core.periods import parse_instant
from tests.core.event_bodies import COUNTS, a_body

SAME = a_body(event_id="e1", response_id="r1", account="a", started_at="2025-03-01T16:29:00Z")


@pytest.mark.parametrize(
    "changes",
    [
        {"event_id": "e2"},
        {"started_at": None},
        {"project": "p"},
        {"user": "u", "tags": {"t": "v"}, "api_key": "k", "operation_id": "o", "requested_model": "m"},
        {"detail": {"clock": 1}},
        {"completed_at": "2025-03-02T00:30:00+08:00"},
        {"usage": COUNTS | {"prompt_tokens_details": {"cached_tokens": 1}}},
    ],
)
def test_what_is_not_content_makes_no_other_event(changes: dict[str, Any]) -> None:
    assert read_event(SAME | changes).content() == read_event(SAME).content()
    assert read_event(SAME | changes).content() == read_event(SAME).content()


@pytest.mark.parametrize(
    "changes",
    [
        {"account": "b"},
        {"model": "deepseek-reasoner"},
        {"status": "failed", "usage": None},
        {"completed_at": "2025-03-01T16:30:00.000001Z"},
        {"usage": COUNTS | {"prompt_tokens": 562, "prompt_cache_hit_tokens": 511}},
        {"usage": COUNTS | {"prompt_cache_hit_tokens": 511, "prompt_cache_miss_tokens": 52}},
        {"usage": COUNTS | {"completion_tokens": 117}},
        {"usage": COUNTS | {"completion_tokens_details": {"reasoning_tokens": 61}}},
        {"response_id": "r2"},
        {"response_id": None},
    ],
)
def test_each_part_of_the_content_makes_another_event(changes: dict[str, Any]) -> None:
    assert read_event(SAME | changes).content() != read_event(SAME).content()
    assert read_event(SAME | changes).content() != read_event(SAME).content()


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"event_id": "e2", "project": "p", "started_at": None}, True),
        ({"model": "deepseek-reasoner"}, False),
        ({"status": "failed", "usage": None}, False),
        ({"status": "unmetered", "usage": None, "model": "deepseek-reasoner"}, False),
        ({"usage": COUNTS | {"completion_tokens": 117}}, False),
    ],
)
def test_two_doors_saw_one_call_where_model_and_counts_agree(changes: dict[str, Any], is_same: bool) -> None:
    assert read_event(SAME).is_same_call(read_event(SAME | changes)) is is_same
    assert read_event(SAME | changes).is_same_call(read_event(SAME)) is is_same


@pytest.mark.parametrize(
    ("apart", "is_same"),
    [(timedelta(0), True), (SAME_CALL, True), (SAME_CALL + timedelta(microseconds=1), False)],
)
def test_two_doors_saw_one_call_where_it_completed_within_an_hour(apart: timedelta, is_same: bool) -> None:
    at = parse_instant(SAME["completed_at"])
    for other in (at + apart, at - apart):
        body = SAME | {"completed_at": other, "started_at": None}
        assert read_event(SAME).is_same_call(read_event(body)) is is_same


def test_two_unmetered_calls_can_be_one() -> None:
    body = a_body(usage=None, reason="closed early")
    assert read_event(body).is_same_call(read_event(body | {"event_id": "e2"}))


def test_a_door_that_was_left_early_says_nothing_against_counts() -> None:
    body = a_body(usage=None, reason="closed early")
    assert read_event(body).is_same_call(read_event(a_body()))
    assert not read_event(a_body()).is_same_call(read_event(body))  # the counts are news
