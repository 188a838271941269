"""`costmeter scheduler` as an operator starts, asks and stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from costmeter.store.tables import PendingRow
from tests.cli.running import Run, run
from tests.jobs.schedules import runs, wait_until
from tests.make import an_event, counted, record

__all__ = ["run"]

JOBS = {"sqlite": ["alerts", "expire", "forecasts", "forget", "post", "prices", "reservations", "verify", "watch"]}
JOBS["postgresql"] = sorted([*JOBS["sqlite"], "partitions"])


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", database_url)
    return database_url


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, with the environment of this one."""
    log = folder / f"log-{len([*folder.glob('log-*')])}"
    command = [sys.executable, "-m", "costmeter", "scheduler", *arguments]
    with log.open("w") as out:
        process = subprocess.Popen(command, stderr=out, stdout=out, text=True, env={**os.environ, "TZ": "UTC"})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def logged(folder: Path, number: int = 0) -> list[dict[str, Any]]:
    """The lines of a log, each of which is JSON."""
    return [json.loads(line) for line in (folder / f"log-{number}").read_text(encoding="utf-8").splitlines()]


def test_it_works_until_sigterm_and_the_status_tells(run: Run, database: str, engine: Engine, tmp_path: Path) -> None:
    names = JOBS[engine.dialect.name]
    record(engine, an_event("a"))
    with started(tmp_path) as process:
        wait_until(lambda: {row["job"] for row in runs(engine) if row["finished_at"]} == {*names}, "every job ran")
        found = run("scheduler", "status", "--json").json
        assert [one["job"] for one in found["runs"]] == names
        assert found["lease"]["owner"].split(":")[1] == str(process.pid)
        assert counted(engine, PendingRow) == [0]
        with started(tmp_path, "--once") as second:
            assert second.wait() == 0
        says = "costmeter: another scheduler holds the lease, and runs what is due: costmeter scheduler status"
        assert says in (tmp_path / "log-1").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    told = logged(tmp_path)
    assert any(line["logger"] == "costmeter.jobs" and line.get("job") == "post" for line in told)
    assert "ends when its jobs have" in told[-1]["event"]

    after = run("scheduler", "status")
    assert after.code == 1
    assert after.out.startswith("lease: nobody: no scheduler runs\n")
    assert "posted 1 calls" in after.out or "posted 0 calls" in after.out


def test_once_runs_what_is_due_and_ends(run: Run, database: str, engine: Engine, tmp_path: Path) -> None:
    record(engine, an_event("a"))
    with started(tmp_path, "--once") as process:
        code = process.wait()
    found = runs(engine)
    assert sorted({row["job"] for row in found}) == JOBS[engine.dialect.name]
    assert code == int(any(row["outcome"] != "done" for row in found))
    assert [row["said"] for row in found if row["job"] == "post"] == ["posted 1 calls"]
    with started(tmp_path, "--once") as again:
        again.wait()
    often = {"alerts", "post", "reservations", "watch"}
    assert {row["job"] for row in runs(engine)[len(found) :]} <= often, "the others are not due again"
    assert run("scheduler", "status", "--json").code == 1


def test_without_runs_the_status_says_that_nobody_works(run: Run, database: str) -> None:
    ran = run("scheduler", "status", "--json")
    assert (ran.code, json.loads(ran.out), ran.err) == (1, {"lease": None, "runs": []}, "")


def test_a_time_that_is_none_is_refused_by_name(run: Run, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_NIGHTLY_AT", "half past two")
    assert run("scheduler", "status").refused.startswith("COSTMETER_NIGHTLY_AT 'half past two': ")
