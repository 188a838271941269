"""The spool: nothing lost, nothing blocked, everything counted."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from costmeter.recorder import spools
from costmeter.recorder.delivery import OpenInEachProcess
from costmeter.recorder.spool import LIMIT, Counts, Spool

from .spooling import ended


class Store:
    """Keeps what is delivered; can be out of order, and can hold a delivery up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failures = 0
        self.attempts = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, records: list[dict[str, Any]]) -> None:
        self.attempts += 1
        self.entered.set()
        assert self.gate.wait(10)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the database is away")
        self.batches.append([int(record["event_id"]) for record in records])

    @property
    def numbers(self) -> list[int]:
        return [number for batch in self.batches for number in batch]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def spool(store: Store) -> Iterator[Spool]:
    made = Spool(store, capacity=1000, batch=10)
    yield made
    store.gate.set()
    store.failures = 0
    assert made.close(10)


def append(spool: Spool, *numbers: int) -> None:
    for number in numbers:
        spool.append(ended(str(number)))


def test_records_arrive_in_order_and_in_batches(spool: Spool, store: Store) -> None:
    append(spool, *range(95))

    assert spool.flush(10)
    assert store.numbers == list(range(95))
    assert max(map(len, store.batches)) == 10
    assert spool.counts == Counts(recorded=95, delivered=95, waiting=0, dropped=0)


def test_records_of_one_moment_are_one_batch(spool: Spool, store: Store) -> None:
    append(spool, 1)
    time.sleep(0.01)
    append(spool, 2)

    deadline = time.monotonic() + 10
    while not store.batches and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.batches == [[1, 2]]


def test_no_thread_is_started_for_nothing(spool: Spool, store: Store) -> None:
    threads = threading.active_count()

    assert spool.flush(0)
    assert threading.active_count() == threads
    append(spool, 1)
    assert threading.active_count() == threads + 1


def test_records_of_many_threads_arrive_once(spool: Spool, store: Store) -> None:
    threads = [threading.Thread(target=append, args=(spool, *range(at, at + 100))) for at in range(0, 800, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert spool.flush(10)
    assert sorted(store.numbers) == list(range(800))
    assert spool.counts == Counts(800, 800, 0, 0)


def test_flush_waits_for_what_is_being_delivered_and_no_longer_than_told(spool: Spool, store: Store) -> None:
    store.gate.clear()
    append(spool, 1)
    assert store.entered.wait(10)

    assert not spool.flush(0.05)
    assert spool.counts == Counts(recorded=1, delivered=0, waiting=1, dropped=0)
    store.gate.set()
    assert spool.flush(10)
    assert store.numbers == [1]


def test_flush_sees_a_record_that_was_appended_just_before(spool: Spool, store: Store) -> None:
    for number in range(300):
        append(spool, number)
        assert spool.flush(10)
        assert store.numbers[-1] == number


def test_an_outage_loses_nothing_and_is_logged_once(
    spool: Spool, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.failures = 3
    append(spool, *range(25))

    assert spool.flush(10)
    assert store.numbers == list(range(25))
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage().split(" ", 1)[1] for record in errors] == [
        "records cannot be delivered yet; they are kept and tried again"
    ]
    assert "delivered again after 3 failures" in caplog.text


def test_pauses_grow_while_nobody_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    store.failures = 12
    spool = Spool(store)

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return True

    monkeypatch.setattr(spool._shipper, "_pause", pause)
    append(spool, 1)

    assert spool.flush(10)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]
    assert spool.close()


def test_a_full_spool_drops_the_new_record_says_so_and_counts_it(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(store, capacity=10, batch=3)
    store.gate.clear()
    append(spool, 0)
    assert store.entered.wait(10)

    append(spool, *range(1, 15))

    assert spool.counts == Counts(recorded=10, delivered=0, waiting=10, dropped=5)
    assert "the spool is full (10 records): 1 dropped so far" in caplog.text
    store.gate.set()
    assert spool.close(10)
    assert store.numbers == list(range(10))


def test_append_raises_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        append(spool, 1)
        assert not spool.flush(0.1)
    assert "can't start new thread" in caplog.text

    assert spool.flush(10)
    assert spool.counts.delivered == 1


def test_a_closed_spool_starts_again(spool: Spool, store: Store) -> None:
    append(spool, 1)
    assert spool.close(10)
    threads = threading.active_count()
    append(spool, 2)

    assert threading.active_count() == threads + 1
    assert spool.flush(10)
    assert store.numbers == [1, 2]


def test_closing_in_an_outage_says_what_is_left_and_keeps_it(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(store)
    store.failures = 10**9
    append(spool, 1, 2)

    assert not spool.close(0.3)
    assert "2 records were not delivered" in caplog.text
    store.failures = 0
    assert spool.close(10)
    assert store.numbers == [1, 2]


def test_a_delivery_that_flushes_does_not_wait_for_itself() -> None:
    flushed: list[bool] = []

    def deliver(_records: object) -> None:
        flushed.append(made.flush(10))

    made = Spool(deliver)
    append(made, 1)

    assert made.close(10)
    assert flushed == [False]


def test_append_is_safe_in_a_finalizer(spool: Spool, store: Store) -> None:
    class Cycle:
        def __init__(self, number: int) -> None:
            self.me = self
            self.number = number

        def __del__(self) -> None:
            append(spool, self.number)

    gc.collect()
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(200):
            Cycle(number)
            append(spool, 1000 + number)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()

    assert spool.flush(10)
    assert sorted(store.numbers) == [*range(200), *range(1000, 1200)]


def test_what_delivers_is_opened_at_the_first_record_and_once() -> None:
    opened: list[int] = []
    kept: list[dict[str, Any]] = []

    def open_store() -> Any:
        opened.append(os.getpid())
        if len(opened) == 1:
            raise ConnectionError("not there yet")
        return kept.extend

    spool = Spool(OpenInEachProcess(open_store))
    assert not opened

    append(spool, 1, 2)

    assert spool.close(10)
    append(spool, 3)
    assert spool.close(10)
    assert len(opened) == 2
    assert [record["event_id"] for record in kept] == ["1", "2", "3"]


def test_flush_of_the_process_flushes_every_spool(spool: Spool, store: Store) -> None:
    append(spool, 1)

    assert spools.flush(10)
    assert store.numbers == [1]
    store.gate.clear()
    append(spool, 2)
    assert not spools.flush(0.05)


def test_there_is_one_default_spool() -> None:
    assert spools.default_spool() is spools.default_spool()


def test_it_says_how_much_of_its_folder_is_taken(store: Store, tmp_path: Path) -> None:
    in_memory = Spool(store)
    assert (in_memory.size, in_memory.limit) == (0, LIMIT)
    store.gate.clear()
    spool = Spool(store, folder=tmp_path, limit=1 << 20)
    assert spool.size == 0
    append(spool, 1, 2)
    assert len(ended("1")) * 2 < spool.size < spool.limit == 1 << 20
    store.gate.set()
    assert spool.close(10)
