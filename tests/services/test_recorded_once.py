"""A call that comes again, by whatever name and door, is recorded once; one that contradicts it is a conflict."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.store.tables import EventRow, PendingRow, QuarantineRow
from tests.make import (
    MARCH,
    an_event,
    an_unmetered,
    at,
    counted,
    outcome,
    post,
    quarantined,
    record,
    rows,
    stored_ids,
)


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
