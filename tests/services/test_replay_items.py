"""Quarantine is worked off: what can be used now is recorded once, the rest stays open and says why."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from costmeter.reports.spend import spend_report
from costmeter.services.discard_items import discard_items
from costmeter.services.replay_items import PARTLY_KEPT, Replayed, named_items, refused_items, replay_items
from costmeter.services.verify import verify
from costmeter.store.accounts import Home
from costmeter.store.engine import reading
from costmeter.store.quarantine import Item
from costmeter.store.scope import Scope
from costmeter.store.tables import EventRow, QuarantineRow
from tests.make import an_event, an_unmetered, at, book, outcome, quarantined, record, rows, splits
from tests.services.invariants import check_books

BEFORE = "2025-03-03T11:00:00Z"  # what completes at noon is in the future then
LATER = "2025-03-20T00:00:00Z"


def items_of(engine: Engine, *names: str, event_id: str | None = None) -> list[Item]:
    with reading(engine) as connection:
        return named_items(connection, names, event_id) if names else refused_items(connection)


def replay(engine: Engine, *names: str, now: str = LATER, event_id: str | None = None) -> Replayed:
    """Replay the named items, or all."""
    items = items_of(engine, *names, event_id=event_id)
    return replay_items(engine, items, book=book(), home=Home(), by="Ada", event_id=event_id, now=at(now))


def states(engine: Engine) -> list[tuple[str, str]]:
    found = rows(engine, QuarantineRow, QuarantineRow.received_at, QuarantineRow.item)
    return sorted((row["kind"], row["state"]) for row in found)


def count_quarantined(engine: Engine, known_at: str | None = None) -> int:
    scope = Scope(month="2025-03", known_at=None if known_at is None else at(known_at))
    with reading(engine) as connection:
        return spend_report(connection, scope).totals["quarantined"]


def test_what_was_ahead_of_its_time_is_accepted_once(engine: Engine) -> None:
    """A clock that ran ahead puts thousands of calls into quarantine."""
    record(engine, *(an_event(f"call-{n}", tags={"n": str(n)}) for n in range(3)), now=BEFORE)

    replayed = replay(engine)

    assert outcome(replayed.tally) == (3, 0, 0, 0)
    assert replayed.still_open == 0
    assert [row["tags"]["n"] for row in rows(engine, EventRow, EventRow.event_id)] == ["0", "1", "2"]
    assert len(splits(engine)) == 3, "they are posted"
    assert replay(engine).outcomes == []
    check_books(engine)
    assert verify(engine) == []


def test_it_is_a_duplicate_where_it_came_in_meanwhile(engine: Engine) -> None:
    record(engine, an_event("a"), now=BEFORE)
    record(engine, an_event("a"), now="2025-03-04T00:00:00Z")

    assert outcome(replay(engine).tally) == (0, 1, 0, 0)
    assert states(engine) == [("refused", "replayed")]
    assert len(rows(engine, EventRow)) == 1


def test_who_closed_an_item_and_when_is_kept(engine: Engine) -> None:
    record(engine, an_event("a"), now=BEFORE)
    (before,) = quarantined(engine)
    replay(engine)

    decision = {"state": "replayed", "decided_at": at(LATER), "decided_by": "Ada", "reason": None}
    assert quarantined(engine) == [before | decision]


def test_what_is_still_refused_stays_open_with_its_present_reason(engine: Engine) -> None:
    record(engine, an_event("a", "2025-03-25T00:00:00Z"), an_event("b", cost=1) | {"model": None}, now=BEFORE)

    replayed = replay(engine)

    assert outcome(replayed.tally) == (0, 0, 0, 2)
    assert states(engine) == [("refused", "open")] * 2
    errors = {row["event_id"]: (row["field"], row["error"]) for row in quarantined(engine)}
    assert errors["a"][0] == "completed_at"
    assert "ahead of its receipt at 2025-03-20T00:00:00Z" in errors["a"][1], "and not at the first receipt"
    assert errors["b"][0] == "model"
    assert outcome(replay(engine, now="2025-03-26T00:00:00Z").tally) == (1, 0, 0, 1)


def test_equal_calls_without_an_id_stay_as_many_as_they_were(engine: Engine) -> None:
    """Sent again one by one, the second is not taken for the first."""
    record(engine, *[an_event(None)] * 3, now=BEFORE)
    names = [item.name for item in items_of(engine)]

    for name in names:
        assert outcome(replay(engine, name).tally) == (1, 0, 0, 0)

    assert len(rows(engine, EventRow)) == 3
    assert outcome(record(engine, *[an_event(None)] * 3, now=LATER)) == (0, 3, 0, 0), "the file sent again is once"


def test_equal_calls_without_an_id_that_came_again_meanwhile_are_duplicates(engine: Engine) -> None:
    record(engine, *[an_event(None)] * 2, now=BEFORE)
    record(engine, *[an_event(None)] * 2, now="2025-03-04T00:00:00Z")

    assert outcome(replay(engine).tally) == (0, 2, 0, 0)
    assert len(rows(engine, EventRow)) == 2


def test_calls_of_two_users_that_are_equal_but_for_that_are_two(engine: Engine) -> None:
    record(engine, an_event(None, user="u-1"), an_event(None, user="u-2"), an_event(None, user="u-1"), now=BEFORE)

    assert outcome(replay(engine).tally) == (3, 0, 0, 0)
    assert sorted(row["user_name"] for row in rows(engine, EventRow)) == ["u-1", "u-1", "u-2"]


@pytest.mark.parametrize(
    "body",
    [
        an_event("a", project="p" * 300),
        an_event("x" * 300),
        an_event("a", user="with\0nul"),
        an_event("a", tags={"team": "t" * 300}),
        an_event("a", tags={"completed_at": "t" * 300}),
        an_event("a", tags={f"tag-{n}": "x" for n in range(40)}),
    ],
    ids=["a project", "an id", "a character", "a tag", "a tag named like a field", "too many tags"],
)
def test_what_was_cut_when_it_was_kept_is_not_recorded_as_something_else(engine: Engine, body: dict[str, Any]) -> None:
    record(engine, body)
    (item,) = items_of(engine)

    replayed = replay(engine)

    assert outcome(replayed.tally) == (0, 0, 0, 1)
    (told,) = replayed.outcomes
    assert told.error == f"{item.error}; {PARTLY_KEPT}"
    assert (rows(engine, EventRow), states(engine)) == ([], [("refused", "open")])


def test_an_item_that_turns_out_to_be_a_conflict_is_one_item_and_not_two(engine: Engine) -> None:
    record(engine, an_event("a"), now=BEFORE)
    record(engine, an_event("a", output=5), now="2025-03-04T00:00:00Z")

    replayed = replay(engine)

    assert (outcome(replayed.tally), replayed.still_open) == ((0, 0, 1, 0), 0)
    assert states(engine) == [("conflict", "open"), ("refused", "replayed")]
    closed, conflict = sorted(quarantined(engine), key=lambda row: str(row["state"]), reverse=True)
    assert closed["reason"].startswith("is a conflict now: event_id 'a': was recorded before")
    assert conflict["place"] == f"quarantine:{closed['item'].hex()}"
    assert count_quarantined(engine) == 0, "a conflict's first version is booked"


class TestConflicts:
    @pytest.fixture
    def conflict(self, engine: Engine) -> str:
        """A call whose event and response ids another one had before it."""
        record(engine, an_event("a", response_id="r-1"), an_event("a", output=5, response_id="r-1"))
        return str(next(row["item"].hex() for row in quarantined(engine) if row["kind"] == "conflict"))

    def test_all_leaves_them_alone(self, engine: Engine, conflict: str) -> None:
        assert replay(engine).outcomes == []

    def test_by_name_it_stays_refused(self, engine: Engine, conflict: str) -> None:
        replayed = replay(engine, conflict)

        assert (outcome(replayed.tally), replayed.still_open) == ((0, 0, 1, 0), 1)
        assert states(engine) == [("conflict", "open")]

    def test_with_an_id_of_its_own_it_is_a_call_of_its_own(self, engine: Engine, conflict: str) -> None:
        assert outcome(replay(engine, conflict, event_id="b").tally) == (1, 0, 0, 0)

        first, second = rows(engine, EventRow, EventRow.event_id)
        assert (first["output_tokens"], second["output_tokens"]) == (1_000_000, 5)
        assert (second["event_id"], second["response_id"]) == ("b", None)
        assert second["detail"]["came_with"] == {"event_id": "a", "response_id": "r-1"}
        assert second["detail"]["item"] == conflict
        assert states(engine) == [("conflict", "replayed")]
        assert verify(engine) == []

    def test_with_an_id_of_its_own_it_can_be_interrupted(self, engine: Engine, conflict: str) -> None:
        """Recorded and not closed: run again, the same command finds what it had recorded."""
        replay(engine, conflict, event_id="b")
        with engine.begin() as connection:
            connection.execute(text("UPDATE quarantine SET state = 'open'"))

        assert outcome(replay(engine, conflict, event_id="b").tally) == (0, 1, 0, 0)
        assert states(engine) == [("conflict", "replayed")]


def test_an_unmetered_call_can_be_replayed_too(engine: Engine) -> None:
    record(engine, an_unmetered("torn"), now=BEFORE)
    assert (replay(engine).tally.unmetered, states(engine)) == (1, [("refused", "replayed")])


def test_totals_count_what_is_open_and_look_back_to_what_was(engine: Engine) -> None:
    broken = an_event("b") | {"model": 5}
    record(engine, an_event("a"), broken, now=BEFORE)
    assert count_quarantined(engine) == 2
    replay(engine, now="2025-03-04T00:00:00Z")
    assert count_quarantined(engine) == 1
    (item,) = items_of(engine)
    discard_items(engine, [item.name], by="Ada", reason="a test", now=at("2025-03-05T00:00:00Z"))
    assert count_quarantined(engine) == 0

    instants = (
        BEFORE,
        "2025-03-03T23:59:59Z",
        "2025-03-04T00:00:00Z",
        "2025-03-05T00:00:00Z",
    )
    assert [count_quarantined(engine, known_at) for known_at in instants] == [2, 2, 1, 0]
