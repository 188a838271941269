"""What a process that died left in the spool's folder: the next one delivers it, and says what was lost."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import pytest

from costmeter.recorder.lane import lanes, peek_state, take_over
from costmeter.recorder.leftovers import losses, survey
from costmeter.recorder.record import complete
from costmeter.recorder.spool import Spool

from .spooling import Deliveries, call, intent, killed, leftovers


def test_a_kill_loses_nothing_that_returned(folder: Path) -> None:
    script = """
    deliveries.is_away = True
    spool = Spool(deliveries, folder=folder)
    for number in range(50):
        is_begun = spool.begin(intent(f"e-{number}"))
        spool.append(ended(f"e-{number}"), is_begun=is_begun)
    spool.begin(intent("on its way", "2026-11-20T10:00:02Z"))
    """
    killed(folder, script)

    found = leftovers(folder)
    assert [record["event_id"] for record in found[:-1]] == [f"e-{number}" for number in range(50)]
    assert found[-1] == {
        **complete({"intent": json.loads(intent("on its way", "2026-11-20T10:00:02Z"))}),
        "status": "unmetered",
        "usage": None,
        "reason": "process died",
        "completed_at": "2026-11-20T10:00:02Z",
    }
    assert list(lanes(folder)) == []
    assert leftovers(folder) == []


def test_what_was_delivered_before_a_kill_is_not_delivered_again(folder: Path) -> None:
    script = """
    spool = Spool(deliveries, folder=folder)
    spool.append(ended("e-1"))
    assert spool.flush(10)
    deliveries.is_away = True
    spool.append(ended("e-2"))
    """
    killed(folder, script)

    assert [record["event_id"] for record in leftovers(folder)] == ["e-2"]


def test_the_next_process_delivers_what_a_dead_one_left(folder: Path, spool: Spool, deliveries: Deliveries) -> None:
    killed(folder, 'Spool(deliveries, folder=folder).begin(intent("died"))')
    call(spool, "e-1")

    assert spool.flush(10)
    deadline = time.monotonic() + 10
    while "died" not in deliveries.ids and time.monotonic() < deadline:
        time.sleep(0.01)
    assert deliveries.ids == ["e-1", "died"]


def test_leftovers_that_cannot_be_delivered_stay(folder: Path) -> None:
    killed(folder, 'Spool(deliveries, folder=folder).begin(intent("died"))')

    from costmeter.recorder.leftovers import deliver_leftovers

    assert deliver_leftovers(folder, lambda _records: False) == 0
    again = leftovers(folder)
    assert [record["event_id"] for record in again] == ["died"]


def test_two_processes_never_take_the_same_leftovers(folder: Path) -> None:
    killed(folder, 'Spool(deliveries, folder=folder).begin(intent("died"))')
    held = take_over(next(lanes(folder)))

    assert held is not None
    assert take_over(next(lanes(folder))) is None
    assert leftovers(folder) == []
    del held
    assert len(leftovers(folder)) == 1


def test_the_lane_of_a_living_process_is_left_alone(folder: Path, spool: Spool) -> None:
    spool.begin(intent("e-1"))

    assert leftovers(folder) == []
    assert [(found.is_alive, found.waiting, found.open) for found in survey(folder)] == [(True, 0, 1)]
    state = peek_state(next(lanes(folder)))
    assert state is not None
    assert state.process == os.getpid()


def test_a_lane_that_was_being_made_is_not_seen(folder: Path) -> None:
    (folder / ".made").mkdir(parents=True)

    assert survey(folder) == []
    assert leftovers(folder) == []


def test_a_kill_while_nothing_can_be_written_is_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    script = """
    deliveries.is_away = True
    spool = Spool(deliveries, folder=folder)
    spool.begin(intent("begun"))
    spool._lane.allowance = 0
    spool.append(ended("begun"), is_begun=True)
    for number in range(3):
        is_begun = spool.begin(intent(f"e-{number}"))
        spool.append(ended(f"e-{number}"), is_begun=is_begun)
    """
    killed(folder, script)

    with caplog.at_level(logging.WARNING):
        found = leftovers(folder)
    assert [(record["event_id"], record["reason"]) for record in found] == [("begun", "process died")]
    assert "lost 3 calls" in caplog.text
    assert [state.unkept for _, state in losses(folder)] == [3]
    assert leftovers(folder) == []


def test_a_kill_during_a_delivery_from_memory_says_how_many_calls_are_in_doubt(folder: Path) -> None:
    script = """
    spool = Spool(lambda records: time.sleep(60), folder=folder)
    spool._open_lane().allowance = 0
    for number in range(3):
        spool.append(ended(f"e-{number}"))
    spool.flush(0.5)
    spool.append(ended("e-3"))
    """
    killed(folder, script)

    assert leftovers(folder) == []
    assert [state.lost for _, state in losses(folder)] == ["1 to 4"]


def test_a_lane_with_nothing_but_its_lock_is_removed(folder: Path) -> None:
    killed(folder, "from costmeter.recorder.lane import Lane\nlane = Lane.open(folder)")

    assert len(list(lanes(folder))) == 1
    assert leftovers(folder) == []
    assert list(lanes(folder)) == []
