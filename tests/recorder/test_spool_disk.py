"""A disk that is full or read-only, for real: a small file system of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from costmeter.recorder.leftovers import losses
from costmeter.recorder.spool import Counts, Spool
from tests.conftest import missing

from .spooling import Deliveries, ended, intent, killed, leftovers


@contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """A file system of that size."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "256k") as place:
        yield place


def fill(disk: Path) -> Path:
    """Takes all the space that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def test_while_the_disk_is_full_memory_serves_and_then_the_disk_again(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deliveries = Deliveries()
    deliveries.is_away = True
    spool = Spool(deliveries, folder=disk / "spool", capacity=50)
    assert spool.begin(intent("before"))
    filler = fill(disk)
    number = 0
    while spool.begin(intent(f"fits-{number}")):  # what is left of the last page
        number += 1
    spool.append(ended("before"), is_begun=True)
    for at in range(60):
        spool.append(ended(f"full-{at}"), is_begun=spool.begin(intent(f"full-{at}")))

    dropped = spool.counts.dropped
    assert 0 < dropped <= 11
    assert "cannot be written (no space" in caplog.text
    filler.unlink()
    assert spool.begin(intent("after"))
    spool.append(ended("after"), is_begun=True)
    assert "is written again" in caplog.text
    deliveries.is_away = False
    assert spool.flush(10)
    assert spool.counts == Counts(62 - dropped, 62 - dropped, 0, dropped)
    assert sorted(deliveries.ids)[:2] == ["after", "before"]
    assert len(set(deliveries.ids)) == 62 - dropped
    assert spool.close(10)


def test_a_kill_on_a_full_disk_is_counted(disk: Path) -> None:
    script = """
    from tests.recorder.test_spool_disk import fill
    deliveries.is_away = True
    spool = Spool(deliveries, folder=folder, capacity=5)
    spool.begin(intent("begun"))
    fill(folder.parent)
    number = 0
    while spool.begin(intent(f"fits-{number}")):
        number += 1
    for at in range(20):
        spool.append(ended(f"full-{at}"), is_begun=spool.begin(intent(f"full-{at}")))
    print(number)
    """
    fitted = int(killed(disk / "spool", script))

    (disk / "filler").unlink()
    found = leftovers(disk / "spool")
    assert [record["reason"] for record in found] == ["process died"] * (1 + fitted)
    assert [state.unkept for _, state in losses(disk / "spool")] == [20]


def test_a_process_that_starts_on_a_full_disk_and_is_killed_is_counted(disk: Path) -> None:
    killed(disk / "spool", 'Spool(deliveries, folder=folder).begin(intent("begun"))')
    fill(disk)
    script = """
    deliveries.is_away = True
    spool = Spool(deliveries, folder=folder)
    number = 0
    while spool.begin(intent(f"fits-{number}")):
        number += 1
    for at in range(20):
        spool.append(ended(f"full-{at}"), is_begun=spool.begin(intent(f"full-{at}")))
    """
    killed(disk / "spool", script)

    (disk / "filler").unlink()
    leftovers(disk / "spool")
    assert [state.unkept for _, state in losses(disk / "spool")] == [20]


def test_a_read_only_disk_is_said_and_memory_serves(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    deliveries = Deliveries()
    spool = Spool(deliveries, folder=disk / "spool")

    assert not spool.begin(intent("e-1"))
    spool.append(ended("e-1"))
    assert spool.close(10)
    assert deliveries.ids == ["e-1"]
    assert "Read-only file system" in caplog.text
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
