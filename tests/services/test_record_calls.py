"""Recording: each call once, whatever is sent twice, together or broken, and nothing kept that must not be."""

from __future__ import annotations

import json
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, inspect, select, text

from costmeter.services.record_calls import Broken, Received, record_calls
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from costmeter.store.tables import AccountRow, ChargeRow, EventRow, IdentityRow, PendingRow, QuarantineRow
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
    quarantined,
    record,
    rows,
    set_up_account,
    usage,
)

SECRET = "sk-0123456789abcdef0123456789abcdef"
PROMPT = "Dear diary, this must never be stored"


def stored_ids(engine: Engine) -> list[str]:
    return [row["event_id"] for row in rows(engine, EventRow, EventRow.event_key)]


def everything_stored(engine: Engine) -> str:
    """Every value of every column of every table, as one text."""
    with engine.connect() as connection:
        found = []
        for table in inspect(engine).get_table_names():
            if table != "price_edition":
                found += [repr(tuple(row)) for row in connection.execute(text(f"SELECT * FROM {table}"))]
    return "\n".join(found)


class TestTheSameAgain:
    def test_a_file_sent_twice_is_recorded_once(self, engine: Engine) -> None:
        lines = [an_event(f"call-{number}", output=number) for number in range(5)]
        assert outcome(record(engine, *lines)) == (5, 0, 0, 0)
        assert outcome(record(engine, *lines)) == (0, 5, 0, 0)
        assert stored_ids(engine) == [f"call-{number}" for number in range(5)]

    def test_a_duplicate_is_found_after_its_charge_was_posted(self, engine: Engine) -> None:
        record(engine, an_event())
        post(engine)
        tally = record(engine, an_event())
        assert outcome(tally) == (0, 1, 0, 0)
        assert tally.accounts == {"default"}
        assert post(engine) == 0

    def test_a_duplicate_inside_one_batch_counts_once(self, engine: Engine) -> None:
        assert outcome(record(engine, an_event("a"), an_event("b"), an_event("a"))) == (2, 1, 0, 0)
        assert counted(engine, EventRow, PendingRow) == [2, 2]

    def test_what_is_no_content_may_differ_between_duplicates(self, engine: Engine) -> None:
        record(engine, an_event(project="search", started_at="2025-03-03T11:59:00Z"))
        again = an_event(project="chat", user="u-1", tags={"a": "b"}, detail={"bytes": 3}, operation_id="op")
        assert outcome(record(engine, again)) == (0, 1, 0, 0)
        assert rows(engine, EventRow)[0]["project"] == "search"

    def test_the_same_instant_in_another_offset_is_the_same_content(self, engine: Engine) -> None:
        record(engine, an_event(completed_at="2025-03-03T12:00:00Z"))
        assert outcome(record(engine, an_event(completed_at="2025-03-03T20:00:00.000000+08:00"))) == (0, 1, 0, 0)

    @pytest.mark.parametrize(
        "changed",
        [
            {"model": "deepseek-reasoner"},
            {"completed_at": "2025-03-03T12:00:00.000001Z"},
            {"output": 2},
            {"response_id": "r-1"},
            {"status": "failed", "usage": None},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_the_same_id_with_other_content_is_a_conflict_and_the_first_stands(
        self, engine: Engine, changed: dict[str, Any]
    ) -> None:
        record(engine, an_event("call-1", output=1))
        tally = record(engine, an_event("call-1", **({"output": 1} | changed)))
        assert outcome(tally) == (0, 0, 1, 0)
        assert tally.refusals[0].kind == "conflict"
        assert "event_id 'call-1': was recorded before with other content" in tally.refusals[0].error
        (first,) = rows(engine, EventRow)
        assert (first["model"], first["completed_at"], first["output_tokens"]) == ("deepseek-chat", at(MARCH), 1)
        (item,) = quarantined(engine)
        assert (item["kind"], item["event_id"], item["state"]) == ("conflict", "call-1", "open")
        assert item["body"]["model"] == changed.get("model", "deepseek-chat")

    def test_a_conflict_sent_twice_is_in_quarantine_once(self, engine: Engine) -> None:
        record(engine, an_event(output=1))
        for _ in range(2):
            assert outcome(record(engine, an_event(output=2))) == (0, 0, 1, 0)
        assert counted(engine, EventRow, QuarantineRow) == [1, 1]

    def test_a_conflict_inside_one_batch_keeps_the_first(self, engine: Engine) -> None:
        assert outcome(record(engine, an_event(output=1), an_event(output=2))) == (1, 0, 1, 0)
        assert rows(engine, EventRow)[0]["output_tokens"] == 1

    def test_two_accounts_may_use_one_id(self, engine: Engine) -> None:
        assert outcome(record(engine, an_event(account="a"), an_event(account="b", output=2))) == (2, 0, 0, 0)

    def test_ids_that_differ_in_anything_are_two(self, engine: Engine) -> None:
        written = "0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"
        others = [written.upper(), "{" + written.replace("-", "") + "}--", written.replace("-", "") + "----"]
        assert outcome(record(engine, *(an_event(text) for text in (written, *others)))) == (4, 0, 0, 0)


class TestWithoutAnId:
    def test_two_equal_calls_in_one_file_are_two_and_the_file_sent_twice_is_once(self, engine: Engine) -> None:
        lines = [an_event(None), an_event(None), an_event(None, output=2)]
        tally = record(engine, *lines)
        assert outcome(tally) == (3, 0, 0, 0)
        assert tally.without_id == 3
        assert outcome(record(engine, *lines)) == (0, 3, 0, 0)
        assert len(set(stored_ids(engine))) == 3

    def test_equal_calls_are_counted_over_all_parts_of_a_file(self, engine: Engine) -> None:
        for expected in ((1, 0, 0, 0), (0, 1, 0, 0)):
            seen: Counter[bytes] = Counter()
            for _ in range(3):
                assert outcome(record(engine, an_event(None), occurrences=seen)) == expected
        assert counted(engine, EventRow) == [3]

    def test_a_longer_file_adds_only_what_is_new(self, engine: Engine) -> None:
        record(engine, an_event(None), an_event(None))
        assert outcome(record(engine, *[an_event(None)] * 3)) == (1, 2, 0, 0)

    @pytest.mark.parametrize("no_id", ["", "  ", "None", "null", 17, {"a": 1}, ["x"], True])
    def test_empty_none_and_what_is_no_text_are_no_id(self, engine: Engine, no_id: object) -> None:
        body = an_event(None) | {"event_id": no_id, "response_id": no_id}
        tally = record(engine, body, body)
        assert (outcome(tally), tally.without_id) == ((2, 0, 0, 0), 2)
        assert rows(engine, EventRow)[0]["response_id"] is None

    def test_a_response_id_alone_names_the_call(self, engine: Engine) -> None:
        tally = record(engine, an_event(None, response_id="r-1"))
        assert (outcome(tally), tally.without_id) == ((1, 0, 0, 0), 0)
        assert outcome(record(engine, an_event(None, response_id="r-1"))) == (0, 1, 0, 0)
        assert outcome(record(engine, an_event(None, response_id="r-1", output=2))) == (0, 0, 1, 0)
        assert outcome(record(engine, an_event("call-1", response_id="r-1"))) == (0, 1, 0, 0)
        assert counted(engine, EventRow) == [1]


class TestTwoDoors:
    """The same response seen twice, under two event ids, is one call."""

    @pytest.mark.parametrize("completed_at", ["2025-03-03T12:00:01Z", "2025-03-03T11:00:00Z", "2025-03-03T13:00:00Z"])
    def test_within_an_hour_it_is_a_duplicate_and_the_first_wins(self, engine: Engine, completed_at: str) -> None:
        record(engine, an_event("door-1", response_id="r-1"))
        for _ in range(2):
            assert outcome(record(engine, an_event("door-2", completed_at, response_id="r-1"))) == (0, 1, 0, 0)
        assert stored_ids(engine) == ["door-1"]
        assert post(engine) == 1

    @pytest.mark.parametrize(
        "second",
        [
            an_event("door-2", "2025-03-03T13:00:00.000001Z", response_id="r-1"),
            an_event("door-2", response_id="r-1", model="deepseek-reasoner"),
            an_event("door-2", response_id="r-1", output=1),
            an_event("door-2", response_id="r-1", status="failed") | {"usage": None},
        ],
        ids=["later", "model", "counts", "status"],
    )
    def test_anything_else_is_a_conflict(self, engine: Engine, second: dict[str, Any]) -> None:
        record(engine, an_event("door-1", response_id="r-1"))
        tally = record(engine, second)
        assert outcome(tally) == (0, 0, 1, 0)
        assert tally.refusals[0].error.startswith("response_id 'r-1': was recorded before")
        assert stored_ids(engine) == ["door-1"]

    def test_in_one_batch_it_is_a_duplicate_as_well(self, engine: Engine) -> None:
        doors = [an_event(f"door-{n}", response_id="r-1") for n in (1, 2, 3)]
        assert outcome(record(engine, *doors, an_event(None, response_id="r-1"))) == (1, 3, 0, 0)

    def test_the_second_doors_id_stands_for_the_first_call_from_then_on(self, engine: Engine) -> None:
        record(engine, an_event("door-1", response_id="r-1"))
        record(engine, an_event("door-2", response_id="r-1"))
        assert outcome(record(engine, an_event("door-2", response_id="r-1", output=5))) == (0, 0, 1, 0)


class TestMeasuredAfterUnmetered:
    def test_the_measured_call_supersedes_and_its_redelivery_is_a_duplicate(self, engine: Engine) -> None:
        assert record(engine, an_unmetered()).unmetered == 1
        assert outcome(record(engine, an_event())) == (1, 0, 0, 0)
        for body in (an_event(), an_unmetered(), an_event()):
            assert outcome(record(engine, body)) == (0, 1, 0, 0)
        unmetered, measured = rows(engine, EventRow, EventRow.event_key)
        assert (measured["supersedes"], measured["supersedes_at"]) == (unmetered["event_key"], at(MARCH))
        assert post(engine) == 1

    def test_in_one_batch_it_supersedes_as_well(self, engine: Engine) -> None:
        assert outcome(record(engine, an_unmetered(), an_event(), an_event(), an_unmetered())) == (2, 2, 0, 0)
        assert post(engine) == 1

    def test_a_second_measurement_with_other_counts_is_a_conflict(self, engine: Engine) -> None:
        record(engine, an_unmetered(), an_event())
        assert outcome(record(engine, an_event(output=7))) == (0, 0, 1, 0)

    def test_another_door_may_bring_the_measurement(self, engine: Engine) -> None:
        record(engine, an_unmetered("door-1", response_id="r-1"))
        for expected in ((1, 0, 0, 0), (0, 1, 0, 0)):
            assert outcome(record(engine, an_event("door-2", response_id="r-1"))) == expected
        assert outcome(record(engine, an_event("door-1", response_id="r-1"))) == (0, 1, 0, 0)
        assert post(engine) == 1

    def test_the_response_id_of_the_measurement_is_known_to_other_doors(self, engine: Engine) -> None:
        record(engine, an_unmetered("door-1"))
        record(engine, an_event("door-1", response_id="r-1"))
        assert outcome(record(engine, an_event("door-2", response_id="r-1"))) == (0, 1, 0, 0)
        assert post(engine) == 1

    def test_a_call_that_another_door_measured_is_not_measured_again(self, engine: Engine) -> None:
        record(engine, an_unmetered("door-1"), an_event("door-2", response_id="r-1"))
        assert outcome(record(engine, an_event("door-1", response_id="r-1"))) == (0, 1, 0, 0)
        assert post(engine) == 1

    def test_what_was_measured_is_not_unmetered_by_a_door_that_was_left_early(self, engine: Engine) -> None:
        record(engine, an_event("door-1", response_id="r-1"))
        assert outcome(record(engine, an_unmetered("door-2", response_id="r-1"))) == (0, 1, 0, 0)
        assert post(engine) == 1


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
        raw = usage(1, 2, 3, service_tier="x", completion_tokens_details={"reasoning_tokens": 2, "note": PROMPT})
        record(engine, an_event() | {"usage": raw})
        (event,) = rows(engine, EventRow)
        assert event["usage"] == usage(1, 2, 3, completion_tokens_details={"reasoning_tokens": 2})
        assert event["reasoning_tokens"] == 2


class TestQuarantine:
    @pytest.mark.parametrize(
        ("body", "field", "error"),
        [
            (an_event(completed_at="2025-03-03T12:00:00"), "instant", "has no time zone; add Z or an offset"),
            (an_event(completed_at="2025-03-10T00:05:00.000001Z"), "completed_at", "is more than 0:05:00 ahead of"),
            (an_event(started_at="2025-03-03T12:00:00.000001Z"), "completed_at", "is before started_at"),
            (an_event() | {"usage": usage(1, 2, 3) | {"prompt_tokens": 4}}, "prompt_tokens", "is not cache hits 1 + m"),
            (an_event(output=2**63), "completion_tokens", "is more than 1000000000000 tokens in one call"),
            (an_event(output=-1), "completion_tokens", "-1: is no token count"),
            (an_event() | {"usage": usage() | {"completion_tokens": True}}, "completion_tokens", "is no token count"),
            (an_event() | {"usage": usage() | {"completion_tokens": 1.0}}, "completion_tokens", "is no token count"),
            (an_event(status="ok") | {"usage": None}, "usage", "is missing; without it send status unmetered"),
            (an_event(status="failed"), "usage", "must be null where status is failed"),
            (an_event(status="done"), "status", "use one of ok, failed, unmetered"),
            (an_event(model=None), "model", "is missing"),
            (an_event() | {"completed_at": None}, "instant", "write an RFC 3339 instant"),
            (an_event(provider="somebody"), "provider", "use one of deepseek"),
            (an_event(account="a" * 65), "account", "is named by 1 to 64 printable characters"),
            (an_event(project="p" * 257), "project", "write a text of at most 256 characters"),
            (an_event(tags={"a": 1}), "", "write a text of at most 256 characters"),
            (an_event(http_status=99), "http_status", "write a number from 100 to 599"),
            (an_event(detail="x"), "detail", "write an object"),
        ],
        ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "",
    )
    def test_each_kind_of_bad_input_has_its_clear_error_and_is_kept(
        self, engine: Engine, body: dict[str, Any], field: str, error: str
    ) -> None:
        tally = record(engine, body, an_event("good"))
        assert outcome(tally) == (1, 0, 0, 1)
        assert error in tally.refusals[0].error
        assert tally.refusals[0].place == "line 1"
        (item,) = quarantined(engine)
        assert (item["kind"], item["place"], item["event_id"]) == ("refused", "line 1", "call-1")
        assert error in item["error"]
        if field != "instant" and field:
            assert item["field"].rpartition(".")[2] == field
        assert stored_ids(engine) == ["good"]

    def test_a_completion_five_minutes_ahead_is_taken(self, engine: Engine) -> None:
        assert outcome(record(engine, an_event(completed_at="2025-03-10T00:05:00Z"))) == (1, 0, 0, 0)

    @pytest.mark.parametrize("line", [17, 1.5, True, None, PROMPT, [PROMPT], [], {}])
    def test_what_is_no_event_is_refused_without_its_text(self, engine: Engine, line: object) -> None:
        tally = record(engine, line)
        assert outcome(tally) == (0, 0, 0, 1)
        assert "write" in tally.refusals[0].error or "is missing" in tally.refusals[0].error
        assert PROMPT not in everything_stored(engine)

    def test_a_broken_line_is_kept_as_its_hash_size_place_and_error(self, engine: Engine) -> None:
        broken = Broken("ab" * 32, 1234, "Expecting value: line 1 column 1 (char 0)")
        tally = record(engine, an_event(), broken, broken)
        assert outcome(tally) == (1, 0, 0, 2)
        first, second = quarantined(engine)
        assert first["body"] == {"sha256": "ab" * 32, "size": 1234, "error": broken.error}
        assert (first["kind"], first["account"], first["place"]) == ("malformed", "default", "line 2")
        assert first["error"] == f"line 'line 2': is no JSON: {broken.error}; send it again from its source"
        assert (first["billing_month"], first["completed_at"]) == ("2025-03", None), "the month of its receipt"
        assert second["place"] == "line 3"
        assert outcome(record(engine, an_event(), broken, broken)) == (0, 1, 0, 2)
        assert counted(engine, QuarantineRow) == [2], "the file sent twice is in quarantine once"

    def test_it_counts_in_the_month_of_its_readable_completion_in_the_accounts_zone(self, engine: Engine) -> None:
        set_up_account(engine, "shanghai", timezone="Asia/Shanghai")
        for account in ("shanghai", "default"):
            record(engine, an_event(account=account, completed_at="2025-02-28T16:00:00Z", output=-1))
        months = {item["account"]: item["billing_month"] for item in quarantined(engine)}
        assert months == {"shanghai": "2025-03", "default": "2025-02"}

    def test_a_completion_far_ahead_counts_in_the_month_of_receipt(self, engine: Engine) -> None:
        record(engine, an_event(completed_at="9999-12-31T23:59:59Z"))
        assert quarantined(engine)[0]["billing_month"] == "2025-03"

    def test_only_known_fields_are_kept_and_the_others_counted(self, engine: Engine) -> None:
        record(engine, an_event(output=-1, project="search", messages=[{"content": PROMPT}], answer=PROMPT))
        (item,) = quarantined(engine)
        assert sorted(item["body"]) == ["completed_at", "event_id", "model", "project", "usage"]
        assert item["dropped_fields"] == 2

    def test_a_call_of_a_known_account_that_is_refused_makes_no_account(self, engine: Engine) -> None:
        record(engine, an_event(account="new", output=-1))
        assert counted(engine, AccountRow) == [0]


class TestSecretsAndPrompts:
    def test_unknown_fields_and_keys_are_nowhere_in_the_database(self, engine: Engine) -> None:
        nested = {"a": {"b": {"c": {"d": {"e": [SECRET, PROMPT]}}}}}
        key_everywhere: dict[str, Any] = {
            "project": SECRET,
            "user": f"Bearer {SECRET}",
            "api_key": SECRET,
            "tags": {"k": SECRET, SECRET: "x"},
            "requested_model": f"x {SECRET}",
            "operation_id": SECRET,
            "response_id": SECRET,
            "error_code": SECRET,
            "reason": f"401 for {SECRET}",
            "detail": {"header": SECRET, SECRET: 1, "deep": {"x": {"y": {"z": {SECRET: SECRET}}}}},
            "messages": [{"role": "user", "content": PROMPT}],
            "prompt": PROMPT,
            "response": nested,
        }
        counts = usage(1, 2, 3) | {SECRET: 1, "text": SECRET, "deep": {SECRET: {SECRET: 2}}}
        bodies = [
            an_event("ok", **key_everywhere) | {"usage": counts},
            an_event(SECRET, output=2),
            an_event("m", model=SECRET),
            an_event("failed", **key_everywhere, status="failed") | {"usage": None, "response_id": None},
            an_event("refused", **key_everywhere) | {"usage": counts | {"prompt_tokens": 9}},
            an_event("refused-2", **key_everywhere, completed_at=SECRET),
            an_event("refused-3", tags={SECRET: 1}),
            an_event("refused-4", **key_everywhere) | {"status": SECRET},
            an_event("refused-5", account=f"{SECRET}{'x' * 64}"),
            an_event("refused-6", account=SECRET, output=-1),
            an_event("account", account=SECRET),
            an_event("ok", **key_everywhere),
            SECRET,
            [SECRET, PROMPT],
        ]
        tally = record(engine, *bodies)
        assert outcome(tally) == (5, 0, 1, 8)
        for account in sorted(tally.accounts):
            post(engine, account)
        found = everything_stored(engine)
        assert SECRET not in found
        assert SECRET[3:20] not in found
        assert PROMPT not in found
        assert "fp_" in found
        assert not any(SECRET in refusal.error or PROMPT in refusal.error for refusal in tally.refusals)


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
