"""Delivering from another process: what it stores, what becomes of what it cannot, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from costmeter.recorder.apart import DeliverApart, NotDeliveredError
from costmeter.recorder.draft import Ended, decode, encode, write_draft
from costmeter.recorder.record import complete
from costmeter.recorder.spool import Spool
from costmeter.store.engine import reading
from costmeter.store.keys import new_id
from costmeter.store.tables import ChargeRow, QuarantineRow

from .bodies import USAGE
from .spooling import intent

BEGIN_AND_DIE = """
import os, signal
from costmeter.recorder.apart import DeliverApart
deliver = DeliverApart()
deliver([])
print(deliver._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
ASK_AND_DIE = """
import os, signal, sys
from costmeter.recorder.apart import DeliverApart
deliver = DeliverApart()
deliver([])
deliver._process.stdin.write(sys.argv[1].encode() + b"\\n")
deliver._process.stdin.flush()
print(deliver._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What a process delivers to has tests of its own, on both databases."""
    return sqlite_url


@pytest.fixture
def deliver(engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeliverApart]:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", database_url)
    opened = DeliverApart()
    yield opened
    opened.close()


def call() -> bytes:
    """A draft of a call that has a price."""
    came = Ended(1.5, None, 1, 1, status="ok", usage=USAGE, model="deepseek-flash", response_id=None)
    return write_draft(intent(new_id()), came)


def process_of(deliver: DeliverApart) -> int:
    assert deliver._process is not None
    return deliver._process.pid


def posted(engine: Engine) -> int:
    with reading(engine) as connection:
        return len(connection.execute(select(ChargeRow.account)).all())


def test_a_spool_delivers_through_it_and_all_is_posted(deliver: DeliverApart, engine: Engine, tmp_path: Path) -> None:
    spool = Spool(deliver, folder=tmp_path / "spool")
    for _ in range(3):
        spool.append(call())
    assert spool.close(60)
    assert posted(engine) == 3


def test_a_process_that_was_killed_is_replaced_and_nothing_is_lost_or_twice(
    deliver: DeliverApart, engine: Engine, tmp_path: Path
) -> None:
    spool = Spool(deliver, folder=tmp_path / "spool")
    spool.append(call())
    assert spool.flush(60)
    first = process_of(deliver)
    os.kill(first, signal.SIGKILL)
    spool.append(call())
    assert spool.close(60)
    assert process_of(deliver) != first
    assert posted(engine) == 2


def test_it_says_why_it_could_not_deliver_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", "sqlite:////proc/nowhere/costmeter.sqlite3")
    deliver = DeliverApart()
    with pytest.raises(NotDeliveredError, match="nowhere"):
        deliver([])
    first = process_of(deliver)
    with pytest.raises(NotDeliveredError, match="nowhere"):
        deliver([])
    assert process_of(deliver) == first
    deliver.close()


def test_a_count_beyond_64_bits_is_delivered_and_judged_there(deliver: DeliverApart, engine: Engine) -> None:
    record = {
        "event_id": new_id(),
        "account": None,
        "model": "m",
        "status": "ok",
        "completed_at": "2026-11-20T10:00:00Z",
    }
    deliver([{**record, "usage": {"prompt_tokens": 2**70}}])
    with reading(engine) as connection:
        assert len(connection.execute(select(QuarantineRow.reason)).all()) == 1


def test_a_signal_to_the_group_leaves_it_to_the_process_that_began_it(deliver: DeliverApart) -> None:
    deliver([])
    first = process_of(deliver)
    os.kill(first, signal.SIGINT)
    os.kill(first, signal.SIGTERM)
    deliver([])
    assert process_of(deliver) == first


def begin_and_die(script: str, url: str, *arguments: str) -> tuple[int, str]:
    """The process that a process began that was killed, once it has ended; and what both said of it."""
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "COSTMETER_DATABASE_URL": url},
    )  # fmt: skip
    process = int(ran.stdout)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process, ran.stderr


def test_it_ends_with_the_process_that_began_it(sqlite_url: str) -> None:
    process, _ = begin_and_die(BEGIN_AND_DIE, sqlite_url)
    assert not Path(f"/proc/{process}").exists()


def test_what_it_was_told_before_that_is_delivered_quietly(engine: Engine, sqlite_url: str) -> None:
    record = complete(decode(call()))
    process, said = begin_and_die(ASK_AND_DIE, sqlite_url, encode([record]).decode())
    assert not Path(f"/proc/{process}").exists()
    assert (posted(engine), said) == (1, "")
