"""The spool on the disk: what was handed over is there whatever becomes of the process, and is delivered once."""

from __future__ import annotations

import gc
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from costmeter.recorder import lane as lane_module
from costmeter.recorder.draft import Ended, write_draft
from costmeter.recorder.lane import Lane, Position, lanes, peek_state, take_over
from costmeter.recorder.leftovers import losses, survey
from costmeter.recorder.spool import Counts, Spool

from .spooling import START, Deliveries, call, ended, intent, killed, leftovers, lines


def test_an_intent_is_written_before_and_the_record_after_the_call(spool: Spool, folder: Path) -> None:
    assert spool.begin(intent("e-1"))
    assert lines(folder) == [{"intent": json.loads(intent("e-1"))}]
    spool.append(ended("e-1"), is_begun=True)
    assert lines(folder) == [{"intent": json.loads(intent("e-1"))}, json.loads(ended("e-1"))]


def test_records_are_delivered_in_order_and_counted(spool: Spool, deliveries: Deliveries) -> None:
    for number in range(2_500):
        call(spool, f"e-{number}")
    spool.begin(intent("open"))

    assert spool.flush(10)
    assert deliveries.ids == [f"e-{number}" for number in range(2_500)]
    assert spool.counts == Counts(recorded=2_500, delivered=2_500, waiting=0, dropped=0)


def test_what_waits_is_counted_from_the_lane(spool: Spool, deliveries: Deliveries) -> None:
    deliveries.is_away = True
    for number in range(7):
        call(spool, f"e-{number}")

    assert not spool.flush(0.2)
    assert spool.counts == Counts(recorded=7, delivered=0, waiting=7, dropped=0)
    deliveries.is_away = False
    assert spool.flush(10)
    assert spool.counts == Counts(recorded=7, delivered=7, waiting=0, dropped=0)


def test_a_closed_spool_leaves_nothing_behind_and_starts_again(
    spool: Spool, folder: Path, deliveries: Deliveries
) -> None:
    for event_id in ("e-1", "e-2"):
        call(spool, event_id)
        assert spool.close(10)
        assert list(lanes(folder)) == []
    assert deliveries.ids == ["e-1", "e-2"]


def test_a_closed_spool_with_a_call_on_its_way_leaves_its_lane_to_others(
    spool: Spool, folder: Path, deliveries: Deliveries
) -> None:
    spool.begin(intent("e-1"))
    call(spool, "e-2")
    assert spool.close(10)

    assert [(record["event_id"], record["status"]) for record in leftovers(folder)] == [("e-1", "unmetered")]
    assert deliveries.ids == ["e-2"]


def test_an_outage_at_the_end_leaves_the_records_to_the_next_process(
    folder: Path, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    deliveries.is_away = True
    spool = Spool(deliveries, folder=folder)
    call(spool, "e-1")

    assert not spool.close(0.3)
    assert f"1 records were not delivered; they wait in {next(lanes(folder))}" in caplog.text
    assert lines(folder) == [{"intent": json.loads(intent("e-1"))}, json.loads(ended("e-1"))]
    deliveries.is_away = False
    assert spool.close(10)
    assert deliveries.ids == ["e-1"]


def test_many_threads_write_whole_lines(spool: Spool, deliveries: Deliveries) -> None:
    def work(worker: int) -> None:
        for number in range(200):
            call(spool, f"{worker}-{number}")

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert spool.flush(10)
    assert sorted(deliveries.ids) == sorted(f"{worker}-{number}" for worker in range(8) for number in range(200))


def test_a_finalizer_may_append_in_the_middle_of_anything(spool: Spool, deliveries: Deliveries) -> None:
    class Cycle:
        def __init__(self, number: int) -> None:
            self.me = self
            self.number = number

        def __del__(self) -> None:
            spool.append(ended(f"gone-{self.number}"))

    gc.collect()
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(300):
            Cycle(number)
            call(spool, f"e-{number}")
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()

    assert spool.flush(10)
    assert sorted(deliveries.ids) == sorted(f"{kind}-{number}" for kind in ("e", "gone") for number in range(300))


def test_delivered_segments_are_removed_while_calls_are_on_their_way(
    monkeypatch: pytest.MonkeyPatch, spool: Spool, deliveries: Deliveries, folder: Path
) -> None:
    monkeypatch.setattr("costmeter.recorder.lane.SEGMENT", 4_000)
    assert spool.begin(intent("long"))
    for turn in range(20):
        for number in range(20):
            call(spool, f"{turn}-{number}")
        assert spool.flush(10)

    kept = sorted(path.name for path in next(lanes(folder)).glob("*.ndjson"))
    assert kept[0] == "000000.ndjson"  # the long call's intent stands there
    assert 2 <= len(kept) <= 3
    spool.append(ended("long"), is_begun=True)
    assert spool.flush(10)
    call(spool, "last")
    assert spool.flush(10)
    assert len(deliveries.ids) == len(set(deliveries.ids)) == 402
    assert not (next(lanes(folder)) / "000000.ndjson").exists()


def test_an_end_in_a_later_segment_takes_its_intent_back_before_it_can_be_removed(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Else a process that dies afterwards would leave an intent whose end is no longer there."""
    script = """
    from costmeter.recorder import lane
    lane.SEGMENT = 2_000
    spool = Spool(deliveries, folder=folder)
    spool.begin(intent("stays open"))
    spool.begin(intent("e-1"))
    for number in range(20):
        spool.append(ended(f"x-{number}"))
    spool.flush(10)
    spool.append(ended("e-1"), is_begun=True)
    for number in range(20):
        spool.append(ended(f"y-{number}"))
    assert spool.flush(10) and spool.flush(10)
    assert len(deliveries.ids) == 41
    """
    killed(folder, script)

    assert [(r["event_id"], r["reason"]) for r in leftovers(folder)] == [("stays open", "process died")]


def test_a_torn_line_costs_only_itself(folder: Path, spool: Spool) -> None:
    call(spool, "e-1")
    path = next(next(lanes(folder)).glob("*.ndjson"))
    with path.open("ab") as file:
        file.write(b'\n{"event_id":"torn","acc')
    call(spool, "e-2")
    assert spool.flush(10)
    call(spool, "e-3")
    assert spool.flush(10)

    deliveries = spool._deliver
    assert isinstance(deliveries, Deliveries)
    assert deliveries.ids == ["e-1", "e-2", "e-3"]


def test_files_that_somebody_removed_are_made_anew_and_what_was_in_them_is_delivered(
    folder: Path, spool: Spool, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    deliveries.is_away = True
    call(spool, "e-1")
    shutil.rmtree(folder)
    call(spool, "e-2")
    deliveries.is_away = False

    assert spool.flush(10)
    assert deliveries.ids == ["e-1", "e-2"]
    deadline = time.monotonic() + 10
    while list(lanes(folder)) == [] and time.monotonic() < deadline:
        call(spool, "more")
        time.sleep(0.01)
    assert "somebody removed the spool's files" in caplog.text
    call(spool, "e-3")
    assert lines(folder)[-1] == json.loads(ended("e-3"))


def test_a_state_that_cannot_be_read_delivers_everything_again(folder: Path) -> None:
    script = """
    spool = Spool(deliveries, folder=folder)
    spool.append(ended("e-1"))
    assert spool.flush(10)
    """
    killed(folder, script)
    (next(lanes(folder)) / "lane.json").write_bytes(b"\0" * 512)

    assert [record["event_id"] for record in leftovers(folder)] == ["e-1"]


def test_a_folder_that_cannot_be_written_is_said_and_memory_serves(
    tmp_path: Path, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    spool = Spool(deliveries, folder=tmp_path / "file" / "spool", capacity=5)
    assert not spool.begin(intent("e-1"))
    deliveries.is_away = True
    for number in range(7):
        spool.append(ended(f"e-{number}"))

    assert spool.counts == Counts(recorded=5, delivered=0, waiting=5, dropped=2)
    assert "cannot be written (" in caplog.text
    assert len([r for r in caplog.records if "cannot be written" in r.message]) == 1
    assert "the spool is full (5 records): 2 dropped so far" in caplog.text
    deliveries.is_away = False
    assert spool.close(10)
    assert deliveries.ids == [f"e-{number}" for number in range(5)]


def test_past_the_bound_of_the_folder_memory_serves_and_then_calls_are_dropped_and_counted(
    folder: Path, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    deliveries.is_away = True
    spool = Spool(deliveries, folder=folder, limit=4_000, capacity=10)
    for number in range(100):
        call(spool, f"e-{number}")

    counts = spool.counts
    assert counts.recorded + counts.dropped == 100
    assert counts.dropped > 50
    assert sum(path.stat().st_size for path in folder.glob("*/*.ndjson")) <= 4_000
    assert "more than 4000 bytes" in caplog.text
    state = peek_state(next(lanes(folder)))
    assert state is not None
    assert state.unkept + survey(folder)[0].open == 10 + counts.dropped  # of one the intent was still written
    deliveries.is_away = False
    assert spool.flush(10)
    assert spool.counts == Counts(counts.recorded, counts.recorded, 0, counts.dropped)
    assert spool.close(10)
    assert [state.unkept for _, state in losses(folder)] == [counts.dropped]


def test_a_record_that_went_through_memory_takes_back_its_intent(folder: Path) -> None:
    script = """
    spool = Spool(deliveries, folder=folder)
    assert spool.begin(intent("e-1"))
    spool.flush(10)
    spool._lane.allowance = 0
    spool.append(ended("e-1"), is_begun=True)
    assert spool.flush(10)
    assert deliveries.ids == ["e-1"]
    """
    killed(folder, script)

    assert leftovers(folder) == []


def test_with_sync_each_record_is_on_the_disk_before_the_call_returns(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def fdatasync(number: int) -> None:
        synced.append(os.fstat(number).st_size)
        real(number)

    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    lane = Lane.open(folder, sync=True)
    assert lane.write(ended("e-1"))
    assert synced == [lane.end().offset]


@pytest.mark.parametrize("count", [2**70, -(2**70), 1])
def test_counts_beyond_64_bits_are_written_as_they_are(count: int) -> None:
    said = Ended(0.0, None, 1, 1, status="ok", usage={"prompt_tokens": count}, model="m", response_id=None)
    assert json.loads(write_draft(b"{}", said))["ended"]["usage"] == {"prompt_tokens": count}


def test_a_process_that_starts_on_a_full_disk_takes_a_lane_that_was_kept_ready(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(folder, 'Spool(deliveries, folder=folder).begin(intent("e-0"))')
    assert len(list(folder.glob(".spare-*"))) == lane_module.SPARES
    real = Path.mkdir

    def no_space(path: Path, **options: object) -> None:
        if path.parent == folder:
            raise OSError(28, "No space left on device")
        real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", no_space)
    lane = Lane.open(folder)
    assert lane.write(ended("e-1"))
    assert len(list(folder.glob(".spare-*"))) == lane_module.SPARES - 1
    assert take_over(lane.folder) is None


def test_positions_are_in_the_order_of_writing() -> None:
    assert Position(0, 10**9) < Position(1, 0) < Position(1, 1)


def test_the_two_marks_of_an_intent_are_of_equal_length() -> None:
    assert len(lane_module.INTENT) == len(lane_module.CLOSED)
    assert START.endswith("Z")
